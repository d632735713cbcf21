"""Affine maps by least squares, from moments that are summed batch by batch.

Least squares is exact here, without any penalty: only directions in which the source does not vary
(less than 1e-10 of its largest variance) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite

_ROUNDING = 1e-10

Directions = Literal["top", "best"]
"""Which r directions of the source a rank-limited map may use: those in which it varies most, or
those that tell most of the target (reduced-rank regression)."""


@dataclass(frozen=True)
class AffineMap:
    """target = source @ weights + bias, head by head."""

    weights: Float[Tensor, "head d_source d_target"]
    bias: Float[Tensor, "head d_target"]

    def __call__(
        self, source: Float[Tensor, "row position some d_source"], heads: list[int]
    ) -> Float[Tensor, "row position some d_target"]:
        """Map the vectors of some heads."""
        weights = self.weights[heads].to(source)
        return torch.einsum("rphs,hst->rpht", source, weights) + self.bias[heads].to(source)


class Moments:
    """Sums of vectors and of their products, by head, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor = torch.zeros(0)
        self.products: Tensor = torch.zeros(0)

    def update(self, vectors: Float[Tensor, "n head d"]) -> None:
        """Add vectors.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite.
        """
        require_finite("the vectors", vectors)
        by_head = vectors.double().transpose(0, 1)
        total, products = by_head.sum(dim=1), by_head.mT @ by_head
        self.count += len(vectors)
        self.total = total if self.count == len(vectors) else self.total + total
        self.products = products if self.count == len(vectors) else self.products + products

    @property
    def mean(self) -> Float[Tensor, "head d"]:
        """The means."""
        return self.total / self.count

    @property
    def covariance(self) -> Float[Tensor, "head d d"]:
        """The covariances (over n, not n - 1)."""
        return self.products / self.count - self.mean[:, :, None] * self.mean[:, None, :]


def fit_map(
    moments: Moments,
    source: slice,
    target: slice,
    *,
    rank: int | None = None,
    directions: Directions = "top",
) -> AffineMap:
    """Fit the affine map of least squared error from some coordinates to others.

    Parameters
    ----------
    moments
        Of vectors that hold both.
    source, target
        Where in the vectors they are.
    rank
        How many directions of the source the map may use; None for all, 0 gives the mean.
    directions
        Which ones: the source's principal axes, or (reduced-rank regression, Izenman 1975) those
        of the best map of this rank.

    Raises
    ------
    UsageError
        If nothing was summed, or the rank is negative.
    """
    if moments.count == 0:
        raise UsageError("No vectors were summed; give text with at least one window.")
    if rank is not None and rank < 0:
        raise UsageError(f"rank is {rank}; give 0 or more, or None for all directions.")
    covariance, mean = moments.covariance, moments.mean
    own, cross = covariance[:, source, source], covariance[:, source, target]
    variances, axes = torch.linalg.eigh(own)  # ascending
    kept = variances > _ROUNDING * variances[:, -1:].clamp_min(torch.finfo(torch.float64).tiny)
    if rank is not None and directions == "top":
        kept &= torch.arange(kept.shape[1]) >= kept.shape[1] - rank
    inverse = torch.where(kept, 1 / variances, 0.0)
    weights = axes @ (inverse[:, :, None] * (axes.mT @ cross))
    if rank is not None and directions == "best":
        _, told = torch.linalg.eigh(weights.mT @ own @ weights)
        basis = told[:, :, told.shape[2] - min(rank, told.shape[2]) :]
        weights = weights @ basis @ basis.mT
    bias = mean[:, target] - torch.einsum("hs,hst->ht", mean[:, source], weights)
    return AffineMap(weights.float(), bias.float())
