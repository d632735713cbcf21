"""A table of pairs that was chosen by relatedness must not decide the four answers."""

from __future__ import annotations

import shutil
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from analyses.co_attended.sources import leave_out_selected, measure_sentences
from analyses.co_attended.tables import tabulate_answers
from probes.capture import CaptureSettings, capture
from probes.capture.contexts import ContextPairs
from probes.capture.plan_contexts import plan_coordination
from probes.words.coordination import load_coordinations
from tests.sealing import replace_table
from tests.tiny import tiny_model

MODIFIERS = tuple(f"{first}{second}" for first in ("a", "be", "co", "du") for second in "lmnrst")
DRAWN = 60


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Captures whose tables list 0, a third and two thirds of pairs chosen for their alike keys."""
    model, folder = tiny_model("llama", n_layers=1), tmp_path_factory.mktemp("selected")
    pairs = pd.DataFrame(combinations(MODIFIERS, 2), columns=["m1", "m2"])
    pairs = pairs.sample(frac=1, random_state=0).reset_index(drop=True)
    pairs = pairs.assign(head="fox", pair_id=[f"p{row}" for row in range(len(pairs))])
    plan = plan_coordination(model.tokenizer, pairs, load_coordinations(count=2))
    settings = CaptureSettings(dtype="float32")
    store = capture(model, plan, folder / "all", settings=settings)
    found = store.table("pairs")
    keys = store.read("k", 0).flatten(1).numpy()
    alike = -np.linalg.norm(keys[found["left"]] - keys[found["right"]], axis=1)
    found["alike"] = found.assign(alike=alike).groupby("pair_id")["alike"].transform("mean")
    drawn = set(pairs["pair_id"].head(DRAWN))
    order = found[~found["pair_id"].isin(drawn)].sort_values("alike", ascending=False)["pair_id"]
    made = {}
    for listed in (0, DRAWN // 2, 2 * DRAWN):
        chosen = set(order.drop_duplicates().head(listed))
        table = found[found["pair_id"].isin(drawn | chosen)].drop(columns="alike")
        source = table["pair_id"].isin(drawn).map({True: "unconnected", False: "listed"})
        shutil.copytree(store.folder, folder / str(listed))
        kept = table.assign(source=source).reset_index(drop=True)
        store_of = replace_table(folder / str(listed), "pairs", kept)
        made[listed / (DRAWN + listed)] = store_of
    return made


def answer(store, *, by_chance=True):
    pairs, judged = leave_out_selected(store) if by_chance else (ContextPairs.of(store), None)
    return measure_sentences(store, pairs, "coordination", share=0.25, seed=0, judged=judged)


def test_the_answers_do_not_move_with_the_share_of_related_pairs(stores):
    assert list(stores) == pytest.approx([0, 1 / 3, 2 / 3])
    first, *others = (answer(store) for store in stores.values())
    assert first.judged == first.units == DRAWN
    expected = tabulate_answers([first], None)
    assert expected["reason"].str.contains("distinct").sum() == 0  # all of them are judged
    for other in others:
        pd.testing.assert_frame_equal(tabulate_answers([other], None), expected)
        assert move(first, other) == 0
    # With the pairs that the table lists, the same figures do move.
    assert move(first, answer(stores[max(stores)], by_chance=False)) > 1


def move(one, other):
    sides = [each.read("own", "key_percentile").observed for each in (one, other)]
    return abs(float(sides[1] - sides[0]))


@pytest.mark.parametrize("source", ["listed", None])
def test_too_few_pairs_by_chance_answer_nothing_and_are_counted(source, stores, tmp_path):
    shutil.copytree(stores[0].folder, tmp_path / "copy")
    table = stores[0].table("pairs").drop(columns="source")
    if source is not None:
        table = table.assign(source=source)
    store = replace_table(tmp_path / "copy", "pairs", table)
    pairs, judged = leave_out_selected(store)
    assert pairs.n_distinct == DRAWN
    assert judged == (0 if source else None)  # a user's sentences do not say
    found = measure_sentences(store, pairs, "coordination", share=0.25, seed=0, judged=judged)
    reasons = tabulate_answers([found], None)["reason"]
    assert reasons.str.contains("0 distinct pairs of words, and 50 are needed").sum() == (
        3 if source else 0
    )
