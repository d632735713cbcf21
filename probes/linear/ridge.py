"""Ridge probes: one head with its penalty chosen in closed form, or all heads cross-validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite
from probes.stats.folds import Splits
from probes.stats.leave_group_out import leave_group_out
from probes.stats.ridge import FoldMoments, RidgeFit

_BYTES = 128 * 2**20  # of float64 inputs in one block of heads


def fit_ridge(
    x: NDArray[Any], y: NDArray[Any], alphas: Sequence[float], groups: Any = None
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Fit one ridge regression; of several penalties take the best when groups are left out.

    Parameters
    ----------
    x, y
        float64, [row, feature] and [row, column].
    alphas
        Absolute penalties, above 0.
    groups
        The group of each row; by default each is its own.

    Returns
    -------
    weights, intercept, alpha
        [feature, column], [column], and the penalty taken.

    Raises
    ------
    UsageError
        If there is no penalty, or one is not a finite number above 0.
    """
    grid = torch.tensor(np.array(alphas, dtype=float))
    if grid.numel() == 0 or not bool(((grid > 0) & grid.isfinite()).all()):
        raise UsageError(f"The penalties are {list(alphas)}; give finite numbers above 0.")
    inputs, targets = torch.from_numpy(np.array(x)), torch.from_numpy(np.array(y))
    chosen = 0
    if len(grid) > 1 and len(x) > 1:
        numbers = np.arange(len(x)) if groups is None else np.unique(groups, return_inverse=True)[1]
        left_out = leave_group_out(inputs, targets, torch.from_numpy(numbers), grid)
        chosen = int((targets - left_out).square().sum((1, 2)).argmin())
    mean, level = inputs.mean(0), targets.mean(0)
    centred = inputs - mean
    eigenvalues, axes = torch.linalg.eigh(centred.mT @ centred)
    cross = axes.mT @ (centred.mT @ (targets - level))
    weights = axes @ (cross / (eigenvalues.clamp(min=0) + grid[chosen])[:, None])
    return weights.numpy(), (level - mean @ weights).numpy(), float(grid[chosen])


def cross_validate_ridge(
    x: Float[Tensor, "*head occurrence d"],
    targets: Float[Tensor, "task occurrence column"],
    splits: Splits,
    penalties: Sequence[float],
) -> tuple[Float[Tensor, "*head task occurrence column"], Float[Tensor, "*head task fold"]]:
    """Predict every tested occurrence from folds without its words.

    The penalty of each head, task and outer fold is the one with the least squared error when its
    training folds are left out in turn. Every fit comes from the folds' moments, which all tasks
    share, and one eigendecomposition for each training set serves all penalties and tasks.

    Parameters
    ----------
    targets
        Of every task the same columns: one-hot labels, or a number.
    penalties
        In units of the mean eigenvalue of the training inputs' centred scatter matrix.

    Returns
    -------
    predicted, penalty
        float64, on the CPU; NaN where no fold tests the occurrence. What is large is computed where
        x is.

    Raises
    ------
    NonFiniteError
        If an input or a target is NaN or infinite.
    """
    require_finite("the inputs", x)
    require_finite("the targets", targets)
    grid = torch.tensor(list(penalties), dtype=torch.float64, device=x.device)
    head, (n_tasks, _, width) = x.shape[:-2], targets.shape
    rows = x.reshape(-1, *x.shape[-2:])
    values = targets.to(x.device).double().movedim(0, 1).flatten(1)  # [occurrence, task * column]
    level = values.mean(0)
    step = max(1, _BYTES // (8 * rows.shape[1] * (rows.shape[2] + values.shape[1])))
    blocks = torch.split(rows, step)
    parts = [_cross_validate(block, values - level, n_tasks, splits, grid) for block in blocks]
    predicted, choice = (torch.cat(found) for found in zip(*parts, strict=True))
    predicted = torch.unflatten(predicted + level, -1, (n_tasks, width)).movedim(2, 1)
    penalty = grid[choice].reshape(*head, *choice.shape[1:])
    return predicted.reshape(*head, *predicted.shape[1:]).cpu(), penalty.cpu()


def _cross_validate(
    x: Tensor, values: Tensor, n_tasks: int, splits: Splits, grid: Tensor
) -> tuple[Tensor, Int[Tensor, "row task fold"]]:
    x = x.double()
    x = x - x.mean(1, keepdim=True)  # moments lose precision when the mean is large
    values = values.expand(len(x), -1, -1)
    width = values.shape[-1] // n_tasks
    columns = [slice(task * width, (task + 1) * width) for task in range(n_tasks)]
    moments = FoldMoments.of(x, values, splits.cell, len(splits.members))
    folds = range(splits.n_folds)
    inner = x.new_zeros(len(x), n_tasks, splits.n_folds, len(grid))
    if len(grid) > 1:
        for first in folds:
            for second in range(first + 1, splits.n_folds):
                fit = RidgeFit.of(moments, splits.train_cells({first, second}), grid)
                for outer, tested in ((first, second), (second, first)):
                    for cell in splits.test_cells(tested):
                        inner[:, :, outer] += fit.part_errors(moments, cell, n_tasks)
    choice = inner.argmin(-1)
    predicted = torch.full_like(values, torch.nan)
    for fold in folds:
        fit = RidgeFit.of(moments, splits.train_cells({fold}), grid)
        mine = splits.rows(splits.test_cells(fold))
        around = x[:, mine] - fit.key_mean[:, None]
        weights = [fit.weights(choice[:, task, fold], own) for task, own in enumerate(columns)]
        predicted[:, mine] = around @ torch.cat(weights, -1) + fit.value_mean[:, None]
    return predicted, choice
