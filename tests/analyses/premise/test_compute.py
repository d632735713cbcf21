"""The premise on a real tiny capture, and the sentences on figures that are known."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from analyses.premise import QUESTION, PremiseSettings
from analyses.premise.compute import _bound
from analyses.shared.given import Given
from probes.capture import locate_pairs
from probes.errors import TableError
from probes.similarity.catalogue import ATTENDED, TOPS
from probes.stats.estimates import Estimate
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

SETTINGS = PremiseSettings(resamples=40, attended=0.4)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return capture_tiny(tiny_model("llama", seed=2), tmp_path_factory.mktemp("capture"))


@pytest.fixture(scope="module")
def tables(store):
    return QUESTION.compute(Given(store=store), SETTINGS)


def describe(tables):
    return QUESTION.describe(tables, asdict(SETTINGS))


def belong(figures, count):
    """By how much each belongs to the `count` highest; ties at the edge share what is left."""
    edge = figures.sort(descending=True).values[count - 1]
    above, tied = figures > edge, figures == edge
    return above.double() + tied * (count - int(above.sum())) / int(tied.sum())


def test_the_lift_is_a_share_of_pairs_counted_by_hand(store, tables):
    pairs, queries = store.table("pairs"), store.table("queries")
    left, right = locate_pairs(pairs, queries, ["t00", "t01"])
    where = {(row.template_id, row.head, row.modifier): row.query for row in queries.itertuples()}
    attention = store.read("attention", 1)

    def attend(side):
        rows = [
            [where[template, head, word] for template in ("t00", "t01")]
            for head, word in zip(pairs["head"], pairs[side], strict=True)
        ]
        return attention[torch.tensor(rows)].mean(1)  # [pair, head]

    weights = torch.cat([attend("m1"), attend("m2")])
    keys = store.read("k", 1)[:, 1]  # kv head 1, read by query heads 2 and 3
    cosines = torch.cosine_similarity(keys[torch.tensor(left)], keys[torch.tensor(right)], dim=-1)
    s_k, n = cosines.mean(1), len(pairs)
    similar = belong(s_k, n // 10)
    both = total = 0
    for head in (2, 3):
        high = belong(weights[:, head], round(0.4 * 2 * n))
        total += float((high[:n] * high[n:]).sum())
        both += float((high[:n] * high[n:] * similar).sum())
    own = tables["heads"].query("layer == 1 and kv_head == 1 and space == 'raw'")
    found = own.query("measure == 'premise_lift_10%'")["value"].item()
    assert found == pytest.approx(both / total / 0.1, abs=1e-9)


def test_means_and_differences_are_over_heads(tables):
    summary, heads = tables["summary"], tables["heads"]
    place = "space == 'functional' and measure == 'premise_lift_5%'"
    value = summary.query(f"{place} and condition == 'trained'")["value"].item()
    assert value == pytest.approx(heads.query(place)["value"].mean())
    other = summary.query(f"{place} and condition == 'mismatched_heads'")["value"].item()
    gap = summary.query(f"{place} and condition == 'trained - mismatched_heads'")
    assert gap["value"].item() == pytest.approx(value - other)
    assert gap["ci_low"].item() <= gap["value"].item() <= gap["ci_high"].item()


@pytest.mark.parametrize(
    ("lift", "gap", "start", "end"),
    [
        ((1.5, 1.2, 1.8), (0.2, 0.1, 0.3), "The premise holds", "more than for the keys of"),
        (
            (1.1, 0.9, 1.3),
            (0.0, -0.1, 0.1),
            "The premise cannot be distinguished",
            "no differently from",
        ),
        ((0.6, 0.5, 0.7), (-0.2, -0.3, -0.1), "The opposite of the premise", "less than for the"),
    ],
)
def test_answers_by_rule(tables, lift, gap, start, end):
    summary = tables["summary"].copy()
    for condition, figures in (("trained", lift), ("trained - mismatched_heads", gap)):
        own = (
            (summary["space"] == "functional")
            & (summary["measure"] == "premise_lift_5%")
            & (summary["condition"] == condition)
        )
        summary.loc[own, ["value", "ci_low", "ci_high"]] = figures
    [sentence] = describe({**tables, "summary": summary}).answer
    assert sentence.startswith(start)
    assert end in sentence


def test_draws_and_describes_one_kv_head_a_layer(tables):
    heads = tables["heads"].drop(columns="mismatched_heads_mean")
    summary = tables["summary"].query("condition == 'trained'")
    one = {"heads": heads, "summary": summary}
    assert "single kv head" in describe(one).answer[0]
    assert set(QUESTION.draw(one)) == set(QUESTION.draw(tables)) == {"lift"}


def test_a_head_whose_resamples_hold_no_attended_pair_has_no_interval(store):
    settings = PremiseSettings(resamples=60, attended=0.05)
    tables = QUESTION.compute(Given(store=store), settings)
    heads = tables["heads"]
    bare = heads["ci_low"].isna()
    assert bare.any()
    assert (bare == heads["ci_high"].isna()).all()
    tables["summary"][["ci_low", "ci_high"]] = np.nan
    [sentence] = QUESTION.describe(tables, asdict(settings)).answer
    assert "nan" not in sentence


@pytest.mark.parametrize("difference", [False, True])
def test_no_interval_leaves_the_range_of_a_lift(difference):
    """1 / top is the most there can be; few pairs give wide intervals."""
    random = torch.Generator().manual_seed(0)
    most = 1 / torch.tensor(TOPS, dtype=torch.float64)
    by_word = most * (1 + 9 * torch.randn(200, len(TOPS), generator=random))
    low, high = _bound(Estimate(most * 0.9, by_word, by_word[:100]), difference=difference)
    assert (high == most).all()
    assert (low == (-most if difference else 0)).all()


def test_the_share_that_counts_as_high_is_the_catalogues_and_is_told(tables):
    assert PremiseSettings().attended == ATTENDED
    [explanation] = describe(tables).explanation
    assert "the highest 40 % of the weights" in explanation


def test_too_few_pairs_are_refused(tmp_path):
    model = tiny_model("llama", seed=2)
    store = capture_tiny(model, tmp_path, n_pairs=5)
    with pytest.raises(TableError, match="only 5 of 5 pairs"):
        QUESTION.compute(Given(store=store), SETTINGS)
