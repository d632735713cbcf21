"""Intervals for shares near 0 or 1, where resampling sees too little.

Of 100 pairs in the top share, two with dissimilar values tell little about how rare such pairs are,
and none at all give every resample the same figure, 0. Wilson's interval knows that none of n is
compatible with a few of n; surveys use it with the *effective* n, the number of independent pairs
that would give the share the variance it has (Korn & Graubard 1998).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite, require_fraction, require_same_shape


def share_interval(
    share: Float[Tensor, "*figure"],
    variance: Float[Tensor, "*figure"],
    *,
    size: int | float,
    level: float = 0.95,
) -> tuple[Float[Tensor, "*figure"], Float[Tensor, "*figure"]]:
    """Compute Wilson's interval (1927) for a share, with its effective sample size.

    The effective size is share (1 - share) / variance, at most `size`. For a dissociation ratio,
    the share is DR / 2, the variance that of DR / 4, and `size` the number of pairs in the top.

    Parameters
    ----------
    share
        In [0, 1].
    variance
        Sampling variance of the share, from :func:`probes.stats.bootstrap.dyadic_variance`.
    size
        How many pairs the share is of, at least 1.
    level
        Coverage, above 0 and below 1.

    Returns
    -------
    tuple of Float[Tensor, "*figure"]
        Lower and upper end, float64, within [0, 1]; that of a share of 0 starts at 0 and has a
        width of about z^2 / size. Turned upside down for 1 - share.

    Raises
    ------
    UsageError
        If a share is outside [0, 1], a variance is negative, `size` is below 1, `level` is outside
        (0, 1), or shapes disagree.
    NonFiniteError
        If anything is NaN or infinite.
    """
    require_fraction("level", level)
    require_same_shape("the variances", variance, "the shares", share)
    require_finite("the shares", share)
    require_finite("the variances", variance)
    p, spread = share.double(), variance.double()
    if bool(((p < 0) | (p > 1)).any()):
        raise UsageError("A share is outside [0, 1]; divide a dissociation ratio by 2.")
    if bool((spread < 0).any()):
        raise UsageError("A variance is negative; give dyadic_variance of the share's samples.")
    if size < 1:
        raise UsageError(f"size is {size}; a share is of at least 1 pair.")
    uniform = p * (1 - p)
    effective = torch.where(spread * size > uniform, uniform / spread, size)
    effective = torch.where(uniform > 0, effective, size)
    z = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64))
    shrink = 1 + z.square() / effective
    middle = (p + z.square() / (2 * effective)) / shrink
    reach = z * (uniform / effective + (z / (2 * effective)).square()).sqrt() / shrink
    # Rounding keeps the ends of a share of 0 or 1 from being exactly that.
    low = torch.where(p > 0, (middle - reach).clamp(min=0), 0.0)
    return low, torch.where(p < 1, (middle + reach).clamp(max=1), 1.0)
