"""Swaps end to end on a tiny model: the tables against plain sums, resuming, figures."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
import torch

from analyses.swaps.compute import compute as swaps
from analyses.swaps.compute import SwapSettings, compute, draw
from analyses.swaps.tables import swap_index, tabulate_example
from probes.causal.swaps import Swapper
from probes.errors import TableError, UsageError
from tests.tiny import tiny_model

SETTINGS = SwapSettings(parts_of_heads=("key", "value"), batch_size=4, resamples=40)
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


@pytest.fixture(scope="module")
def model():
    return tiny_model("qwen2", n_layers=3)


@pytest.fixture(scope="module")
def tables(model):
    return compute(model, make_pairs(), TEMPLATES, settings=SETTINGS)


def test_tables_agree_with_plain_means(tables):
    pairs = tables["pairs"]
    n_swaps = 3 + 9 + 6 * 2
    for name, rows in pairs.groupby("population"):
        assert name in ("word pairs", "random pairs")
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
    for name in ("word pairs", "random pairs"):
        rows = pairs[(pairs["population"] == name) & (pairs["scope"] == "head")]
        means = rows.groupby("part")["total_variation"].mean()
        expected = (means["value"] - means["key"]) / (means["value"] + means["key"])
        assert indices[name, "head", "total_variation"] == pytest.approx(expected, rel=1e-5)
    gap = indices["word pairs", "all", "kl"] - indices["random pairs", "all", "kl"]
    assert indices["word pairs - random pairs", "all", "kl"] == pytest.approx(gap)
    heads = tables["heads"].query("population == 'word pairs'")
    assert list(zip(heads["layer"], heads["kv_head"], strict=True)) == [
        (layer, head) for layer in range(3) for head in range(2)
    ]
    one = pairs.query(
        "population == 'word pairs' and part == 'value' and layer == 2 and kv_head == 1"
    )
    assert heads["value"].iloc[-1] == pytest.approx(one["total_variation"].mean())


def test_pairs_that_are_not_minimal_are_told(tables):
    lost = tables["losses"]
    assert "different numbers of tokens" in " ".join(lost.loc[lost["pair_id"] == "p1", "reason"])
    assert (
        not (tables["pairs"]["pair_id"] == "p1").any()
        or (tables["pairs"].query("pair_id == 'p1'")["population"] == "random pairs").all()
    )


def test_the_founding_pair_has_a_table_of_its_own(tables):
    """Here its words have different numbers of letters, that is of tokens; then others stand in."""
    assert tables["example"].empty
    renamed = tables["pairs"].copy()
    mine = renamed["pair_id"] == "p5"
    renamed.loc[mine, ["head", "m1", "m2"]] = ["network", "social", "neural"]
    example = tabulate_example(renamed).set_index(["scope", "part", "measure"])["value"]
    some = renamed[mine & (renamed["population"] == "word pairs") & (renamed["scope"] == "layer")]
    expected = some.loc[some["part"] == "key", "kl"].mean()
    assert example["layer", "key", "kl"] == pytest.approx(expected)


def test_the_index_is_one_where_only_values_matter():
    value, nothing = torch.tensor([1.0, 3.0]), torch.zeros(2)
    assert swap_index(nothing, value) == 1
    assert swap_index(value, nothing) == -1
    assert swap_index(value, value) == 0
    weights = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    found = swap_index(torch.tensor([1.0, 1.0]), value, weights)
    torch.testing.assert_close(found, torch.tensor([1 / 3, 0.0]))


def test_a_killed_run_goes_on_and_ends_alike(model, tables, tmp_path, monkeypatch):
    run, ran = Swapper.run, []

    def dying(self, *args):
        ran.append(1)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setattr(Swapper, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        compute(model, make_pairs(), TEMPLATES, settings=SETTINGS, folder=tmp_path)
    again = compute(model, make_pairs(), TEMPLATES, settings=SETTINGS, folder=tmp_path)
    monkeypatch.setattr(Swapper, "run", None)
    third = compute(model, make_pairs(), TEMPLATES, settings=SETTINGS, folder=tmp_path)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)
        pd.testing.assert_frame_equal(third[name], table)


def test_figures_are_drawn_from_the_tables_alone(tables):
    for figure in draw(tables).values():
        figure.canvas.draw()


def test_too_few_pairs_are_refused(model):
    with pytest.raises(TableError, match="only 3 word pairs"):
        compute(model, make_pairs()[9:12], TEMPLATES, settings=SETTINGS)


def test_presets():
    assert swaps.choose_settings("full").templates == 2
    with pytest.raises(UsageError, match="quick or full"):
        swaps.choose_settings("medium")
