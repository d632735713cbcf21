"""Scaling curves: planted ones are found, and the factor is a shift along the axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.tying.scaling import fit_scaling


def plant(floor, scale, exponent, factors, sizes=(2e4, 5e4, 1e5, 3e5)):
    parameters = np.concatenate([np.array(sizes) * (1 - 0.03 * n) for n in range(len(factors))])
    variants = np.repeat(np.arange(len(factors)), len(sizes))
    losses = floor + scale * (parameters / np.array(factors)[variants]) ** -exponent
    return parameters, losses, variants


@settings(deadline=None, max_examples=25)
@given(
    floor=st.floats(0.3, 1.5),
    gain=st.floats(0.3, 2.0),
    exponent=st.floats(0.15, 0.7),
    tied=st.floats(0.7, 3.0),
    wide=st.floats(0.7, 3.0),
)
def test_planted_curves_are_found(floor, gain, exponent, tied, wide):
    scale = gain * 1e5**exponent
    parameters, losses, variants = plant(floor, scale, exponent, [1.0, tied, wide])
    fit = fit_scaling(parameters, losses, variants)
    assert fit.factors == pytest.approx([1.0, tied, wide], rel=1e-3)
    assert fit.floor == pytest.approx(floor, abs=0.02)
    assert fit.exponent == pytest.approx(exponent, rel=0.05)
    for number in range(3):
        mine = variants == number
        told = parameters[mine] / fit.factors[number]
        told = fit.floor + fit.scale * told**-fit.exponent
        assert told == pytest.approx(losses[mine], abs=1e-4)


def test_three_times_the_parameters_is_three_times_the_factor():
    parameters, losses, variants = plant(1.2, 40.0, 0.4, [1.0, 1.5])
    losses = losses + np.random.default_rng(0).normal(0, 0.01, len(losses))
    before = fit_scaling(parameters, losses, variants)
    after = fit_scaling(np.where(variants == 1, 3, 1) * parameters, losses, variants)
    assert after.factors[1] == pytest.approx(3 * before.factors[1], rel=1e-3)
    assert after.residual == pytest.approx(before.residual, rel=1e-3)
    assert 0.001 < before.residual < 0.02


def test_what_cannot_be_fitted_is_refused():
    parameters, losses, variants = plant(1.2, 40.0, 0.4, [1.0, 1.5])
    with pytest.raises(UsageError, match="three of one variant"):
        fit_scaling(parameters[:2], losses[:2], variants[:2])
    with pytest.raises(NonFiniteError, match="loss is NaN"):
        fit_scaling(parameters, losses * np.nan, variants)
