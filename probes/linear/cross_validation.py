"""Nested cross-validation of logistic probes: one path a training set, all heads and tasks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.linear.logistic import LogisticFit, LogisticProblem, solve_path, split_heads
from probes.stats.checks import require_one_each
from probes.stats.folds import Splits
from probes.stats.ridge import read_penalties

TOLERANCE = 3e-5  # nats per occurrence; no accuracy of a real head moved by 0.1 points


def cross_validate_logistic(
    x: Float[Tensor, "*head occurrence d"],
    labels: Int[Tensor, "task occurrence"],
    n_classes: int,
    splits: Splits,
    penalties: Sequence[float],
    *,
    tolerance: float = TOLERANCE,
) -> tuple[Int[Tensor, "*head task occurrence"], Float[Tensor, "*head task fold"]]:
    """Predict the class of every tested occurrence from folds without its words.

    The penalty of each head, task and outer fold is the one with the least cross-entropy when its
    training folds are left out in turn. A training set that lacks two folds serves both of them,
    so folds * (folds - 1) / 2 paths choose the penalties of all outer folds; the outer fits start
    from a fit of these that has seen none of what they test.

    Returns
    -------
    guess, penalty
        Classes, -1 where no fold tests the occurrence; relative penalties. On the CPU; what is
        large is computed where x is.
    """
    require_one_each(x, labels.shape[1], len(splits.cell))
    grid = read_penalties(penalties).to(x.device)
    labels = labels.long().to(x.device)
    rows = x.reshape(-1, *x.shape[-2:])
    parts = [
        _cross_validate(block, labels, n_classes, splits, grid, tolerance)
        for block in split_heads(rows)
    ]
    guess, choice = (torch.cat(found) for found in zip(*parts, strict=True))
    penalty = grid[choice].reshape(*x.shape[:-2], *choice.shape[1:])
    return guess.reshape(*x.shape[:-2], *labels.shape).cpu(), penalty.cpu()


def _cross_validate(
    x: Tensor, labels: Tensor, n_classes: int, splits: Splits, grid: Tensor, tolerance: float
) -> tuple[Int[Tensor, "row task occurrence"], Int[Tensor, "row task fold"]]:
    inner = torch.zeros(len(x), len(labels), splits.n_folds, len(grid), device=x.device)
    starts: dict[int, list[LogisticFit]] = {}
    if len(grid) > 1:
        for part in splits.inner:
            train = splits.rows(part.train)
            problem = LogisticProblem(x[:, train], labels[:, train], n_classes)
            tests = [(fold, splits.rows(cells)) for fold, cells in part.tests]
            held_out = [(fold, x[:, mine], labels[:, mine]) for fold, mine in tests]
            fits: list[LogisticFit | None] = [None] * len(grid)
            for place, fit in solve_path(problem, grid, tolerance=tolerance):
                fits[place] = fit
                for fold, inputs, wanted in held_out:
                    inner[:, :, fold, place] += _loss(fit, inputs, wanted)
            for fold, _ in tests:
                starts[fold] = [fit for fit in fits if fit is not None]
    choice = inner.argmin(-1)
    guess = torch.full((len(x), *labels.shape), -1, dtype=torch.int64, device=x.device)
    for fold, part in enumerate(splits.outer):
        train, mine = splits.rows(part.train), splits.rows(part.tested)
        problem = LogisticProblem(x[:, train], labels[:, train], n_classes)
        penalty = grid[choice[:, :, fold]] * problem.scale[:, None]
        fit = problem.solve(
            penalty.clamp(min=torch.finfo(x.dtype).tiny),
            start=_pick(starts[fold], choice[:, :, fold]) if fold in starts else None,
            tolerance=tolerance,
        )
        guess[:, :, mine] = fit.logits(x[:, mine]).argmax(2)
    return guess, choice


def _loss(fit: LogisticFit, x: Tensor, labels: Tensor) -> Float[Tensor, "head task"]:
    """Sum up the cross-entropy, nats."""
    logits = fit.logits(x)
    index = labels[None, :, None].expand(len(x), -1, -1, -1)
    return (logits.logsumexp(2) - logits.gather(2, index)[:, :, 0]).sum(2)


def _pick(fits: list[LogisticFit], choice: Int[Tensor, "head task"]) -> LogisticFit:
    """Take each problem's fit at the penalty chosen for it."""
    rows = torch.arange(len(choice), device=choice.device)[:, None]
    tasks = torch.arange(choice.shape[1], device=choice.device)
    return LogisticFit(
        *(
            torch.stack([getattr(fit, name) for fit in fits])[choice, rows, tasks]
            for name in ("weights", "intercept", "converged", "steps")
        )
    )
