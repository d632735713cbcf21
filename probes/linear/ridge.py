"""Ridge probes: one head with its penalty chosen in closed form, or all heads cross-validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.linear.classes import read_groups
from probes.linear.training_sets import HeldOutSets, TrainingSets
from probes.stats.checks import require_finite, require_one_each
from probes.stats.folds import Splits
from probes.stats.leave_group_out import leave_group_out
from probes.stats.ridge import FoldMoments, read_penalties

_BYTES = 16 * 2**20  # of inputs in one block of heads


def fit_ridge(
    x: NDArray[Any], y: NDArray[Any], alphas: Any, groups: Any = None
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Fit one ridge regression; of several penalties take the best when groups are left out.

    Parameters
    ----------
    x, y
        float64, [row, feature] and [row, column].
    alphas
        Absolute penalties, above 0, or a single one.
    groups
        The group of each row; by default each is its own.

    Returns
    -------
    weights, intercept, alpha
        [feature, column], [column], and the penalty taken.

    Raises
    ------
    UsageError
        If there is no penalty, one is not a finite number above 0, or there is not one group for
        each row.
    """
    grid = read_penalties(alphas)
    numbers = read_groups(groups, len(x))
    inputs, targets = torch.from_numpy(np.array(x)), torch.from_numpy(np.array(y))
    chosen = 0
    if len(grid) > 1 and len(x) > 1:
        left_out = leave_group_out(inputs, targets, numbers, grid)
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
    share.

    Parameters
    ----------
    targets
        Of every task the same columns: one-hot labels, or a number.
    penalties
        In units of the mean eigenvalue of the training inputs' centred scatter matrix.

    Returns
    -------
    predicted, penalty
        In the precision of x, and float64; on the CPU. NaN where no fold tests the occurrence.
        Sums over occurrences are in the precision of x, all that follows from them is float64.

    Raises
    ------
    UsageError
        If there is not one target, or not one cell of the splits, for every occurrence.
    NonFiniteError
        If an input or a target is NaN or infinite.
    """
    require_one_each(x, targets.shape[1], len(splits.cell))
    require_finite("the inputs", x)
    require_finite("the targets", targets)
    grid = read_penalties(penalties).to(x.device)
    head, (n_tasks, _, width) = x.shape[:-2], targets.shape
    rows = x.reshape(-1, *x.shape[-2:])
    values = targets.to(rows).movedim(0, 1).flatten(1)  # [occurrence, task * column]
    step = max(1, _BYTES // (rows.element_size() * rows.shape[1] * rows.shape[2]))
    parts = [
        _cross_validate(block, values, n_tasks, splits, grid) for block in torch.split(rows, step)
    ]
    predicted, choice = (torch.cat(found) for found in zip(*parts, strict=True))
    predicted = torch.unflatten(predicted, -1, (n_tasks, width)).movedim(2, 1)
    penalty = grid[choice].reshape(*head, *choice.shape[1:])
    return predicted.reshape(*head, *predicted.shape[1:]).cpu(), penalty.cpu()


def _cross_validate(
    x: Tensor, values: Tensor, n_tasks: int, splits: Splits, grid: Tensor
) -> tuple[Tensor, Int[Tensor, "row task fold"]]:
    order = splits.cell.argsort(stable=True)  # so that a cell is a slice, and costs no copy
    cell, order = splits.cell[order], order.to(x.device)
    x, values = x.index_select(1, order), values[order]
    centre = values.mean(0)
    values -= centre  # moments lose precision when the mean is large
    x -= x.mean(1, keepdim=True)
    moments = FoldMoments.of(x, values.expand(len(x), -1, -1), cell, splits.n_cells)
    width = values.shape[-1] // n_tasks
    columns = [slice(task * width, (task + 1) * width) for task in range(n_tasks)]
    choice = _choose(moments, n_tasks, splits, grid)
    sets = TrainingSets.of(moments, [fit.train for fit in splits.outer])
    parts = [sets.solve(grid[choice[:, task]], own) for task, own in enumerate(columns)]
    weights = torch.cat(parts, -1)
    level = sets.intercept(weights) + centre
    predicted = x.new_full((len(x), *values.shape), torch.nan)
    ends = torch.bincount(cell, minlength=splits.n_cells).cumsum(0).tolist()
    for fold, fit in enumerate(splits.outer):
        for number in fit.tested:
            mine = slice(ends[number - 1] if number else 0, ends[number])
            predicted[:, mine] = torch.baddbmm(
                level[:, fold, None].to(x), x[:, mine], weights[:, fold].to(x)
            )
    return predicted.index_select(1, order.argsort()), choice


def _choose(
    moments: FoldMoments, n_tasks: int, splits: Splits, grid: Tensor
) -> Int[Tensor, "row task fold"]:
    """Choose the penalty with the least squared error when training folds are left out in turn."""
    n_rows = len(moments.key)
    inner = moments.key.new_zeros(len(grid), n_rows, splits.n_folds, n_tasks)
    if len(grid) > 1:
        sets = TrainingSets.of(moments, [fit.train for fit in splits.inner])
        tests = HeldOutSets.of(moments, [[cells for _, cells in fit.tests] for fit in splits.inner])
        counted = [fold for fit in splits.inner for fold, _ in fit.tests]
        folds = torch.tensor(counted, device=grid.device)
        for place, penalty in enumerate(grid):
            weights = sets.solve(penalty)
            error = tests.error(weights, sets.intercept(weights)).flatten(1, 2)
            by_task = torch.unflatten(error, -1, (n_tasks, -1)).sum(-1)
            inner[place].index_add_(1, folds, by_task)
    return inner.argmin(0).mT
