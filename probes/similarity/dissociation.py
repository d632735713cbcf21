"""Do the most similar keys carry dissimilar values? The dissociation ratio."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from probes.similarity.catalogue.places import TOPS
from probes.similarity.measure import Dealt, Measure, Takes, Transformation, always
from probes.stats.checks import require_finite, require_fraction
from probes.stats.estimates import Estimate
from probes.stats.ranks import (
    FromWeights,
    cumulate,
    find_boundary,
    gather_weights,
    over_resamples,
    sort_rows,
)
from probes.stats.shares import share_interval

if TYPE_CHECKING:
    from probes.similarity.ranked import RankedPairs
    from probes.similarity.shuffled import DealtPairs

FEW = 5
"""Pairs below which the interval of a ratio is Wilson's."""


def dissociation_ratio(
    key_similarity: Float[Tensor, "*head pair"],
    value_similarity: Float[Tensor, "*head pair"],
    *,
    top: float,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head"] | Float[Tensor, "resample *head"]:
    """Chance that similar keys have dissimilar values, in units of chance.

    DR(p) = P(s_V in its lower half | s_K in its top p) / 0.5. With weights w of total W the top p
    is the set of most similar keys with mass p W, the lower half the set of least similar values
    with mass W / 2. A pair belongs to a set wholly or not at all, except for the pairs *tied* at
    its boundary: each belongs to it by the one fraction that makes the set's mass exact. So

        DR = sum_i w_i top_i lower_i / (p W / 2),

    an integer weight says exactly what that many copies of the pair would say, and the order of
    the pairs is irrelevant.

    1 when values know nothing about keys (and exactly 1 when all s_K, or all s_V, are equal), 0
    when similar keys always mean similar values (s_V = s_K, p <= 1/2), 2 when they always mean
    dissimilar ones (s_V = -s_K). Unchanged by strictly increasing maps of s_K and of s_V, by the
    order of pairs and by a factor on the weights.

    Parameters
    ----------
    key_similarity, value_similarity
        s_K and s_V of the same pairs.
    top
        p, above 0 and below 1.
    weights
        Non-negative weights of the pairs in each resample; see
        :func:`probes.stats.bootstrap.pair_weights`.

    Returns
    -------
    Float[Tensor, "*head"] or Float[Tensor, "resample *head"]
        float64, in [0, 2]; with a leading axis if weights are given.

    Raises
    ------
    UsageError
        If `top` is outside (0, 1), shapes disagree, or weights are negative or all zero.
    NonFiniteError
        If a similarity is NaN (a zero vector) or infinite.

    Notes
    -----
    Source: docs/measures.md.
    """
    require_fraction("top", top)

    def prepare(key: Tensor, value: Tensor) -> FromWeights:
        by_key, by_value = sort_rows(key, descending=True), sort_rows(value, descending=False)
        # For each position of the keys' order: the tie of the values' order that its pair is in.
        tie = torch.empty_like(by_value.first).scatter_(1, by_value.order, by_value.first)
        tie = tie.gather(1, by_key.order)

        def measure(weight: Tensor) -> Tensor:
            total = weight.sum(dim=1, keepdim=True)
            half = find_boundary(
                cumulate(gather_weights(weight, by_value.order)), by_value, total / 2
            )
            ordered = gather_weights(weight, by_key.order)
            best = find_boundary(cumulate(ordered), by_key, top * total)
            reach = int(best.last.max()) + 1  # no resample's top goes further
            position = torch.arange(reach)
            inside = torch.where(
                position < best.first, 1.0, best.fraction * (position <= best.last)
            )
            below = tie[None, :, :reach]
            lower = torch.where(below < half.first, 1.0, half.fraction * (below == half.first))
            joint = (ordered[..., :reach] * inside * lower).sum(dim=-1)
            return joint / (top * total / 2)

        return measure

    return over_resamples(key_similarity, value_similarity, weights, prepare)


def resample_ratio(
    keys: RankedPairs, values: RankedPairs, *, top: float
) -> Float[Tensor, " resample"]:
    """Equal :func:`dissociation_ratio` in every resample, from the ranks of s_K and of s_V."""
    return (keys.top(top) * values.lower_half).sum(0) / (top * keys.total / 2)


def deal_ratio(
    key_similarity: Float[Tensor, " pair"], *, top: float
) -> Callable[[DealtPairs], Float[Tensor, " sample"]]:
    """Split :func:`dissociation_ratio`: the top share of s_K is fixed."""
    require_fraction("top", top)
    require_finite("the keys' pair figures", key_similarity)
    n_pairs = len(key_similarity)
    ordering = sort_rows(key_similarity[None], descending=True)
    mass = cumulate(torch.ones(1, 1, n_pairs, dtype=torch.float64))
    edge = find_boundary(mass, ordering, torch.tensor([[top * n_pairs]], dtype=torch.float64))
    first, last, fraction = int(edge.first), int(edge.last), edge.fraction.item()
    members = ordering.order[0, : last + 1]
    weight = torch.where(torch.arange(last + 1) < first, 1.0, fraction).double()
    weight /= top * n_pairs / 2

    def measure(values: DealtPairs) -> Tensor:
        chosen = values.figures[:, members]
        lower = (chosen < values.median).double()
        lower += values.fraction_of_median * (chosen == values.median)
        return lower @ weight

    return measure


def bound_ratio(estimate: Estimate, n_pairs: int, *, top: float) -> tuple[Tensor, Tensor]:
    """Return the ends of the 95 % interval of every ratio.

    Where fewer than `FEW` pairs make a ratio, resampling them says too little (see
    docs/inference.md): there it is Wilson's.
    """
    low, high = estimate.interval()
    share, size = estimate.observed / 2, top * n_pairs
    rare = (share * size < FEW) & (size >= 1)
    variance = estimate.standard_error().square() / 4
    ends = share_interval(share.clamp(0, 1), variance, size=max(1, size))
    return torch.where(rare, 2 * ends[0], low), torch.where(rare, 2 * ends[1], high)


def _describe(top: float) -> Measure:
    return Measure(
        name=f"dissociation_ratio_{top:.0%}",
        label=f"dissociation ratio, {100 * top:.0f} % of the keys",
        symbol=f"DR({100 * top:.0f} %)",
        unit="of what chance gives",
        direction=-1,
        heading="Dissociation ratio DR(p)",
        meaning=(
            "DR(p) = P(s_V below its median | s_K among its highest p) / 0.5. An association of "
            "ranks. Take the pairs whose keys are most alike; how many have values less alike than "
            "the middle pair? 1: as many as chance gives, values know nothing about keys. 0: none, "
            "similar keys always mean similar values. Half of DR is the share itself."
        ),
        function=partial(dissociation_ratio, top=top),
        takes=Takes.PAIR_SIMILARITIES,
        unchanged_by=frozenset(
            {
                Transformation.INCREASING_KEYS,
                Transformation.INCREASING_VALUES,
                Transformation.REORDERED,
            }
        ),
        identical=0.0,
        independent=always(1.0),
        source="docs/measures.md",
        pair_weights=True,
        ranked=partial(resample_ratio, top=top),
        dealt=Dealt(partial(deal_ratio, top=top)),
        interval=partial(bound_ratio, top=top),
        possible=(0.0, 2.0),
    )


MEASURES = tuple(map(_describe, TOPS))
