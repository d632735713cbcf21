"""Pooling over models: against the formulas, and by populations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.optimize import brentq
from scipy.stats import chi2
from scipy.stats import t as student

from probes.errors import NonFiniteError, UsageError
from probes.stats import pool_models

VALUES, ERRORS = np.array([54.5, 57.9, 52.6, 54.4, 61.0]), np.array([0.7, 0.9, 1.2, 0.4, 2.0])


def weigh(values, errors, between):
    weights = 1 / (errors**2 + between)
    mean = (weights * values).sum() / weights.sum()
    return weights, mean, (weights * (values - mean) ** 2).sum()


def test_it_is_the_fit_of_paule_and_mandel_with_the_interval_of_hartung_and_knapp():
    count = len(VALUES)
    between = brentq(lambda b: weigh(VALUES, ERRORS, b)[2] - (count - 1), 0, 1e3)
    weights, mean, _ = weigh(VALUES, ERRORS, between)
    variance = (weights * (VALUES - mean) ** 2).sum() / (count - 1) / weights.sum()
    reach = student.ppf(0.975, count - 1) * math.sqrt(max(variance, 1 / weights.sum()))
    found = pool_models(VALUES, ERRORS)
    assert found.models == count
    assert found.spread == pytest.approx(math.sqrt(between), rel=1e-3)
    assert found.value == pytest.approx(mean, rel=1e-5)
    assert (found.low, found.high) == pytest.approx((mean - reach, mean + reach), rel=1e-4)
    q = weigh(VALUES, ERRORS, 0.0)[2]
    assert found.inconsistency == pytest.approx(1 - (count - 1) / q)
    assert found.p_alike == pytest.approx(chi2.sf(q, count - 1))
    ahead = student.ppf(0.975, count - 1) * VALUES.std(ddof=1) * math.sqrt(1 + 1 / count)
    assert found.new_high == pytest.approx(VALUES.mean() + ahead)
    assert found.new_low == pytest.approx(VALUES.mean() - ahead)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("count", [4, 7, 12])
def test_the_interval_for_a_new_model_holds_it_as_often_as_it_says(count, spread):
    random = np.random.default_rng([count, int(10 * spread)])
    held = mean_held = 0
    for _ in range(400):
        errors = random.uniform(0.5, 1.5, count)
        values = random.normal(0, spread, count) + random.normal(0, errors)
        found = pool_models(values, errors)
        new = random.normal(0, spread) + random.normal(0, random.uniform(0.5, 1.5))
        held += found.new_low <= new <= found.new_high
        mean_held += found.low <= 0 <= found.high
    assert 0.915 < held / 400 < 0.98  # .92 to .97, and two standard errors of 400
    assert mean_held / 400 > 0.915


@given(some.lists(some.floats(-100, 100), min_size=2, max_size=6), some.floats(-50, 50))
def test_a_shift_of_all_models_shifts_everything(values, shift):
    values, errors = np.array(values), np.linspace(0.5, 2, len(values))
    one, other = pool_models(values, errors), pool_models(values + shift, errors)
    assert other.value - one.value == pytest.approx(shift, abs=1e-3)
    assert other.high - other.low == pytest.approx(one.high - one.low, abs=1e-3)


def test_models_that_agree_have_no_spread():
    found = pool_models(np.full(5, 3.0), np.full(5, 0.2))
    assert (found.value, found.spread, found.inconsistency) == (pytest.approx(3), 0, 0)
    assert found.low == pytest.approx(3 - student.ppf(0.975, 4) * 0.2 / math.sqrt(5))
    assert found.p_alike == 1


def test_few_models():
    one = pool_models(np.array([2.0]), np.array([1.0]))
    assert one.value == 2
    assert math.isnan(one.low)
    two = pool_models(np.array([2.0, 3.0]), np.array([1.0, 1.0]))
    assert math.isfinite(two.low)
    assert math.isnan(two.new_low)


@pytest.mark.parametrize(
    ("values", "errors", "kind", "told"),
    [
        ([], [], UsageError, "0 values and 0 errors"),
        ([1.0, 2.0], [1.0], UsageError, "2 values and 1 errors"),
        ([1.0, 2.0], [1.0, 0.0], UsageError, "above 0"),
        ([1.0, math.nan], [1.0, 1.0], NonFiniteError, "leave it out"),
        ([1.0, 2.0], [1.0, math.inf], NonFiniteError, "leave it out"),
    ],
)
def test_what_cannot_be_pooled_is_refused(values, errors, kind, told):
    with pytest.raises(kind, match=told):
        pool_models(np.array(values), np.array(errors))
