"""Every measure beside every null, on a tiny model whose figures can be computed by hand."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from analyses.divergence import QUESTION as DIVERGENCE
from analyses.divergence import DivergenceSettings
from analyses.nulls import QUESTION, NullSettings
from analyses.nulls.compute import match_words
from analyses.nulls.tables import compare_over_layers
from analyses.shared.given import Given
from probes.capture import CaptureSettings, capture, plan_capture
from probes.capture.located import DistinctWords, LocatedPairs, match_occurrences
from probes.models import untrain
from probes.similarity.catalogue import list_nulls, list_pair_measures, list_side_measures
from probes.similarity.null_sides import Captured
from probes.words import load_pairs, load_templates
from tests.tiny import tiny_model

SETTINGS = NullSettings(permutations=60, draws=2, neighbour_words=40)
SHUFFLES = ["shuffled_words", "matched_words"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    model = tiny_model("llama", seed=2)
    pairs = load_pairs("seed_pairs").head(80)
    plan = plan_capture(model.tokenizer, pairs, load_templates(count=2))
    settings = CaptureSettings(dtype="float32")
    store = capture(model, plan, folder / "trained", settings=settings)
    untrained = capture(untrain(model), plan, folder / "untrained", settings=settings)
    return Given(store=store, untrained=untrained)


@pytest.fixture(scope="module")
def tables(given):
    return QUESTION.compute(given, SETTINGS)


def describe(tables):
    return QUESTION.describe(tables, asdict(SETTINGS))


def test_every_null_stands_beside_every_measure(tables):
    summary = tables["summary"]
    counts = summary.groupby("condition")["measure"].nunique()
    assert (counts[SHUFFLES] == len(list_pair_measures())).all()
    others = counts.drop(SHUFFLES)
    assert set(others.index) == {null.name for null in list_nulls() if null.sides}
    assert len(others) == 6
    assert (others == len(list_side_measures())).all()
    assert summary["p"].between(0, 1).all()
    assert (summary["p_bh"] >= summary["p"] - 1e-12).all()
    # The same trained mean, whichever way it was come by.
    for _, values in summary.groupby("measure")["value"]:
        assert values.max() - values.min() < 1e-3


def test_random_heads_and_tieability_have_the_value_of_the_headline(given, tables):
    settings = DivergenceSettings(resamples=4, random_pairs=20, draws=SETTINGS.draws)
    headline = DIVERGENCE.compute(given, settings)["summary"]
    headline = headline[headline["space"] == "functional"]
    place = ["measure", "condition"]
    there = headline[headline["population"] != "random pairs"].set_index(place)["value"]
    beside = tables["summary"].query("unit == 'layers'").set_index(place)
    compared = 0
    for measure, condition in beside.index:
        if (measure, condition) in there:
            own = beside.loc[(measure, condition)]
            assert own["null_mean"] == pytest.approx(there[measure, condition], abs=1e-5)
            assert own["value"] == pytest.approx(there[measure, "trained"], abs=1e-5)
            compared += 1
    assert compared == 2 * (len(list_pair_measures()) + 1)


def test_heads_hold_the_means_of_their_own_layer(tables):
    heads = tables["heads"]
    own = heads.query("condition == 'mismatched_heads' and measure == 'tieability' and layer == 1")
    # Two kv heads: the two mismatched ones are both heads' null.
    assert own["null_mean"].iloc[0] == own["null_mean"].iloc[1]
    assert own["p"].isna().all()
    shuffled = heads.query("condition == 'shuffled_words'")
    assert len(shuffled) == 2 * 2 * len(list_pair_measures())
    assert (shuffled["p_max_t"] >= shuffled["p"] - 1e-12).all()


def test_the_ceiling_is_the_agreement_of_two_templates(given, tables):
    pairs = LocatedPairs.of(given.store).take_whole()
    values = Captured.of(given.store).values(1)[0]
    first, second = (
        (values[pairs.left[:, t]] - values[pairs.right[:, t]]).norm(dim=1).numpy() for t in (0, 1)
    )
    reliability = scipy.stats.spearmanr(first, second).statistic
    own = tables["ceiling"].query("layer == 1 and kv_head == 0")
    expected = 2 * reliability / (1 + reliability)
    assert own["value_reliability"].item() == pytest.approx(expected, abs=1e-4)


def test_without_an_untrained_capture_the_others_stand(given, tables):
    few = NullSettings(permutations=3, neighbour_words=11)
    less = QUESTION.compute(Given(store=given.store), few)["summary"]
    assert set(tables["summary"]["condition"]) - set(less["condition"]) == {"untrained_model"}
    assert QUESTION.identify(given, SETTINGS)["untrained"] == given.untrained.identity_hash
    assert "untrained" not in QUESTION.identify(Given(store=given.store), SETTINGS)


def test_the_untrained_model_may_have_read_a_sample(given, tables, tmp_path):
    model = tiny_model("llama", seed=2)
    pairs = given.store.table("pairs").iloc[::2]
    plan = plan_capture(model.tokenizer, pairs, given.store.table("templates"))
    settings = CaptureSettings(dtype="float32", x=False)
    few = capture(untrain(model), plan, tmp_path, settings=settings)
    rows = match_occurrences(given.store, few)
    held = rows >= 0
    mapped = replace(Captured.of(few), rows=rows).keys(1)[:, held]
    assert torch.equal(mapped, Captured.of(few).keys(1)[:, rows[held]])
    assert 0.4 < float(held.float().mean()) < 1
    asked = NullSettings(permutations=3, neighbour_words=11)
    sampled = QUESTION.compute(Given(store=given.store, untrained=few), asked)["summary"]
    names = ["measure", "condition", "unit"]
    both = sampled.merge(tables["summary"], on=names).query("condition == 'untrained_model'")
    assert len(both) == len(list_side_measures())
    gaps = (both["value_x"] - both["value_y"]).abs()
    assert 0 < gaps.max() < 0.5


def compare(trained, null):
    rows = [
        {"layer": layer, "measure": "m", "condition": name, "value": value}
        for name, table in (("trained", trained), ("random_heads", null))
        for layer, values in enumerate(table)
        for value in values
    ]
    [row] = compare_over_layers(pd.DataFrame(rows), seed=1).to_dict("records")
    return row


@pytest.mark.parametrize("n_layers", [1, 2, 7])
def test_p_counts_all_flips_of_a_few_layers(n_layers):
    random = np.random.default_rng(0)
    trained = random.normal(0.3, 1, (n_layers, 3))
    null = random.normal(0, 1, (n_layers, 5))
    row = compare(trained, null)
    gaps = trained.mean(1) - null.mean(1)
    flipped = np.array([gaps @ signs for signs in product((-1, 1), repeat=n_layers)])
    assert row["p"] == pytest.approx(np.mean(np.abs(flipped) >= abs(gaps.sum()) - 1e-12))
    assert row["value"] == pytest.approx(trained.mean())
    if n_layers > 1:
        assert row["effect"] == pytest.approx(gaps.mean() / gaps.std(ddof=1))
        assert row["null_sd"] == pytest.approx(null.mean(1).std(ddof=1))


def test_p_of_many_layers_is_drawn_and_never_0():
    random = np.random.default_rng(1)
    trained, null = random.normal(5, 1, (40, 2)), random.normal(0, 1, (40, 2))
    assert compare(trained, null)["p"] == pytest.approx(2 / 10_000)
    same = random.normal(0.2, 1, (40, 2))
    exact = scipy.stats.wilcoxon(same.mean(1) - null.mean(1)).pvalue
    assert compare(same, null)["p"] == pytest.approx(exact, abs=0.15)


def test_matched_words_agree_in_tokens_and_frequency():
    n = 200
    occurrences = pd.DataFrame(
        {
            "occurrence": range(n),
            "word": [f"w{i}" for i in range(n)],
            "first_token": 3,
            "last_token": [3 + i % 2 for i in range(n)],
        }
    )
    pairs = pd.DataFrame({"m1": [f"w{i}" for i in range(0, n, 2)]})
    pairs["m2"] = [f"w{i}" for i in range(1, n, 2)]
    pairs["z_m1"], pairs["z_m2"] = np.arange(0, n, 2) / 10, np.arange(1, n, 2) / 10
    rows = torch.arange(n)[:, None]
    strata, table = match_words(occurrences, DistinctWords.of(rows[::2], rows[1::2]), pairs)
    for stratum in strata.unique():
        members = (strata == stratum).nonzero()[:, 0].numpy()
        assert len(set(members % 2)) == 1
        assert members.max() - members.min() < n / 10
    assert table.set_index("label")["classes"].to_dict() == {
        "tokens": 2,
        "frequency": 10,
        "all together": 20,
    }
    known = {"w0": "house", "w2": "garden", "w4": "small"}
    named = occurrences.iloc[:6:2].assign(word=list(known.values()), occurrence=range(3))
    three = torch.arange(3)[:, None]
    by_speech, _ = match_words(named, DistinctWords.of(three[:2], three[1:]), pairs[["m1", "m2"]])
    assert by_speech[0] == by_speech[1] != by_speech[2]
    bare, _ = match_words(occurrences, DistinctWords.of(rows[::2], rows[1::2]), pairs[["m1", "m2"]])
    assert len(bare.unique()) == 2


def test_describes_and_draws_whatever_is_there(tables):
    section = describe(tables)
    assert len(section.answer) == 9
    assert all(sentence.startswith("Against ") for sentence in section.answer[:8])
    assert section.answer[0].startswith("Against shuffled words, keys and values")
    assert section.answer[8].startswith("Noise ceiling: of the distances of keys")
    assert [row[0] for row in section.tables[0].rows][2:4] == [
        "mismatched heads",
        "mismatched layers",
    ]
    assert section.tables[1].columns[1] == "trained heads"
    assert len(section.tables[1].rows) == len(list_side_measures())
    assert "60 permutations" in section.explanation[1]
    figures = QUESTION.draw(tables)
    assert set(figures) == set(section.captions)
    less = {
        name: table[table["condition"] != "untrained_model"]
        for name, table in tables.items()
        if "condition" in table
    }
    assert len(describe({**tables, **less}).answer) == 8


def test_answers_name_the_measures_only_where_they_differ(tables):
    summary = tables["summary"].copy()
    own = summary["condition"] == "orthonormal_heads"
    summary.loc[own, ["p_bh", "difference"]] = [0.01, 1.0]
    told = describe({**tables, "summary": summary}).answer
    [sentence] = [text for text in told if "orthonormal" in text]
    assert "more alike on 6 of 10 measures" in sentence
    assert "less alike on 4 of 10 measures (DR(1 %), DR(5 %), DR(10 %), neighbour" in sentence
