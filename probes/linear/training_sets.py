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

    def intercept(
        self, weights: Float[Tensor, "row set d_key d_value"]
    ) -> Float[Tensor, "row set d_value"]:
        """Make the fits pass through the means."""
        return self.value_mean - (self.key_mean[..., None, :] @ weights)[..., 0, :]


@dataclass(frozen=True)
class HeldOutSets:
    """Sums over the sets that each training set is tested on, equally many for all.

    ``scatter`` K'K and ``cross`` K'V of a training set's tests are one under the other, so that
    one product with its weights serves all of them.
    """

    count: Float[Tensor, "set test"]
    key: Float[Tensor, "row set test d_key"]
    value: Float[Tensor, "row set test d_value"]
    scatter: Float[Tensor, "row set test_and_d_key d_key"]
    cross: Float[Tensor, "row set test_and_d_key d_value"]
    squares: Float[Tensor, "row set test d_value"]

    @classmethod
    def of(cls, moments: FoldMoments, tests: Sequence[Sequence[Sequence[int]]]) -> HeldOutSets:
        """Add up the cells of each training set's tests."""
        distinct = sorted({tuple(cells) for own in tests for cells in own})
        union = add_cells(moments, distinct)
        numbers = [[distinct.index(tuple(cells)) for cells in own] for own in tests]
        place = torch.tensor(numbers, device=union.count.device)
        return cls(
            union.count[place],
            union.key[:, place],
            union.value[:, place],
            union.key_key[:, place].flatten(2, 3),
            union.key_value[:, place].flatten(2, 3),
            union.value_value[:, place],
        )

    def error(
        self,
        weights: Float[Tensor, "row set d_key d_value"],
        intercept: Float[Tensor, "row set d_value"],
    ) -> Float[Tensor, "row set test d_value"]:
        """Sum up the squared error of b + k W on every column of each test set.

        It is sum v^2 + W'(K'K W - 2 K'V) + n b^2 - 2 b (sum v - sum k W).
        """
        level = intercept[:, :, None]
        slope = torch.baddbmm(
            self.cross.flatten(0, 1), self.scatter.flatten(0, 1), weights.flatten(0, 1), beta=-2
        )
        by_test = slope.reshape(*self.key.shape, -1)
        from_weights = (by_test * weights[:, :, None]).sum(-2)
        from_level = level * (self.count[..., None] * level - 2 * (self.value - self.key @ weights))
        return self.squares + from_weights + from_level


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
