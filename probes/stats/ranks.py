"""Ranks of weighted observations, over many heads and many bootstrap resamples at once.

Everything is defined so that an integer weight m says exactly what m copies of the observation
would say, and so that the order of the observations never matters: the members of a tie share
whatever the tie as a whole receives. Each head is sorted once; a resample costs one gather and
one cumulative sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite, require_same_shape
from probes.stats.rounding import starts_of_ties

_ELEMENTS = 200_000  # numbers in a temporary tensor: 1.6 MB, so that a few fit in the cache

FromWeights = Callable[[Tensor], Tensor]
"""Weights ``[resample, pair]`` -> figures ``[resample, row, *more]``."""


@dataclass(frozen=True)
class Ordering:
    """The sorted order of each row's observations, and the ties in it.

    Attributes
    ----------
    order
        Which observation is at each position.
    first, last
        First and last position of the tie that this position belongs to.
    tied
        Whether any row has a tie.
    """

    order: Int[Tensor, "row pair"]
    first: Int[Tensor, "row pair"]
    last: Int[Tensor, "row pair"]
    tied: bool


@dataclass(frozen=True)
class Boundary:
    """Where the cumulative mass reaches a target: inside which tie, and how far into it.

    Attributes
    ----------
    first, last
        First and last position of the tie in which the target falls.
    fraction
        The part of that tie's mass, in [0, 1], that lies before the target.
    """

    first: Int[Tensor, "resample row target"]
    last: Int[Tensor, "resample row target"]
    fraction: Float[Tensor, "resample row target"]


def sort_rows(values: Float[Tensor, "row pair"], *, descending: bool) -> Ordering:
    """Sort every row and find its ties: values that are equal except for rounding."""
    ordered, order = values.sort(dim=1, descending=descending)
    position = torch.arange(values.shape[1]).expand_as(order)
    new = starts_of_ties(ordered)
    first = position.masked_fill(~new, 0).cummax(dim=1).values
    ends = torch.ones_like(new)
    ends[:, :-1] = new[:, 1:]
    last = position.masked_fill(~ends, values.shape[1]).flip(1).cummin(dim=1).values.flip(1)
    return Ordering(order, first, last, tied=not bool(new.all()))


def gather_weights(
    weights: Float[Tensor, "resample pair"], order: Int[Tensor, "row position"]
) -> Float[Tensor, "resample row position"]:
    """Put the weights in each row's order."""
    return weights.index_select(1, order.reshape(-1)).reshape(-1, *order.shape)


def cumulate(
    ordered: Float[Tensor, "resample row pair"],
) -> Float[Tensor, "resample row position"]:
    """Cumulative sum with a leading zero: entry j is the sum of the first j positions."""
    sums = ordered.new_zeros((*ordered.shape[:-1], ordered.shape[-1] + 1))
    torch.cumsum(ordered, dim=-1, out=sums[..., 1:])
    return sums


def find_boundary(
    mass: Float[Tensor, "resample row position"],
    ordering: Ordering,
    target: Float[Tensor, "resample target"],
) -> Boundary:
    """Find the tie in which the cumulative `mass` reaches each target.

    Parameters
    ----------
    mass
        From :func:`cumulate`.
    ordering
        Of the same rows.
    target
        Masses between 0 and the total.
    """
    wanted = target[:, None, :].expand(-1, mass.shape[1], -1).contiguous()
    n = mass.shape[-1] - 1
    position = (torch.searchsorted(mass, wanted) - 1).clamp(0, n - 1)
    shape = (mass.shape[0], -1, -1)
    first = ordering.first.expand(shape).gather(2, position)
    last = ordering.last.expand(shape).gather(2, position)
    before = mass.gather(2, first)
    inside = mass.gather(2, last + 1) - before
    fraction = torch.where(inside > 0, (wanted - before) / inside, 0.0).clamp(0, 1)
    return Boundary(first, last, fraction)


