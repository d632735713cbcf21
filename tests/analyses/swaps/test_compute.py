"""Swaps end to end on a tiny model: the tables against plain sums, resuming, figures."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pandas as pd
import pytest
import torch

from analyses.shared.given import Given
from analyses.swaps import QUESTION, SwapSettings
from analyses.swaps.tables import (
    MATCHED_PAIRS,
    POPULATIONS,
    swap_index,
    tabulate_example,
    tabulate_indices,
    tabulate_swaps,
)
from kvprobes.runner import answer, choose_settings
from kvprobes.session import Session
from probes.causal.swaps import Swapper
from probes.errors import TableError, UsageError
from probes.stats.estimates import Estimate, PairBootstrap
from tests.tiny import tiny_model

HEADS = ("dog", "cat", "tree", "house")
MODIFIERS = [f"{first}{second}z" for first in "bcdfgh" for second in "aeiou"]
TEMPLATES = pd.DataFrame(
    [("t0", "The cat saw the {modifier} {head} and ran."), ("t1", "A {modifier} {head} is big.")],
    columns=["template_id", "text"],
)


def make_pairs():
    rows = [("p0", "network", "neural", "social"), ("p1", "dog", "baz", "zzzz")]
    for number, (first, second) in enumerate(pairwise(MODIFIERS)):
        rows.append((f"p{number + 2}", HEADS[number % 4], first, second))
    return pd.DataFrame(rows, columns=["pair_id", "head", "m1", "m2"])


ALL_SCOPES = ("all", "layer", "head")


@pytest.fixture(scope="module")
def given():
    return Given(model=tiny_model("qwen2", n_layers=3))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    make_pairs().to_csv(folder / "pairs.tsv", sep="\t", index=False)
    TEMPLATES.to_csv(folder / "templates.tsv", sep="\t", index=False)
    return SwapSettings(
        scopes=ALL_SCOPES,
        pairs=str(folder / "pairs.tsv"),
        limit=None,
        templates=str(folder / "templates.tsv"),
        parts_of_heads=("keys", "values"),
        batch_size=4,
        resamples=40,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A result folder; `tables` leaves its finished parts there."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def tables(given, settings, folder):
    parts = folder / "parts" / "swaps"
    return QUESTION.compute(dataclasses.replace(given, parts=parts), settings)


def test_tables_agree_with_plain_means(tables):
    pairs = tables["pairs"]
    n_swaps = 3 + 9 + 6 * 2
    for name, rows in pairs.groupby("population"):
        assert name in POPULATIONS
        assert len(rows) == n_swaps * rows["pair_id"].nunique()
        for (scope, part), some in rows.groupby(["scope", "part"]):
            told = (
                tables["summary"]
                .query("population == @name and scope == @scope and part == @part")
                .set_index("measure")
            )
            for measure in ("total_variation", "kl", "attention", "attention_edited"):
                assert told.loc[measure, "value"] == pytest.approx(some[measure].mean(), rel=1e-5)
            transfer = some["logit_shift"].mean() / some["logit_gap"].mean()
            assert told.loc["transfer", "value"] == pytest.approx(transfer, rel=1e-4)
            assert (told["ci_low"] <= told["ci_high"]).all()
            if scope == "all" and part == "both":
                assert transfer == pytest.approx(1, abs=1e-3)
    indices = tables["indices"].set_index(["population", "scope", "measure"])["value"]
    for name in POPULATIONS:
        rows = pairs[(pairs["population"] == name) & (pairs["scope"] == "head")]
        means = rows.groupby("part")["total_variation"].mean()
        expected = (means["values"] - means["keys"]) / (means["values"] + means["keys"])
        assert indices[name, "head", "total_variation"] == pytest.approx(expected, rel=1e-5)
    gap = indices["word pairs", "all", "kl"] - indices[MATCHED_PAIRS, "all", "kl"]
    assert indices["word pairs - matched random pairs", "all", "kl"] == pytest.approx(gap)
    heads = tables["heads"].query("population == 'word pairs'")
    assert list(zip(heads["layer"], heads["kv_head"], strict=True)) == [
        (layer, head) for layer in range(3) for head in range(2)
    ]
    one = pairs.query(
        "population == 'word pairs' and part == 'values' and layer == 2 and kv_head == 1"
    )
    assert heads["values"].iloc[-1] == pytest.approx(one["total_variation"].mean())


def test_pairs_that_are_not_minimal_are_told(tables):
    lost = tables["losses"]
    assert "different numbers of tokens" in " ".join(lost.loc[lost["pair_id"] == "p1", "reason"])
    assert (
        not (tables["pairs"]["pair_id"] == "p1").any()
        or (tables["pairs"].query("pair_id == 'p1'")["population"] == MATCHED_PAIRS).all()
    )


def test_the_founding_pair_has_a_table_of_its_own(tables):
    """Here its words have different numbers of letters (tokens); then others replace them."""
    assert tables["example"].empty
    renamed = tables["pairs"].copy()
    mine = renamed["pair_id"] == "p5"
    renamed.loc[mine, ["head", "m1", "m2"]] = ["network", "social", "neural"]
    example = tabulate_example(renamed).set_index(["scope", "part", "measure"])["value"]
    some = renamed[mine & (renamed["population"] == "word pairs") & (renamed["scope"] == "layer")]
    expected = some.loc[some["part"] == "keys", "kl"].mean()
    assert example["layer", "keys", "kl"] == pytest.approx(expected)


def test_the_index_is_one_where_only_values_matter():
    value, nothing = torch.tensor([1.0, 3.0]), torch.zeros(2)
    assert swap_index(nothing, value) == 1
    assert swap_index(value, nothing) == -1
    assert swap_index(value, value) == 0
    weights = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    found = swap_index(torch.tensor([1.0, 1.0]), value, weights)
    torch.testing.assert_close(found, torch.tensor([1 / 3, 0.0]))


def test_no_interval_leaves_the_possible_range(tables, monkeypatch):
    """However wide the resamples lie."""
    draws = torch.randn(200, generator=torch.Generator().manual_seed(0)).double() * 9

    def estimate(self, measure, *measured):
        observed = measure(*measured)
        return Estimate(observed, observed + draws, observed + draws[:100])

    monkeypatch.setattr(PairBootstrap, "estimate", estimate)
    found = tabulate_swaps(tables["pairs"], resamples=9, seed=0).set_index("measure")
    assert set(found.loc["total_variation", "ci_low"]) == {0.0}
    assert set(found.loc["attention", "ci_high"]) == {1.0}
    assert set(found.loc["kl", "ci_low"]) == {0.0}
    assert (found.loc["kl", "ci_high"] > 1).all()
    indices, _ = tabulate_indices(tables["pairs"], resamples=9, seed=0)
    ends = indices.groupby("population")[["ci_low", "ci_high"]].agg(["min", "max"])
    assert (ends.loc["word pairs"] == [-1, -1, 1, 1]).all()
    gap = ends.loc["word pairs - matched random pairs"]
    assert gap.min() >= -2
    assert gap.max() <= 2


def test_a_killed_run_goes_on_and_ends_alike(given, settings, tables, tmp_path, monkeypatch):
    given = dataclasses.replace(given, parts=tmp_path)
    run, ran = Swapper.run, []

    def dying(self, *args):
        ran.append(1)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setattr(Swapper, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        QUESTION.compute(given, settings)
    again = QUESTION.compute(given, settings)
    monkeypatch.setattr(Swapper, "run", None)
    third = QUESTION.compute(given, settings)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)
        pd.testing.assert_frame_equal(third[name], table)
    more = QUESTION.compute(given, dataclasses.replace(settings, resamples=50))
    pd.testing.assert_frame_equal(more["pairs"], tables["pairs"])


def test_figures_are_drawn_from_the_tables_alone(tables):
    figures = QUESTION.draw(tables)
    assert set(figures) == set(QUESTION.describe(tables, {}).captions)
    for figure in figures.values():
        figure.canvas.draw()


@pytest.mark.parametrize(
    ("low", "high", "verdict", "difference"),
    [
        (0.1, 0.3, "Values carry more, as the", "Values carry more in the word pairs than in"),
        (-0.3, -0.1, "Keys carry more, against", "Values carry less in the word pairs than in"),
        (
            -0.1,
            0.1,
            "It is undetermined",
            "do not clearly differ in that from matched random pairs",
        ),
    ],
)
def test_the_answer_follows_the_intervals(tables, low, high, verdict, difference):
    indices = tables["indices"].assign(value=(low + high) / 2, ci_low=low, ci_high=high)
    section = QUESTION.describe(tables | {"indices": indices}, {})
    change = tables["summary"].query(
        "population == 'word pairs' and scope == 'all' and part == 'values' "
        "and measure == 'total_variation'"
    )["value"]
    assert f"values {change.item():.2f} (" in section.answer[0]
    assert verdict in section.answer[0]
    assert difference in section.answer[1]


def test_too_few_pairs_are_refused(given, settings):
    with pytest.raises(TableError, match="only 1 of 3 word pairs"):
        QUESTION.compute(given, dataclasses.replace(settings, limit=3))


def test_single_heads_need_keys_and_values(given, settings):
    with pytest.raises(UsageError, match=r"Give swaps\.parts_of_heads at least keys,values"):
        QUESTION.compute(given, dataclasses.replace(settings, parts_of_heads=("keys", "both")))


def test_presets_and_settings_in_words():
    assert choose_settings(QUESTION, "full", {}) == SwapSettings(scopes=ALL_SCOPES)
    assert choose_settings(QUESTION, None, {}).scopes == ("all",)
    quick = choose_settings(QUESTION, "quick", {"templates": "t03", "seed": "3"})
    assert (quick.limit, quick.templates, quick.seed) == (24, "t03", 3)
    assert choose_settings(QUESTION, "quick", {"limit": "none"}).limit is None
    with pytest.raises(UsageError, match=r"no preset of swaps 'medium'.*quick, full"):
        choose_settings(QUESTION, "medium", {})


def test_it_is_answered_once_in_a_folder(given, settings, folder, tables, monkeypatch):
    monkeypatch.setattr(Swapper, "run", None)  # the parts are there
    session = Session(folder)
    session.load = session.captured_model = lambda: given.model
    first = answer(QUESTION, session, **dataclasses.asdict(settings))
    pd.testing.assert_frame_equal(first.tables["indices"], tables["indices"])
    assert not answer(QUESTION, session, **dataclasses.asdict(settings)).is_new
    assert session.folder.figure_path("swaps", "heads", "pdf").is_file()
    templates = dataclasses.asdict(settings) | {"templates": "2"}
    assert QUESTION.identify(given, settings) != QUESTION.identify(given, SwapSettings(**templates))


def test_swaps_everywhere_alone_are_a_part_of_the_whole(given, settings, tables):
    alone = QUESTION.compute(given, dataclasses.replace(settings, scopes=("all",)))
    for name in ("summary", "indices"):
        whole = tables[name][tables[name]["scope"] == "all"].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone[name].reset_index(drop=True), whole)
    assert alone["heads"].empty
    assert set(QUESTION.draw(alone)) == {"summary"}
    assert QUESTION.describe(alone, dataclasses.asdict(settings)).answer


def test_swaps_without_those_everywhere_are_refused(given, settings):
    with pytest.raises(UsageError, match="lacks 'all'"):
        QUESTION.compute(given, dataclasses.replace(settings, scopes=("head",)))
