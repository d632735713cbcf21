"""Probes of a tiny capture: tables, the untrained model beside it, and planted properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from analyses.probing import QUESTION, ProbingSettings, fits
from analyses.probing.compute import probe_properties
from analyses.probing.fits import Source
from analyses.shared.given import Given
from probes.errors import TableError
from probes.linear.measure import Design, measure_heads
from probes.linear.properties import label_occurrences
from probes.linear.shipped_properties import list_properties
from probes.similarity.spaces import read_heads
from tests.analyses.related_words import make_relations, write_words
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

SETTINGS = ProbingSettings(resamples=10, refits=2, folds=3, x_layers=2)
GAP = "values - keys"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return capture_tiny(tiny_model("llama", n_layers=3), tmp_path_factory.mktemp("s"), n_pairs=109)


@pytest.fixture(scope="module")
def tables(store):
    return QUESTION.compute(Given(store=store), SETTINGS)


def test_there_is_a_row_for_every_property_input_layer_and_head(tables):
    heads = tables["heads"]
    n_properties = heads["property"].nunique()
    assert n_properties >= 4
    assert len(heads) == n_properties * 3 * 3 * 2  # inputs, layers, kv heads
    assert not heads.duplicated(["property", "part", "layer", "kv_head"]).any()
    classes = heads[heads["score"] == "accuracy"]
    assert classes["value"].between(0, 1).all()
    assert (classes["ci_low"] <= classes["ci_high"]).all()
    gap = classes["selectivity"] - (classes["value"] - classes["control"])
    assert gap.dropna().abs().max() < 1e-12
    assert set(tables["summary"]["model"]) == {"tiny-llama-0"}


def test_differences_and_means_are_those_of_the_heads(tables):
    heads = tables["heads"].pivot_table(
        index=["property", "layer", "kv_head"], columns="part", values="value", dropna=False
    )
    rows = tables["differences"].query("part == @GAP")
    rows = rows.set_index(["property", "layer", "kv_head"])["value"]
    expected = (heads["values"] - heads["keys"])[rows.index]
    pd.testing.assert_series_equal(rows, expected, check_names=False)
    summary = tables["summary"].set_index(["property", "part"])["value"]
    for name, mean in heads["keys"].groupby("property").mean().items():
        assert summary[name, "keys"] == pytest.approx(mean)
        assert summary[name, GAP] == pytest.approx(rows[name].mean())
    refits = tables["heads"].set_index(["property", "part"])["refit_sd"]
    assert (refits.dropna() >= 0).all()
    assert tables["differences"]["refit_sd"].notna().all()
    tested = tables["differences"].dropna(subset="p")
    assert (tested["p_bh"] >= tested["p"] - 1e-12).all()


def test_the_whole_input_and_the_learning_curves_are_there(tables):
    assert {"embedding", "x"} <= set(tables["summary"]["part"])
    learning = tables["learning"]
    assert (learning.groupby(["property", "part"])["trained_on"].diff().dropna() > 0).all()
    assert "left_out" in tables["properties"]


def test_same_capture_same_tables(tables, store):
    again = QUESTION.compute(Given(store=store), SETTINGS)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)


def test_figures_and_latex(tables):
    assert set(QUESTION.draw(tables)) >= {"headline", "maps"}
    latex, *_ = QUESTION.to_latex(tables, {})
    assert r" & keys & values" in latex
    one = tables["summary"].query("property == 'part of speech' and part == 'values'").iloc[0]
    low, high = one["ci_low"], one["ci_high"]
    assert rf"{one['value']:.3f} {{\scriptsize ({low:.3f} to {high:.3f})}}" in latex


def test_an_untrained_model_stands_beside_the_trained_one(tables, store, tmp_path):
    assert not any("untrained" in part for part in tables["summary"]["part"])
    untrained = capture_tiny(tiny_model("llama", n_layers=3, seed=5), tmp_path, n_pairs=109)
    wanted = list_properties(store)[0][0]
    found = probe_properties([Source(store, [wanted], untrained)], SETTINGS)
    summary = found["summary"].set_index("part")["value"]
    for part in ("keys", "values"):
        gap = summary[part] - summary[f"untrained {part}"]
        assert summary[f"{part} - untrained {part}"] == pytest.approx(gap)
    direct = measure_heads(
        read_heads(untrained, "v", layer=1),
        Design.of(wanted, refits=2, folds=3),
        with_code=False,
    )
    rows = found["heads"].query("part == 'untrained values' and layer == 1")
    assert list(rows["value"]) == pytest.approx(direct.probing.score.observed.tolist(), abs=1e-6)
    rows = found["heads"].query("part == 'untrained values'")
    assert rows["bits"].isna().all()  # takes the longest
    assert set(found["learning"]["part"]) == {"keys", "values", "random_slice"}
    assert set(QUESTION.draw(found)) >= {"headline", "maps"}
    section = QUESTION.describe(found, {})
    table = section.tables[0]
    shown = table.rows[0][table.columns.index("untrained values")]
    assert shown.value == f"{summary['untrained values']:.3f}"
    assert "untrained model" in section.explanation[-1]


def test_spread_over_refits_is_that_of_the_paired_difference(store):
    wanted = list_properties(store)[0][0]
    found = probe_properties([Source(store, [wanted])], SETTINGS)
    design = Design.of(wanted, refits=2, folds=3)
    layers = [
        {
            name: measure_heads(read_heads(store, name, layer), design, with_code=False).refits
            for name in ("k", "v")
        }
        for layer in range(3)
    ]
    gaps = np.stack([(refits["v"] - refits["k"]).numpy() for refits in layers])
    rows = found["differences"].query("part == @GAP")
    assert list(rows["refit_sd"]) == pytest.approx(gaps.std(1, ddof=1).ravel().tolist(), abs=1e-9)
    summary = found["summary"].set_index("part")["refit_sd"]
    assert summary[GAP] == pytest.approx(gaps.mean((0, 2)).std(ddof=1), abs=1e-9)
    settings = ProbingSettings(resamples=10, refits=1, folds=3, code=False)
    once = probe_properties([Source(store, [wanted])], settings)
    assert once["differences"]["refit_sd"].isna().all()


def test_relations_of_single_words_are_probed_where_they_are_captured(tmp_path):
    given = Given(
        store=capture_tiny(tiny_model("llama"), tmp_path / "capture", n_pairs=30),
        words={"relations": write_words(tmp_path, make_relations())},
    )
    settings = ProbingSettings(resamples=10, refits=1, code=False, x_layers=1)
    tables = QUESTION.compute(given, settings)
    rows = tables["properties"].set_index("property")
    assert rows.loc["relation of two nouns", "classes"] == "alike both, alike keys"
    assert rows.loc["relation of two verbs", "n_units"] == 120
    assert rows.loc["relation of two verbs", "split_by"] == "both words"
    heads = tables["heads"].query("layer == 0").groupby(["property", "part"])["value"].mean()
    nouns, verbs = heads["relation of two nouns"], heads["relation of two verbs"]
    assert nouns["values"] > nouns["keys"] + 0.1  # the two relations differ in how alike values are
    assert verbs["values"] > verbs["keys"] + 0.1


def test_human_scores_go_by_the_name_of_their_table(tmp_path):
    scored = make_relations().drop(columns="relation").assign(score=np.arange(240.0))
    words = write_words(tmp_path, make_relations(), pairs=scored)
    store = capture_tiny(tiny_model("llama"), tmp_path / "capture", n_pairs=30)
    settings = ProbingSettings(resamples=10, refits=1, code=False, x_layers=1)
    tables = QUESTION.compute(Given(store=store, words={"mine": words}), settings)
    rows = tables["properties"].set_index("property")
    assert rows.loc["human similarity of two nouns (mine)", "score"] == "r2"


def test_inputs_name_the_captures_and_the_lexicon(store):
    inputs = QUESTION.identify(Given(store=store), SETTINGS)
    assert inputs["capture"] == store.identity_hash
    assert len(inputs["lexicon"]) == 64


def test_without_a_property_it_says_why(store):
    with pytest.raises(TableError, match=r"no property.*colour: nobody knows"):
        probe_properties([Source(store, [])], SETTINGS, left_out={"colour": "nobody knows"})


def test_every_setting_reaches_the_probes(store):
    wanted = list_properties(store)[0][:1]
    plain = ProbingSettings(resamples=10, refits=1, folds=3, code=False, x_layers=1)
    probed = {
        name: probe_properties([Source(store, wanted)], replace(plain, **{name: value}))
        for name, value in (("seed", 0), ("probe", "logistic"), ("basis", "functional"))
    }
    values = {
        name: tables["heads"].query("part == 'keys'")["value"].tolist()
        for name, tables in probed.items()
    }
    assert values["seed"] != values["probe"]
    assert values["seed"] != values["basis"]


def test_a_planted_property_is_found_in_values_and_not_in_keys(store, monkeypatch):
    occurrences = store.table("occurrences")
    labels = (occurrences["word"].map(hash_word) % 2).map({0: "even", 1: "odd"})
    wanted = label_occurrences("parity", occurrences, labels)

    def plant(store, layer, **_):
        random = torch.Generator().manual_seed(layer)
        shape = (2, len(occurrences), 8)
        keys, values, blind = (torch.randn(shape, generator=random) for _ in range(3))
        values[:, wanted.occurrences, 0] += 4 * (wanted.labels - 0.5)
        return {"keys": keys, "values": values, "random_slice": blind}

    monkeypatch.setattr(fits, "read_inputs", plant)
    found = probe_properties([Source(store, [wanted])], SETTINGS)
    summary = found["summary"].set_index("part")
    assert summary.loc["values", "value"] > 0.9
    assert summary.loc["keys", "value"] < 0.65
    assert summary.loc[GAP, "ci_low"] > 0.2
    assert summary.loc["values", "compression"] > 1.3 > summary.loc["keys", "compression"]
    significant = found["differences"].query("part == @GAP")["p_max_t"]
    assert len(significant) == 6


def hash_word(word):
    return sum(map(ord, word))