def midranks(
    mass: Float[Tensor, "resample row position"], ordering: Ordering
) -> Float[Tensor, "resample row pair"]:
    """Midrank of each sorted position, measured from the mean rank.

    Half of the mass before the tie and through it, less half of the total: in the expanded data
    the mean of the ranks that the tie's copies take, less (n + 1) / 2.
    """
    middle = mass[..., -1:] / 2
    if not ordering.tied:
        return (mass[..., :-1] + mass[..., 1:]) / 2 - middle
    shape = (mass.shape[0], -1, -1)
    before = mass.gather(2, ordering.first.expand(shape))
    through = mass.gather(2, (ordering.last + 1).expand(shape))
    return (before + through) / 2 - middle


def over_resamples(
    keys: Float[Tensor, "*head pair"],
    values: Float[Tensor, "*head pair"],
    weights: Float[Tensor, "resample pair"] | None,
    prepare: Callable[[Tensor, Tensor], FromWeights],
) -> Tensor:
    """Apply a measure of two lists of pair figures to every head and every resample.

    Parameters
    ----------
    keys, values
        One figure per pair, for keys and for values.
    weights
        Non-negative pair weights of each resample; None weighs every pair 1, once.
    prepare
        Sorts a block ``[row, pair]`` of the keys' and the values' figures and returns the function
        of the weights ``[resample, pair]`` (float64) that measures this block.

    Returns
    -------
    Tensor
        float64, ``[*head, *more]``, or ``[resample, *head, *more]`` with weights.

    Raises
    ------
    UsageError
        If the shapes disagree, there is no pair, a weight is negative or a resample weighs nothing.
    NonFiniteError
        If anything is NaN or infinite.
    """
    require_same_shape("the keys' pair figures", keys, "the values' pair figures", values)
    require_finite("the keys' pair figures", keys)
    require_finite("the values' pair figures", values)
    pairs = keys.shape[-1]
    if pairs == 0 or keys.numel() == 0:
        raise UsageError(f"There is nothing to measure: shape {tuple(keys.shape)}; give pairs.")
    check_weights(weights, pairs)
    used = torch.ones(1, pairs, dtype=torch.float64) if weights is None else weights
    head = keys.shape[:-1]
    keys, values = keys.reshape(-1, pairs), values.reshape(-1, pairs)
    resample_step = max(1, _ELEMENTS // pairs)
    row_step = max(1, _ELEMENTS // (pairs * min(resample_step, used.shape[0])))
    blocks = []
    for key_block, value_block in zip(
        torch.split(keys, row_step), torch.split(values, row_step), strict=True
    ):
        measure = prepare(key_block, value_block)
        blocks.append(
            torch.cat([measure(part.double()) for part in torch.split(used, resample_step)])
        )
    result = torch.cat(blocks, dim=1)
    result = result.reshape(used.shape[0], *head, *result.shape[2:])
    return result[0] if weights is None else result


def check_weights(weights: Float[Tensor, "resample pair"] | None, pairs: int) -> None:
    """Refuse weights of the wrong shape, or that are negative, non-finite or all zero.

    Raises
    ------
    UsageError
        If there are not `pairs` weights per resample, or they are negative or all zero.
    NonFiniteError
        If a weight is NaN or infinite.
    """
    if weights is None:
        return
    if weights.ndim != 2 or weights.shape[1] != pairs or weights.shape[0] == 0:
        raise UsageError(
            f"The weights have shape {tuple(weights.shape)}; expected [resample, pair] with "
            f"{pairs} pairs. Make them with probes.stats.pair_weights from the same pairs."
        )
    require_finite("the pair weights", weights)
    if bool((weights < 0).any()):
        raise UsageError("A pair weight is negative; weights count copies, so give 0 or more.")
    empty = int((weights.sum(dim=1) == 0).sum())
    if empty:
        raise UsageError(
            f"{empty} of {weights.shape[0]} resamples give every pair the weight 0; there are too "
            "few words to resample. Use more word pairs."
        )
