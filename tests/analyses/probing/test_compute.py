import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from analyses.probing.compute import compute as probing
from kvprobes.captures.pairs import open_whole_store
from probes.errors import TableError
from probes.linear.measure import Design, measure_heads
from probes.linear.shipped_properties import list_properties
from probes.similarity.spaces import read_heads
from tests.analyses.related_words import make_relations, write_words
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

SETTINGS = probing.ProbingSettings(resamples=10, refits=2, folds=3, x_layers=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return capture_tiny(tiny_model("llama", n_layers=3), tmp_path_factory.mktemp("s"), n_pairs=109)


@pytest.fixture(scope="module")
def tables(store):
    return probing.compute(store, store.table("pairs"), settings=SETTINGS)


def test_there_is_a_row_for_every_property_input_layer_and_head(tables):
    heads = tables["heads"]
    n_properties = heads["property"].nunique()
    assert n_properties >= 4
    assert len(heads) == n_properties * 3 * 3 * 2  # inputs, layers, kv heads
    assert not heads.duplicated(["property", "what", "layer", "kv_head"]).any()
    classes = heads[heads["score"] == "accuracy"]
    assert classes["value"].between(0, 1).all()
    assert (classes["ci_low"] <= classes["ci_high"]).all()
    gap = classes["selectivity"] - (classes["value"] - classes["control"])
    assert gap.dropna().abs().max() < 1e-12
    assert set(tables["summary"]["model"]) == {"tiny-llama-0"}


def test_differences_and_means_are_those_of_the_heads(tables):
    heads = tables["heads"].pivot_table(
        index=["property", "layer", "kv_head"], columns="what", values="value", dropna=False
    )
    rows = tables["differences"].query("comparison == 'v - k'")
    rows = rows.set_index(["property", "layer", "kv_head"])["value"]
    expected = (heads["v"] - heads["k"])[rows.index]
    pd.testing.assert_series_equal(rows, expected, check_names=False)
    summary = tables["summary"].set_index(["property", "what"])["value"]
    for name, mean in heads["k"].groupby("property").mean().items():
        assert summary[name, "k"] == pytest.approx(mean)
        assert summary[name, "v - k"] == pytest.approx(rows[name].mean())
    refits = tables["heads"].set_index(["property", "what"])["refit_sd"]
    assert (refits.dropna() >= 0).all()
    assert tables["differences"]["refit_sd"].notna().all()
    tested = tables["differences"].dropna(subset="p")
    assert (tested["q"] >= tested["p"] - 1e-12).all()


def test_the_whole_input_and_the_learning_curves_are_there(tables):
    assert {"embedding", "x"} <= set(tables["summary"]["what"])
    learning = tables["learning"]
    assert (learning.groupby(["property", "what"])["trained_on"].diff().dropna() > 0).all()
    assert "left_out" in tables["properties"]


def test_same_capture_same_tables(tables, store):
    again = probing.compute(store, store.table("pairs"), settings=SETTINGS)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)


def test_figures_and_latex(tables):
    figures = probing.draw(tables)
    assert set(figures) >= {"headline", "maps"}
    latex = probing.to_latex(tables["summary"])
    assert latex.count(r"\scriptsize") == 4 * tables["summary"]["property"].nunique()
    assert r"\toprule" in latex
    assert r" & keys & values" in latex.splitlines()[4]
    one = tables["summary"].query("property == 'part of speech' and what == 'v'").iloc[0]
    assert f"{100 * one['value']:.1f}" in latex


def test_an_untrained_model_stands_beside_the_trained_one(tables, store, tmp_path):
    assert not any("untrained" in what for what in tables["summary"]["what"])
    folder = tmp_path / "capture"
    shutil.copytree(store.folder, folder)
    other = tiny_model("llama", n_layers=3, seed=5)
    capture_tiny(other, tmp_path / "capture-untrained", n_pairs=109)
    beside = open_whole_store(folder)
    wanted, _ = list_properties(*(beside.table(n) for n in ("occurrences", "queries", "pairs")))
    found = probing.compute(beside, beside.table("pairs"), settings=SETTINGS, properties=wanted[:1])
    summary = found["summary"].set_index("what")["value"]
    for what in ("k", "v"):
        gap = summary[what] - summary[f"untrained {what}"]
        assert summary[f"{what} - untrained {what}"] == pytest.approx(gap)
    direct = measure_heads(
        read_heads(open_whole_store(tmp_path / "capture-untrained"), "v", layer=1),
        Design.of(wanted[0], refits=2, folds=3),
        with_code=False,
    )
    rows = found["heads"].query("what == 'untrained v' and layer == 1")
    assert list(rows["value"]) == pytest.approx(direct.probing.score.observed.tolist(), abs=1e-6)
    assert found["heads"].query("what == 'untrained v'")["bits"].isna().all()  # takes the longest
    assert set(found["learning"]["what"]) == {"k", "v", "slice"}
    assert probing.describe_inputs(beside, "hash")["untrained"]
    assert probing.describe_inputs(store, "hash")["untrained"] is None
    assert set(probing.draw(found)) >= {"headline", "maps"}
    latex = probing.to_latex(found["summary"])
    assert "& untrained keys & untrained values & majority & control" in latex
    row = next(line for line in latex.splitlines() if line.startswith(wanted[0].name))
    cells = [cell.replace("\\", "").strip() for cell in row.split("&")]
    assert cells[5:7] == [f"{100 * summary[f'untrained {what}']:.1f}" for what in ("k", "v")]
    section = probing.describe(found, {})
    table = section.tables[0]
    shown = table.rows[0][table.columns.index("untrained values")]
    assert shown.value == f"{summary['untrained v']:.3f}"
    assert "untrained model" in section.explanation[-1]


