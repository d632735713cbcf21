from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch

from analyses.divergence import QUESTION, DivergenceSettings
from analyses.divergence.compute import measure
from analyses.divergence.relatedness import find_kinds, tabulate_kinds
from analyses.shared.given import Given
from analyses.shared.settings import read_settings
from probes.capture.located import LocatedPairs
from probes.errors import TableError, UsageError
from probes.similarity import dissociation_ratio
from probes.similarity.catalogue import find_measure
from probes.stats import share_interval
from probes.stats.estimates import Estimate
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

SETTINGS = DivergenceSettings(resamples=10, random_pairs=50, bins=5)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return capture_tiny(tiny_model("llama", n_layers=3), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def tables(store):
    return QUESTION.compute(Given(store=store), SETTINGS)


def test_there_is_a_row_for_every_head_measure_space_and_pair(tables, store):
    n_heads, n_pairs = 3 * 2, 40
    heads = tables["heads"]
    assert len(heads) == n_heads * (2 * 4 * 3 + 4)  # populations, measures, spaces; tieability
    assert not heads.duplicated(["layer", "kv_head", "population", "space", "measure"]).any()
    assert len(tables["pair_heads"]) == n_heads * n_pairs
    assert list(tables["pairs"]["pair_id"]) == list(store.table("pairs")["pair_id"])
    assert set(tables["heads"]["key_stage"]) == {"normed"}


def test_head_table_says_what_the_measure_says_of_the_pair_table(tables):
    one = tables["pair_heads"].query("layer == 2 and kv_head == 1")
    by_hand = dissociation_ratio(
        *(torch.tensor(one[n].to_numpy()) for n in ("s_k", "s_v")), top=0.05
    )
    row = tables["heads"].query(
        "layer == 2 and kv_head == 1 and population == 'word pairs' and space == 'functional' "
        "and measure == 'dissociation_ratio_5%'"
    )
    assert row["value"].item() == pytest.approx(by_hand.item())


def test_summary_is_the_mean_over_heads_inside_its_interval(tables):
    summary = tables["summary"]
    place = ["population", "space", "measure"]
    trained = summary[summary["condition"] == "trained"].set_index(place)["value"]
    means = tables["heads"].groupby(place)["value"].mean()
    pd.testing.assert_series_equal(trained[means.index], means, check_names=False)
    resampled = summary.dropna(subset="ci_low")
    assert len(resampled)
    assert (resampled["ci_low"] <= resampled["ci_high"]).all()


def test_differences_are_between_the_conditions(tables):
    functional = tables["summary"].query("space == 'functional' and population == 'random pairs'")
    table = functional.pivot_table(index="measure", columns="condition", values="value").dropna()
    assert len(table) == 4
    for null in ("mismatched_heads", "random_heads"):
        gap = table["trained"] - table[null]
        pd.testing.assert_series_equal(table[f"trained - {null}"], gap, check_names=False)


def test_excess_tieability_follows_its_formula(tables):
    heads = tables["heads"].set_index(["measure", "layer", "kv_head"]).sort_index()
    tied = heads.loc["tieability"]
    for null in ("mismatched_heads", "random_heads", "random_slice"):
        baseline = tied[f"{null}_mean"]
        expected = (tied["value"] - baseline) / (1 - baseline)
        got = heads.loc[f"excess_tieability_vs_{null}", "value"]
        pd.testing.assert_series_equal(got, expected, check_names=False)


def test_percentiles_count_the_pairs_below(tables):
    one_head = tables["pair_heads"].groupby(["layer", "kv_head"])["s_k"]
    percentiles = 100 * (one_head.rank() - 0.5) / 40
    mean = percentiles.groupby(tables["pair_heads"]["pair_id"]).mean()
    got = tables["pairs"].set_index("pair_id")["key_percentile"]
    pd.testing.assert_series_equal(
        got.sort_index(), mean.sort_index(), check_names=False, rtol=1e-4
    )


def test_same_capture_same_tables(tables, store):
    again = QUESTION.compute(Given(store=store), SETTINGS)
    names = {"summary", "heads", "curve", "kinds", "pairs", "pair_heads"}
    assert set(again) == set(tables) == names
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)


