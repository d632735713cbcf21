"""Seeds: t tests as scipy has them, and the jackknife where theory knows the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.stats import jackknife_interval
from probes.tying.seeds import summarise_seeds


@settings(deadline=None)
@given(
    numbers=st.lists(st.floats(-1, 1), min_size=2, max_size=6).filter(lambda f: np.std(f) > 1e-3),
    margin=st.floats(0.01, 2),
)
def test_intervals_and_tests_are_scipys(numbers, margin):
    found = summarise_seeds(np.array(numbers), margin=margin)
    reference = scipy.stats.ttest_1samp(numbers, 0)
    low, high = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == pytest.approx(np.mean(numbers))
    assert found.p_different == pytest.approx(reference.pvalue)
    sides = [
        scipy.stats.ttest_1samp(numbers, at, alternative=side).pvalue
        for at, side in ((-margin, "greater"), (margin, "less"))
    ]
    assert found.p_equivalent == pytest.approx(max(sides))


@settings(deadline=None)
@given(numbers=st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_the_jackknife_of_a_mean_is_its_t_interval(numbers):
    numbers = np.array(numbers)
    without = np.array([np.delete(numbers, number).mean() for number in range(len(numbers))])
    low, high = jackknife_interval(np.array(numbers.mean()), without)
    plain = summarise_seeds(numbers)
    assert (low, high) == pytest.approx((plain.low, plain.high), abs=1e-9)


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ([0.001, 0.0, -0.001], "equivalent"),
        ([0.1, 0.11, 0.12], "different"),
        ([0.1, -0.1, 0.02], "undecided"),
        ([0.005, 0.0051, 0.0049], "equivalent"),  # certainly there, certainly small
        ([0.0, 0.0, 0.0], "equivalent"),
        ([0.5, 0.5, 0.5], "different"),
        ([0.5], "undecided"),
    ],
)
def test_verdicts(numbers, verdict):
    assert summarise_seeds(np.array(numbers), margin=0.01).verdict == verdict


def test_one_seed_has_no_interval():
    found = summarise_seeds(np.array([0.3]), margin=0.01)
    assert found.value == 0.3
    assert math.isnan(found.low)
    assert math.isnan(found.p_equivalent)


def test_what_cannot_be_summarised_is_refused():
    with pytest.raises(UsageError, match="no seed"):
        summarise_seeds(np.array([]))
    with pytest.raises(UsageError, match=r"margin is 0\.0"):
        summarise_seeds(np.array([1.0]), margin=0.0)
    with pytest.raises(NonFiniteError, match="a seed is NaN"):
        summarise_seeds(np.array([1.0, math.nan]))
