"""Ridge regressions of many training sets and heads at once, from the sums of their cells.

A Cholesky factor for each penalty costs less than one eigendecomposition that serves all of them,
as long as there are few penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.ridge import FoldMoments


@dataclass(frozen=True)
class TrainingSets:
    """Centred sums of several sets of occurrences, each a union of cells.

    Attributes
    ----------
    key_mean, value_mean
        Their means; the intercept makes a fit pass through them.
    scatter, cross
        The centred K'K and K'V.
    scale
        The mean eigenvalue of the scatter, the unit of relative penalties.
    """

    key_mean: Float[Tensor, "row set d_key"]
    value_mean: Float[Tensor, "row set d_value"]
    scatter: Float[Tensor, "row set d_key d_key"]
    cross: Float[Tensor, "row set d_key d_value"]
    scale: Float[Tensor, "row set"]

    @classmethod
    def of(cls, moments: FoldMoments, sets: Sequence[Sequence[int]]) -> TrainingSets:
        """Add up the cells of each set."""
        union = add_cells(moments, sets)
        count = union.count[:, None].clamp(min=1)
        key_mean, value_mean = union.key / count, union.value / count
        scatter = union.key_key - key_mean[..., :, None] * union.key[..., None, :]
        cross = union.key_value - key_mean[..., :, None] * union.value[..., None, :]
        scale = scatter.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=0)
        return cls(key_mean, value_mean, scatter, cross, scale)

    def solve(
        self, penalty: Float[Tensor, "*row_and_set"], columns: slice = slice(None)
    ) -> Float[Tensor, "row set d_key value"]:
        """Fit some of the values' columns under a relative penalty for each row and set.

        Penalties below what rounding does to the scatter are raised to that.
        """
        d = self.scatter.shape[-1]
        floor = 4 * d * d * torch.finfo(self.scatter.dtype).eps
        ridge = penalty.clamp(min=floor) * self.scale
        ridge = torch.where(ridge > 0, ridge, 1.0)  # inputs that never vary get no weight
        system = self.scatter.clone()
        system.diagonal(dim1=-2, dim2=-1).add_(ridge.expand_as(self.scale)[..., None])
        factor, _ = torch.linalg.cholesky_ex(system)
        return torch.cholesky_solve(self.cross[..., columns], factor)

    def around_means(
        self, test: FoldMoments, sets: Sequence[int], tests: Sequence[int]
    ) -> HeldOutSums:
        """Sum up test sets around the means of the training sets that are tested on them.

        Parameters
        ----------
        test
            The moments of the test sets.
        sets, tests
            Pairs of a training set and a test set.
        """
        key_mean, value_mean = self.key_mean[:, sets], self.value_mean[:, sets]
        key, value, count = test.key[:, tests], test.value[:, tests], test.count[tests, None]
        key_gap, value_gap = count * key_mean - key, count * value_mean - value
        return HeldOutSums(
            test.key_key[:, tests]
            - key[..., :, None] * key_mean[..., None, :]
            + key_mean[..., :, None] * key_gap[..., None, :],
            test.key_value[:, tests]
            - key[..., :, None] * value_mean[..., None, :]
            + key_mean[..., :, None] * value_gap[..., None, :],
            test.value_value[:, tests] + value_mean * (value_gap - value),
        )


@dataclass(frozen=True)
class HeldOutSums:
    """Sums of (k - m)(k - m)', (k - m)(v - n)' and (v - n)^2 over tests."""

    scatter: Float[Tensor, "row test d_key d_key"]
    cross: Float[Tensor, "row test d_key d_value"]
    total: Float[Tensor, "row test d_value"]

    def error(
        self, weights: Float[Tensor, "row test d_key d_value"]
    ) -> Float[Tensor, "row test d_value"]:
        """Sum up the squared error of a linear map of k - m on every column."""
        return self.total + (weights * (self.scatter @ weights - 2 * self.cross)).sum(-2)


def add_cells(moments: FoldMoments, sets: Sequence[Sequence[int]]) -> FoldMoments:
    """Add up the moments of the cells of each set."""
    member = torch.zeros(len(sets), len(moments.count)).to(moments.count)
    for number, cells in enumerate(sets):
        member[number, list(cells)] = 1

    def add(sums: Tensor) -> Tensor:
        return torch.unflatten(member @ sums.flatten(2), 2, sums.shape[2:])

    return FoldMoments(
        member @ moments.count,
        add(moments.key),
        add(moments.value),
        add(moments.key_key),
        add(moments.key_value),
        add(moments.value_value),
    )