def test_an_untrained_capture_of_other_sentences_does_not_stand_beside(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "capture")
    other = tiny_model("llama", n_layers=3, seed=5)
    capture_tiny(other, tmp_path / "capture-untrained", n_pairs=40)
    assert probing.describe_inputs(open_whole_store(tmp_path / "capture"), "")["untrained"] is None


def test_spread_over_refits_is_that_of_the_paired_difference(store):
    wanted, _ = list_properties(*(store.table(n) for n in ("occurrences", "queries", "pairs")))
    found = probing.compute(store, store.table("pairs"), settings=SETTINGS, properties=wanted[:1])
    design = Design.of(wanted[0], refits=2, folds=3)
    layers = [
        {
            what: measure_heads(read_heads(store, what, layer), design, with_code=False).refits
            for what in ("k", "v")
        }
        for layer in range(3)
    ]
    gaps = np.stack([(refits["v"] - refits["k"]).numpy() for refits in layers])
    rows = found["differences"].query("comparison == 'v - k'")
    assert list(rows["refit_sd"]) == pytest.approx(gaps.std(1, ddof=1).ravel().tolist(), abs=1e-9)
    summary = found["summary"].set_index("what")["refit_sd"]
    assert summary["v - k"] == pytest.approx(gaps.mean((0, 2)).std(ddof=1), abs=1e-9)
    once = probing.compute(
        store,
        store.table("pairs"),
        settings=probing.ProbingSettings(resamples=10, refits=1, folds=3, code=False),
        properties=wanted[:1],
    )
    assert once["differences"]["refit_sd"].isna().all()


def test_relations_of_single_words_are_probed_where_they_are_captured(tmp_path):
    main = capture_tiny(tiny_model("llama"), tmp_path / "capture", n_pairs=30)
    pairs = main.table("pairs")
    words = write_words(tmp_path, make_relations())
    settings = probing.ProbingSettings(resamples=10, refits=1, code=False, x_layers=1)
    tables = probing.compute(main, pairs, settings=settings)
    rows = tables["properties"].set_index("property")
    assert rows.loc["relation of two nouns", "classes"] == "alike both, alike keys"
    assert rows.loc["relation of two verbs", "n_units"] == 120
    assert rows.loc["relation of two verbs", "split_by"] == "both words"
    heads = tables["heads"].query("layer == 0").groupby(["property", "what"])["value"].mean()
    nouns, verbs = heads["relation of two nouns"], heads["relation of two verbs"]
    assert nouns["v"] > nouns["k"] + 0.1  # the two relations differ in how alike values are
    assert verbs["v"] > verbs["k"] + 0.1
    inputs = probing.describe_inputs(main, "hash")
    assert inputs["words"] == {"capture-words": words.identity_hash}


def test_inputs_name_the_lexicon(store):
    inputs = probing.describe_inputs(store, "hash", SETTINGS)
    assert inputs["settings"]["folds"] == 3
    assert len(inputs["lexicon"]) == 64


def test_without_a_property_it_says_why(store):
    with pytest.raises(TableError, match="no property"):
        probing.compute(store, store.table("pairs"), settings=SETTINGS, properties=[])


def test_a_planted_property_is_found_in_values_and_not_in_keys(store, monkeypatch):
    from probes.linear.properties import label_occurrences

    occurrences = store.table("occurrences")
    labels = (occurrences["word"].map(hash_word) % 2).map({0: "even", 1: "odd"})
    wanted = label_occurrences("parity", occurrences, labels)

    def plant(store, layer, **_):
        random = torch.Generator().manual_seed(layer)
        k, v, blind = (torch.randn(2, len(occurrences), 8, generator=random) for _ in range(3))
        v[:, wanted.occurrences, 0] += 4 * (wanted.labels - 0.5)
        return {"k": k, "v": v, "slice": blind}

    monkeypatch.setattr(probing, "read_inputs", plant)
    found = probing.compute(store, store.table("pairs"), settings=SETTINGS, properties=[wanted])
    summary = found["summary"].set_index("what")
    assert summary.loc["v", "value"] > 0.9
    assert summary.loc["k", "value"] < 0.65
    assert summary.loc["v - k", "ci_low"] > 0.2
    assert summary.loc["v", "compression"] > 1.3 > summary.loc["k", "compression"]
    significant = found["differences"].query("comparison == 'v - k'")["p_family"]
    assert len(significant) == 6


def hash_word(word):
    return sum(map(ord, word))
