"""Ridge regression of many heads at once, from the moments of cross-validation folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError


def read_penalties(penalties: Any) -> Float[Tensor, " penalty"]:
    """Return penalties, or a single one, as float64.

    Raises
    ------
    UsageError
        If there is none, or one is not a finite number above 0.
    """
    try:
        grid = torch.from_numpy(np.atleast_1d(np.array(penalties, dtype=np.float64)))
    except (TypeError, ValueError):
        grid = torch.empty(0)
    if grid.ndim != 1 or grid.numel() == 0 or not bool(((grid > 0) & grid.isfinite()).all()):
        raise UsageError(f"The penalties are {penalties!r}; give finite numbers above 0.")
    return grid


@dataclass(frozen=True)
class FoldMoments:
    """Sums over the occurrences of each fold: all that ridge regression needs to know.

    The origin should be near the mean of the data, or the differences of large sums lose digits.

    Attributes
    ----------
    count
        Occurrences in each fold.
    key, value
        Sums of the vectors.
    key_key, key_value
        Sums of their products.
    value_value
        Sums of the values' squares.
    """

    count: Float[Tensor, "fold"]
    key: Float[Tensor, "row fold d_key"]
    value: Float[Tensor, "row fold d_value"]
    key_key: Float[Tensor, "row fold d_key d_key"]
    key_value: Float[Tensor, "row fold d_key d_value"]
    value_value: Float[Tensor, "row fold d_value"]

    @classmethod
    def of(
        cls,
        keys: Float[Tensor, "row occurrence d_key"],
        values: Float[Tensor, "row occurrence d_value"],
        fold: Int[Tensor, "occurrence"],
        folds: int,
    ) -> FoldMoments:
        """Sum over the occurrences of each fold, in the precision given; return float64.

        Occurrences in the order of their folds are not copied.
        """
        if not bool((fold.diff() >= 0).all()):
            order = fold.argsort(stable=True)
            keys, values = keys.index_select(1, order), values.index_select(1, order)
        sizes = torch.bincount(fold, minlength=folds)
        ends = sizes.tolist()
        parts = list(zip(torch.split(keys, ends, 1), torch.split(values, ends, 1), strict=True))
        return cls(
            sizes.to(keys.device, torch.float64),
            torch.stack([k.sum(1) for k, _ in parts], 1).double(),
            torch.stack([v.sum(1) for _, v in parts], 1).double(),
            torch.stack([k.mT @ k for k, _ in parts], 1).double(),
            torch.stack([k.mT @ v for k, v in parts], 1).double(),
            torch.stack([v.square().sum(1) for _, v in parts], 1).double(),
        )


@dataclass(frozen=True)
class RidgeFit:
    """Ridge regressions of one training set for all penalties, in the keys' principal axes.

    Attributes
    ----------
    key_mean, value_mean
        Means of the training folds; the intercept makes the fit pass through them.
    axes
        Eigenvectors of the keys' centred scatter matrix.
    cross
        The centred K'V in these axes.
    shrinkage
        1 / (eigenvalue + penalty), the penalty in units of the mean eigenvalue; 0 where keys never
        vary.
    """

    key_mean: Float[Tensor, "row d_key"]
    value_mean: Float[Tensor, "row d_value"]
    axes: Float[Tensor, "row d_key axis"]
    cross: Float[Tensor, "row axis d_value"]
    shrinkage: Float[Tensor, "row penalty axis"]

    @classmethod
    def of(
        cls, moments: FoldMoments, train: list[int], penalties: Float[Tensor, "penalty"]
    ) -> RidgeFit:
        """Fit on the folds `train`."""
        count = moments.count[train].sum()
        key, value = moments.key[:, train].sum(1), moments.value[:, train].sum(1)
        scatter = moments.key_key[:, train].sum(1) - _outer(key, key) / count
        cross = moments.key_value[:, train].sum(1) - _outer(key, value) / count
        eigenvalues, axes = torch.linalg.eigh((scatter + scatter.mT) / 2)
        eigenvalues = eigenvalues.clamp(min=0)
        alpha = penalties * eigenvalues.mean(-1, keepdim=True)
        shrinkage = 1 / (eigenvalues[:, None, :] + alpha[..., None])
        shrinkage = torch.where(alpha[..., None] > 0, shrinkage, 0.0)
        return cls(key / count, value / count, axes, axes.mT @ cross, shrinkage)

    def error(self, moments: FoldMoments, fold: int) -> Float[Tensor, "row penalty"]:
        """Sum up the squared error on a fold, from the fold's moments alone."""
        count = moments.count[fold]
        key, value = moments.key[:, fold], moments.value[:, fold]
        key_mean, value_mean = self.key_mean, self.value_mean
        total = moments.value_value[:, fold] - 2 * value * value_mean + count * value_mean.square()
        # Around the training mean: sum (k - m)(k - m)' and sum (k - m)(v - n)'.
        from_mean = count * key_mean - key
        scatter = moments.key_key[:, fold] - _outer(key, key_mean) + _outer(key_mean, from_mean)
        cross = (
            moments.key_value[:, fold]
            - _outer(key, value_mean)
            + _outer(key_mean, count * value_mean - value)
        )
        agreement = (self.cross * (self.axes.mT @ cross)).sum(-1)
        overlap = (self.axes.mT @ scatter @ self.axes) * (self.cross @ self.cross.mT)
        linear = (self.shrinkage @ agreement[..., None])[..., 0]
        quadratic = ((self.shrinkage @ overlap) * self.shrinkage).sum(-1)
        return total.sum(-1, keepdim=True) - 2 * linear + quadratic

    def weights(self, choice: Int[Tensor, "row"]) -> Float[Tensor, "row d_key d_value"]:
        """Return the map under each row's choice among the penalties."""
        shrinkage = self.shrinkage[torch.arange(len(choice), device=choice.device), choice]
        return self.axes @ (shrinkage[..., None] * self.cross)

    def residual(
        self,
        keys: Float[Tensor, "row occurrence d_key"],
        values: Float[Tensor, "row occurrence d_value"],
        choice: Int[Tensor, "row"],
    ) -> Float[Tensor, "row occurrence d_value"]:
        """Subtract the prediction under each row's choice among the penalties."""
        predicted = (keys - self.key_mean[:, None]) @ self.weights(choice)
        return values - self.value_mean[:, None] - predicted


def _outer(x: Tensor, y: Tensor) -> Tensor:
    return x[..., :, None] * y[..., None, :]
