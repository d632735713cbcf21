"""Many heads tested at once: false discovery rate and family-wise error."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import false_discovery_control
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite
from probes.stats.permutation import Alternative, check_null, permutation_p


def benjamini_hochberg(p_values: Float[Tensor, "*test"]) -> Float[Tensor, "*test"]:
    """Adjust p-values: rejecting those below q keeps the false discovery rate at q.

    All axes together are one family. Benjamini & Hochberg 1995, as scipy computes it; valid for
    independent and for positively dependent tests (Benjamini & Yekutieli 2001).

    Parameters
    ----------
    p_values
        Any shape.

    Returns
    -------
    Float[Tensor, "*test"]
        float64, same shape. m equal p-values stay what they are; the smallest of m whose others are
        1 is multiplied by m (at most 1).

    Raises
    ------
    NonFiniteError
        If a p-value is NaN or infinite.
    """
    require_finite("the p-values", p_values)
    flat = false_discovery_control(p_values.double().numpy(), axis=None)
    return torch.from_numpy(np.asarray(flat)).reshape(p_values.shape)


def max_t(
    observed: Float[Tensor, "test"],
    null_samples: Float[Tensor, "sample test"],
    *,
    alternative: Alternative,
) -> Float[Tensor, "test"]:
    """Family-wise adjusted p-values: each test against the most extreme test of every sample.

    The single-step max-T of Westfall & Young 1993. It uses the dependence between heads, so the
    columns of one row must come from the same null sample. Bring the tests to one scale first
    (subtract the null mean, divide by the null deviation): the largest is the largest in these
    units, and a "two-sided" test compares absolute values, so 0 must be the null's middle.

    Parameters
    ----------
    observed
        The statistic of every test.
    null_samples
        The same statistics in every sample of the null model.
    alternative
        "greater", "less" or "two-sided".

    Returns
    -------
    Float[Tensor, "test"]
        float64. Equal to :func:`permutation_p` for one test (one-sided); never below it.

    Raises
    ------
    UsageError
        For an unknown alternative, no samples, no tests, or shapes that disagree.
    NonFiniteError
        If anything is NaN or infinite.
    """
    check_null(observed, null_samples, alternative)
    if observed.ndim != 1 or observed.numel() == 0:
        raise UsageError(
            f"The observed statistics have shape {tuple(observed.shape)}; give one axis of tests."
        )
    if alternative == "less":
        observed, null_samples = -observed, -null_samples
    elif alternative == "two-sided":
        observed, null_samples = observed.abs(), null_samples.abs()
    largest = null_samples.max(dim=1, keepdim=True).values.expand(-1, observed.shape[0])
    return permutation_p(observed, largest, alternative="greater")