def test_too_few_pairs_are_refused_with_the_count(tmp_path):
    store = capture_tiny(tiny_model("llama"), tmp_path, n_pairs=19)
    with pytest.raises(TableError, match="only 19 of 19 pairs"):
        QUESTION.compute(Given(store=store), SETTINGS)


def test_only_the_measures_that_are_asked_for(store):
    asked = replace(SETTINGS, measures=("representational_similarity",))
    tables = QUESTION.compute(Given(store=store), asked)
    assert set(tables["heads"].query("population == 'word pairs'")["measure"]) == {
        "representational_similarity"
    }
    given = Given(store=store)
    assert QUESTION.identify(given, asked) != QUESTION.identify(given, SETTINGS)
    section = QUESTION.describe(tables, asdict(asked))
    assert "not measured" in section.answer[0]
    assert set(QUESTION.draw(tables)) == {"headline", "curve", "maps", "spaces"}


@pytest.mark.parametrize("name", ["dissociation_ratio_5", "tieability", "divergence_curve"])
def test_what_is_no_measure_of_pairs_is_refused(name):
    with pytest.raises(UsageError, match=f"no measure of pairs '{name}'"):
        read_settings(DivergenceSettings, {"measures": name}, of="divergence")


def test_one_kv_head_has_no_mismatched_rows_and_still_runs(tmp_path):
    store = capture_tiny(tiny_model("llama", n_kv_heads=1), tmp_path)
    tables = QUESTION.compute(Given(store=store), SETTINGS)
    assert not tables["summary"]["condition"].str.contains("mismatched").any()
    assert "mismatched_heads_mean" not in tables["heads"]
    assert set(QUESTION.draw(tables)) == {"headline", "curve", "maps", "spaces"}


def test_the_interval_of_a_rare_ratio_is_wilsons():
    one_percent = find_measure("dissociation_ratio_1%")
    random = torch.Generator().manual_seed(2)
    observed = torch.tensor([[0.0, 0.05, 0.9]]).double()  # 0, 1 and 18 of 40 pairs
    samples = [observed + 0.05 * torch.rand(n, 1, 3, generator=random) for n in (40, 20)]
    estimate = Estimate(observed, *samples)
    low, high = one_percent.find_interval(estimate, 4000)
    plain_low, plain_high = estimate.interval()
    assert low[0, 2] == plain_low[0, 2]
    assert high[0, 2] == plain_high[0, 2]
    variance = estimate.standard_error().square() / 4
    ends = share_interval(observed / 2, variance, size=40)
    assert low[0, :2].tolist() == pytest.approx((2 * ends[0])[0, :2].tolist())
    assert high[0, :2].tolist() == pytest.approx((2 * ends[1])[0, :2].tolist())
    assert low[0, 0] == 0
    assert high[0, 0] > plain_high[0, 0]
    other = find_measure("representational_similarity")
    torch.testing.assert_close(other.find_interval(estimate, 4000), estimate.interval())


def test_the_ratio_within_each_kind_of_pairs_is_that_of_its_pairs_alone(store, tables):
    pairs = LocatedPairs.of(store).take_whole()
    kind = np.array(["related", "mid"])[np.arange(len(pairs)) % 3 // 2]
    known = replace(pairs, table=pairs.table.assign(relatedness=kind))
    found = measure(store, SETTINGS)
    comparisons = next(found.comparisons())[2]
    kinds = tabulate_kinds(known, comparisons, resamples=10, seed=0)
    # Forty pairs: 27 of one kind, and 13 of the other, which are too few.
    assert set(kinds["population"]) == {"word pairs, related"}
    trained = kinds[kinds["condition"] == "trained"].iloc[0]
    assert trained["pairs"] == 27
    alone = comparisons["functional", "trained"].cut(torch.from_numpy(kind == "related"))
    expected = dissociation_ratio(alone.s_k, alone.s_v, top=0.05).mean()
    assert trained["value"] == pytest.approx(float(expected))
    assert trained["ci_low"] <= trained["value"] <= trained["ci_high"]
    assert tables["kinds"].empty  # the table of these pairs says nothing about it
    assert find_kinds({"kinds": kinds})["related"].value == trained["value"]
