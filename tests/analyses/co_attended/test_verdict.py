"""The four answers follow from numbers, errors and counts by the rules that were fixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from analyses.co_attended.verdict import (
    ANSWERS,
    Evidence,
    correct_holm,
    judge,
    try_difference,
    try_keys,
    try_use,
    try_values,
)
from probes.stats.clusters import Clusters, RatioEstimate

SURE = 1e-3


def verdicts(tests, *, pairs=200, selected=100):
    return [answer.verdict for answer in judge(tests, pairs=pairs, selected=selected)]


def every(*, keys, keys_beyond, gap, difference, beyond, values, quadrant, share, index, more):
    numbers = {
        name: Evidence(float(value), SURE)
        for name, value in {
            "keys": keys,
            "keys_beyond": keys_beyond,
            "gap": gap,
            "difference": difference,
            "beyond": beyond,
            "values": values,
            "quadrant": quadrant,
            "share": share,
            "index": index,
            "more": more,
        }.items()
    }
    return {
        "keys alike": try_keys(numbers["keys"], numbers["keys_beyond"], numbers["gap"]),
        "values less alike": try_difference(numbers["difference"], numbers["beyond"]),
        "values dissimilar": try_values(numbers["values"], numbers["quadrant"], numbers["share"]),
        "difference used": try_use(numbers["index"], numbers["more"]),
    }


CLAIM = {
    "keys": 70, "keys_beyond": 10, "gap": 1.0, "difference": 20, "beyond": 15, "values": 45,
    "quadrant": 0.1, "share": 1.0, "index": 0.3, "more": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["yes"] * 4),
        ({"keys": 52}, ["no", "yes", "yes", "yes"]),
        ({"keys_beyond": -3}, ["no", "yes", "yes", "yes"]),
        ({"keys": 40, "gap": 0.05}, ["yes"] * 4),  # alike by size, whatever the rank
        ({"difference": -4}, ["yes", "no", "yes", "yes"]),
        ({"beyond": 0.2}, ["yes", "yes", "yes", "yes"]),
        ({"values": 60, "quadrant": -0.02}, ["yes", "yes", "no", "yes"]),
        ({"values": 52}, ["yes"] * 4),  # the quadrant alone is enough
        ({"values": 60}, ["yes", "yes", "no", "yes"]),  # but not where keys would count as alike
        ({"share": 0.2}, ["yes", "yes", "no", "yes"]),
        ({"index": -0.1}, ["yes", "yes", "yes", "no"]),
        ({"more": 0.0}, ["yes", "yes", "yes", "no"]),  # no more than random matched pairs
    ],
)
def test_each_answer_follows_its_own_numbers(changes, expected):
    assert verdicts(every(**(CLAIM | changes))) == expected


def test_what_is_not_known_is_undetermined():
    wide = Evidence(70.0, 100.0)
    tests = every(**CLAIM) | {"keys alike": try_keys(wide, wide, wide), "difference used": None}
    assert verdicts(tests) == ["undetermined", "yes", "yes", "undetermined"]


@pytest.mark.parametrize(("pairs", "selected"), [(49, 40), (200, 9)])
def test_few_pairs_answer_nothing(pairs, selected):
    tests = every(**CLAIM)
    found = judge(tests, pairs=pairs, selected=selected)
    assert {answer.verdict for answer in found} == {"undetermined"}
    assert all(str(pairs if pairs < 50 else selected) in answer.reason for answer in found)
    assert [answer.question for answer in found] == list(ANSWERS.values())


def test_a_number_that_is_missing_shows_nothing():
    assert Evidence(math.nan, 1.0).p_above(0.0) == Evidence(1.0, math.nan).p_below(0.0) == 1.0


@given(some.lists(some.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_that_of_the_definition(p):
    order = np.argsort(p, kind="stable")
    expected = np.empty(len(p))
    for place, number in enumerate(order):
        scaled = [(len(p) - rank) * p[order[rank]] for rank in range(place + 1)]
        expected[number] = min(1.0, max(scaled))
    np.testing.assert_allclose(correct_holm(p), expected)


def test_tests_are_by_t_as_the_intervals_are():
    """With few documents, an interval that holds the mark and a p below the level never meet."""
    random = torch.Generator().manual_seed(0)
    above = torch.randn(40, 7, generator=random).double() + 0.7
    estimate = RatioEstimate.of(above, torch.ones(40, 7))
    clusters = Clusters.of_documents(7)
    low, _ = clusters.interval(estimate)
    variance, degrees = clusters.variance(estimate)
    numbers = zip(estimate.observed, variance.sqrt(), degrees, low, strict=True)
    differ = 0
    for value, error, of, end in numbers:
        found = Evidence(float(value), float(error), float(of))
        assert (found.p_above(0.0) < 0.025) == bool(end > 0)
        differ += (Evidence(float(value), float(error)).p_above(0.0) < 0.025) != bool(end > 0)
    assert differ > 3  # the normal distribution says otherwise
