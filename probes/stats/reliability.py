"""How much of a measurement would occur again, and what that lets two measurements share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError


def spearman_brown(
    reliability: Float[Tensor, "*figure"], replicates: int
) -> Float[Tensor, "*figure"]:
    """Compute the reliability of a mean of `replicates`, T r / (1 + (T - 1) r).

    Parameters
    ----------
    reliability
        r, of a single replicate: the mean correlation of two.
    replicates
        T, how many are averaged.

    Returns
    -------
    Float[Tensor, "*figure"]
        float64. r itself for one; 1 where r is 1; increasing in T where r is above 0. Where chance
        made r negative there is nothing reliable, and the figure is 0.

    Raises
    ------
    UsageError
        If `replicates` is below 1.

    Notes
    -----
    Source: Spearman 1910; Brown 1910. Exact for a Pearson correlation of replicates of equal
    variance; a close approximation for rank correlations.
    """
    if replicates < 1:
        raise UsageError(f"{replicates} replicates asked for; a mean needs at least 1.")
    r = reliability.double().clamp(min=0)
    return replicates * r / (1 + (replicates - 1) * r)


def correct_attenuation(
    correlation: Float[Tensor, "*figure"],
    reliability: Float[Tensor, "*figure"],
    other_reliability: Float[Tensor, "*figure"],
) -> Float[Tensor, "*figure"]:
    """Divide a correlation by the square root of the product of the reliabilities (Spearman 1904).

    What the correlation would be without the noise of either measurement, if the noises are
    independent of each other.

    Parameters
    ----------
    correlation
        Between the two measurements.
    reliability, other_reliability
        Of the two measurements, as they were correlated.

    Returns
    -------
    Float[Tensor, "*figure"]
        float64; chance can take it beyond 1. NaN where a reliability is not above 0.
    """
    product = reliability.double().clamp(min=0) * other_reliability.double().clamp(min=0)
    return torch.where(product > 0, correlation.double() / product.sqrt(), torch.nan)
