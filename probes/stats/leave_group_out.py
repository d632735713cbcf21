"""Exact leave-one-group-out prediction of ridge regression, without fitting again.

With the hat matrix H = 1 1'/n + X (X'X + alpha I)^-1 X' of centred X, the residuals of a group g
that was left out are (I - H_gg)^-1 r_g, where r are the residuals of the one fit on everything. The
block (I - H_gg)^-1 takes the group off the normal equations (a downdate of rank |g|, by Sherman,
Morrison and Woodbury); for groups of one it is the well-known PRESS (Allen 1974). One
eigendecomposition of X'X serves all penalties.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite


def leave_group_out(
    x: Float[Tensor, "*head occurrence d"],
    y: Float[Tensor, "occurrence column"],
    groups: Int[Tensor, "occurrence"],
    penalties: Float[Tensor, "*head penalty"],
) -> Float[Tensor, "*head penalty occurrence column"]:
    """Predict every occurrence by the ridge regression on all groups but its own.

    Parameters
    ----------
    x
        Inputs; the intercept is fitted and not penalised.
    y
        Targets, the same for every head.
    groups
        Any integers; all occurrences of one group are left out together.
    penalties
        Absolute, added to the eigenvalues of the centred X'X of *all* occurrences; above 0.

    Returns
    -------
    Float[Tensor, "*head penalty occurrence column"]
        float64: what a fit without the group predicts, exactly.

    Raises
    ------
    UsageError
        If lengths disagree, there are fewer than two groups, or a penalty is not above 0.
    NonFiniteError
        If an input or a target is NaN or infinite.
    """
    n = x.shape[-2]
    if len(y) != n or groups.shape != (n,):
        raise UsageError(
            f"x has {n} occurrences, y {len(y)}, and groups has shape {tuple(groups.shape)}; give "
            "one row of y and one group for each."
        )
    require_finite("the inputs", x)
    require_finite("the targets", y)
    numbers, group, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    if len(numbers) < 2:
        raise UsageError(f"{len(numbers)} group given; leaving one out needs at least 2.")
    if not bool((penalties > 0).all()):
        raise UsageError(f"The penalties are {penalties.tolist()}; give numbers above 0.")
    centred = x.double() - x.double().mean(-2, keepdim=True)
    around = y.double() - y.double().mean(0)
    eigenvalues, axes = torch.linalg.eigh(centred.mT @ centred)
    scores = centred @ axes  # [*head, occurrence, axis]
    cross = scores.mT @ around
    shape = (*x.shape[:-2], penalties.shape[-1], *y.shape)
    predicted = torch.full(shape, torch.nan, dtype=torch.float64, device=x.device)
    order = group.argsort(stable=True)
    starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    for number in range(penalties.shape[-1]):
        shrinkage = 1 / (eigenvalues.clamp(min=0) + penalties[..., number, None])
        fitted = scores @ (shrinkage[..., None] * cross)
        residual = around - fitted
        for size in sizes.unique().tolist():
            # All groups of one size at once: [group, member] rows.
            rows = torch.stack(
                [order[starts[g] : starts[g] + size] for g in (sizes == size).nonzero()[:, 0]]
            )
            own = scores[..., rows, :]  # [*head, group, member, axis]
            hat = (own * shrinkage[..., None, None, :]) @ own.mT + 1 / n
            identity = torch.eye(size, dtype=torch.float64, device=x.device)
            left_out = torch.linalg.solve(identity - hat, residual[..., rows, :])
            predicted[..., number, rows, :] = y.double()[rows] - left_out
    return predicted
