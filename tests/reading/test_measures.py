import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import false_discovery_control

from probes.errors import TableError, UsageError
from probes.reading import measure, read
from probes.similarity import debiased_cka, dissociation_ratio, pair_cosines
from tests.reading.readings import LOWER, TEMPLATES, read_many
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def table():
    return measure(read_many("llama"), resamples=40, permutations=30)


def test_pairs_are_measured_as_the_library_measures_them(table):
    words = read_many("llama")
    n = len(LOWER)
    left, right = (torch.tensor(side) for side in np.triu_indices(n, 1))
    rows = table[table["measure"] == "dissociation_ratio_5%"]
    for layer in range(2):
        sides = []
        for part in (words.keys(layer, "functional"), words.values(layer, "functional")):
            figures = [pair_cosines(part, left + start, right + start) for start in (0, n)]
            sides.append((figures[0] + figures[1]) / 2)
        expected = dissociation_ratio(*sides, top=0.05)
        mine = rows[rows["layer"] == layer].sort_values("kv_head")
        np.testing.assert_allclose(mine["value"], expected, atol=1e-5)
        crossed = dissociation_ratio(sides[0], sides[1].roll(1, 0), top=0.05)
        np.testing.assert_allclose(mine["mismatched_heads"], crossed, atol=1e-5)
    assert (rows["ci_low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["ci_high"]).all()
    assert set(rows["space"]) == {"functional"}
    assert set(rows["pairs"]) == {len(left)}


def test_a_measure_of_words_has_no_interval_and_no_p(table):
    words = read_many("llama")
    n = len(LOWER)
    rows = table[table["measure"] == "debiased_cka"]
    for layer in range(2):
        sides = [
            torch.cat([part[:, :n], part[:, n:]], dim=2)
            for part in (words.keys(layer, "functional"), words.values(layer, "functional"))
        ]
        mine = rows[rows["layer"] == layer].sort_values("kv_head")
        np.testing.assert_allclose(mine["value"], debiased_cka(*sides), atol=1e-5)
    assert rows[["ci_low", "p", "p_bh", "shuffled_words"]].isna().all(axis=None)


def test_p_is_corrected_over_all_heads_of_a_measure(table):
    rows = table[table["measure"] == "representational_similarity"]
    assert len(rows) == 4
    np.testing.assert_allclose(rows["p_bh"], false_discovery_control(rows["p"]))
    assert (rows["p_max_t"] >= rows["p"] - 1e-12).all()


def test_pairs_can_be_given_in_any_form_and_count_once():
    words = read_many("llama")
    listed = [(a, b) for number, a in enumerate(LOWER) for b in LOWER[:number]][:60]
    how = {"measures": ["dissociation_ratio_10%"], "nulls": [], "resamples": 10}
    found = measure(words, listed, **how)
    table = pd.DataFrame([*listed, *[pair[::-1] for pair in listed]], columns=["m1", "m2"])
    assert found.equals(measure(words, table, **how))
    assert set(found["pairs"]) == {60}
    assert found[["mismatched_heads", "p"]].isna().all(axis=None)


def test_planted_values_are_found():
    """Keys that are the values: no dissociation, and no shuffled words that look so."""
    words = read_many("llama")
    from dataclasses import replace

    same = replace(words, v=words.k, value_metric=words.key_metric)
    table = measure(same, resamples=20, permutations=99, measures=["dissociation_ratio_5%"])
    assert (table["value"] < 0.02).all()
    assert (table["p_max_t"] <= 0.05).all()


def test_what_cannot_be_measured_is_refused():
    words = read_many("llama")
    with pytest.raises(UsageError, match=r"no measure of words in memory 'dissociation_ratio_7%'"):
        measure(words, measures=["dissociation_ratio_7%"])
    with pytest.raises(UsageError, match=r"no null of words in memory 'random_heads'"):
        measure(words, nulls=["random_heads"])
    with pytest.raises(TableError, match=r"3 distinct pairs.*ranks need 20"):
        measure(words, [("fox", "dog"), ("fox", "cat"), ("dog", "cat"), ("cat", "dog")])
    with pytest.raises(TableError, match=r"'foxes' of the pair .* was not read"):
        measure(words, [("fox", "foxes")])
    with pytest.raises(UsageError, match=r"is of one word"):
        measure(words, [("fox", "fox")])
    with pytest.raises(UsageError, match=r"'fo' is no pair"):
        measure(words, ["fo"])
    with pytest.raises(TableError, match=r"no two columns of words"):
        measure(words, pd.DataFrame({"a": ["fox"], "b": ["dog"]}))


def test_few_words_are_measured_but_for_their_neighbours():
    few = read(tiny_model("llama"), TEMPLATES, LOWER[:8])
    found = measure(few, resamples=10, permutations=10)
    assert found["value"].notna().any()
    assert set(found["words"]) == {8}
    with pytest.raises(UsageError, match="10 neighbours of each word asked for, among 8 words"):
        measure(few, measures=["mutual_neighbours_10"], resamples=10, permutations=10)
