"""Estimates as columns of tables: with intervals, and tests of many heads or relations at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.bootstrap import interval
from probes.stats.estimates import Estimate
from probes.stats.multiple import benjamini_hochberg, max_t

UNBOUNDED = (-np.inf, np.inf)
_NORMAL_95 = 1.959964


def tabulate_estimate(
    estimate: Estimate, possible: tuple[float, float] = UNBOUNDED
) -> dict[str, float]:
    """Return ``value, ci_low, ci_high`` of one figure; no end leaves the `possible` range.

    The interval is missing (NaN) if the figure could not be measured in every resample.
    """
    value = float(estimate.observed)
    parts = (estimate.observed, estimate.by_word, estimate.by_pair)
    if not all(bool(part.isfinite().all()) for part in parts):
        return {"value": value, "ci_low": np.nan, "ci_high": np.nan}
    low, high = (end.clamp(*possible) for end in estimate.interval())
    return {"value": value, "ci_low": float(low), "ci_high": float(high)}


def range_of_difference(possible: tuple[float, float]) -> tuple[float, float]:
    """Return the possible range of the difference of two figures."""
    low, high = possible
    return low - high, high - low


def tabulate_samples(value: Tensor, samples: Float[Tensor, " resample"]) -> dict[str, float]:
    """Return ``value, ci_low, ci_high`` of one figure whose resamples give its interval."""
    low, high = interval(samples)
    return {"value": float(value), "ci_low": float(low), "ci_high": float(high)}


def tabulate_tests(estimate: Estimate) -> dict[str, Any]:
    """Return interval, p and both corrected p-values of every figure, all figures one family.

    The standard error is that of the interval (its width over 2 x 1.96), ``p`` is two-sided and
    normal. ``p_bh`` controls the false discovery rate (Benjamini & Hochberg 1995). ``p_max_t``
    controls the family-wise error (Westfall & Young 1993): each |figure / error| against the
    largest |deviation / its spread| of the same resample of the words, which keeps the dependence
    between heads; it cannot be below 1 / (resamples + 1).

    Returns
    -------
    ``value, ci_low, ci_high, p, p_bh, p_max_t``, flattened.
    """
    low, high = (end.flatten() for end in estimate.interval())
    observed = estimate.observed.double().flatten()
    error = (high - low) / (2 * _NORMAL_95)
    tiny = torch.finfo(torch.float64).tiny
    score = observed / error.clamp_min(tiny)
    samples = estimate.by_word.double().flatten(1)
    deviation = samples - samples.mean(0)
    deviation = deviation / samples.std(0).clamp_min(tiny)
    p = torch.special.erfc(score.abs() / 2**0.5)
    columns: dict[str, Tensor] = {
        "value": observed,
        "ci_low": low,
        "ci_high": high,
        "p": p,
        "p_bh": benjamini_hochberg(p),
        "p_max_t": max_t(score, deviation, alternative="two-sided"),
    }
    return {name: np.asarray(column) for name, column in columns.items()}
