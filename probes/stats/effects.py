"""How far a figure lies from its null, in units of the null's spread."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.permutation import check_null

_ROUNDING = 1e-12  # relative: null samples that differ by less than this are one number


def null_moments(
    null_samples: Float[Tensor, "sample *test"],
) -> tuple[Float[Tensor, "*test"], Float[Tensor, "*test"]]:
    """Return mean and standard deviation of the null samples, float64.

    The deviation has n - 1 in its denominator. It is NaN for one sample, and exactly 0 where the
    samples differ by rounding only.
    """
    samples = null_samples.double()
    mean = samples.mean(dim=0)
    if samples.shape[0] < 2:
        return mean, torch.full_like(mean, torch.nan)
    sd = samples.std(dim=0)
    return mean, torch.where(sd > _ROUNDING * samples.abs().amax(dim=0), sd, 0.0)


def standardised_effect(
    observed: Float[Tensor, "*test"], null_samples: Float[Tensor, "sample *test"]
) -> Float[Tensor, "*test"]:
    """Compute (value - null mean) / null standard deviation.

    Parameters
    ----------
    observed
        The statistic of every test (head).
    null_samples
        The same statistic under the null model.

    Returns
    -------
    Float[Tensor, "*test"]
        float64. Unchanged by ``a x + b`` with a > 0 on both; a < 0 turns its sign. NaN where the
        null has no spread to measure by: one null sample, or samples that are all equal.

    Raises
    ------
    UsageError
        If shapes disagree or there are no samples.
    NonFiniteError
        If anything is NaN or infinite.
    """
    check_null(observed, null_samples, "two-sided")
    mean, sd = null_moments(null_samples)
    return torch.where(sd > 0, (observed.double() - mean) / sd, torch.nan)
