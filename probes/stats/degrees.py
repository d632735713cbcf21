"""Degrees of freedom of a variance that comes from clusters of unlike weight."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

MOST_DEGREES = 1000.0
"""With more degrees of freedom t is the normal distribution."""


def count_degrees(
    share: Float[Tensor, "*figure cluster"], spread: Float[Tensor, "*figure cluster"] | None = None
) -> Float[Tensor, "*figure"]:
    """Match a sum of squared deviations from a weighted mean with a chi-squared (Satterthwaite).

    Parameters
    ----------
    share
        What each cluster weighs in the mean.
    spread
        The variance of what each cluster adds; by default that of clusters with a level of their
        own, the square of their share.

    Returns
    -------
    tr(A)^2 / tr(A^2), A the matrix of the quadratic form: n - 1 for n clusters of one weight; 1 at
    least.

    Notes
    -----
    Source: Bell & McCaffrey 2002, "Bias reduction in standard errors for linear regression with
    multi-stage samples", for a mean.
    """
    q = share / share.sum(-1, keepdim=True)
    spread = share.square() if spread is None else spread
    one, two = (q**power for power in (1, 2))
    norm = two.sum(-1, keepdim=True)
    n, m, s = (spread.sum(-1), (spread * one).sum(-1), (spread * two).sum(-1))
    own = 1 - 2 * q + norm
    trace = (spread * own).sum(-1)
    diagonal = (spread.square() * (own.square() - (norm - 2 * q).square())).sum(-1)
    norm = norm[..., 0]
    square = diagonal + norm.square() * n.square() + 2 * n * s - 4 * norm * n * m + 2 * m.square()
    return (trace.square() / square).nan_to_num(1.0).clamp(1.0, MOST_DEGREES)


def count_degrees_of_documents(
    share: Float[Tensor, "*figure document"], influence: Float[Tensor, "*figure document"]
) -> Float[Tensor, "*figure"]:
    """Do the same for units that are clusters of their own, whose spread the data tell.

    A document of many pairs adds much where documents differ in level (its variance grows with the
    square of its share), and less where its pairs vary by chance alone (with its share). A line
    through the squared influences says how much of each there is. That line is itself uncertain, so
    the result is the geometric mean with what levels alone would give.
    """
    used = share > 0
    count = used.sum(-1, keepdim=True)
    per_share = torch.where(used, influence.square() / share.where(used, 1.0), 0.0)
    mean_share, mean = (part.sum(-1, keepdim=True) / count for part in (share, per_share))
    gap = (share - mean_share) * used
    slope = (gap * per_share).sum(-1, keepdim=True) / gap.square().sum(-1, keepdim=True)
    slope = slope.nan_to_num(0.0).clamp(min=0)
    start = mean - slope * mean_share
    slope = torch.where(start < 0, mean / mean_share, slope)
    spread = share * start.clamp(min=0) + share.square() * slope
    return (count_degrees(share) * count_degrees(share, spread)).sqrt()
