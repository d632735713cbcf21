"""p-values from samples of a null model."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite

Alternative = Literal["greater", "less", "two-sided"]

ROUNDING = 1e-12
"""Relative: the same arrangement summed in another order is still a tie."""


def permutation_p(
    observed: Float[Tensor, "*test"],
    null_samples: Float[Tensor, "sample *test"],
    *,
    alternative: Alternative,
) -> Float[Tensor, "*test"]:
    """Permutation p-values, (r + 1) / (n + 1) with r null samples at least as extreme.

    Never 0, and valid for any number of samples: the observation is itself one of the equally
    likely arrangements (Phipson & Smyth 2010, "Permutation p-values should never be zero").
    "two-sided" is twice the smaller one-sided p-value, at most 1.

    Parameters
    ----------
    observed
        The statistic of every test (head).
    null_samples
        The same statistic under the null model.
    alternative
        "greater", "less" or "two-sided".

    Returns
    -------
    Float[Tensor, "*test"]
        float64, above 0 and at most 1. Unchanged when one increasing map is applied to both.

    Raises
    ------
    UsageError
        For an unknown alternative, no samples, or shapes that disagree.
    NonFiniteError
        If anything is NaN or infinite.
    """
    check_null(observed, null_samples, alternative)
    observed, null_samples = observed.double(), null_samples.double()
    # Of the largest of them all: at an observation of 0 its own size would leave no slack.
    slack = ROUNDING * torch.maximum(observed.abs(), null_samples.abs().amax(dim=0))
    n = null_samples.shape[0]
    greater = ((null_samples >= observed - slack).sum(dim=0) + 1).double() / (n + 1)
    less = ((null_samples <= observed + slack).sum(dim=0) + 1).double() / (n + 1)
    if alternative == "greater":
        return greater
    if alternative == "less":
        return less
    return (2 * torch.minimum(greater, less)).clamp(max=1.0)


def check_null(observed: Tensor, null_samples: Tensor, alternative: str) -> None:
    """Refuse a null matrix that does not belong to these observations."""
    if alternative not in ("greater", "less", "two-sided"):
        raise UsageError(
            f'The alternative is {alternative!r}; choose "greater", "less" or "two-sided".'
        )
    if null_samples.ndim == 0 or null_samples.shape[1:] != observed.shape:
        raise UsageError(
            f"The null samples have shape {tuple(null_samples.shape)}; expected "
            f"(sample, *{tuple(observed.shape)}), one row per sample of the null model."
        )
    if null_samples.shape[0] == 0:
        raise UsageError("There are no null samples; draw at least one.")
    require_finite("the observed statistics", observed)
    require_finite("the null samples", null_samples)
