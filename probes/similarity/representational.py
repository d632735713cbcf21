"""Do keys and values order the pairs alike? Representational similarity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes.similarity.measure import Dealt, Measure, Takes, always
from probes.stats.checks import require_finite
from probes.stats.ranks import (
    FromWeights,
    cumulate,
    gather_weights,
    midranks,
    over_resamples,
    sort_rows,
)

if TYPE_CHECKING:
    from probes.similarity.ranked import RankedPairs
    from probes.similarity.shuffled import DealtPairs


def representational_similarity(
    key_distance: Float[Tensor, "*head pair"],
    value_distance: Float[Tensor, "*head pair"],
    *,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head"] | Float[Tensor, "resample *head"]:
    """Spearman correlation of d_K and d_V over pairs.

    Ties take midranks. With weights the midrank of a tie is the mass before it plus half of its
    own, and the correlation of midranks is weighted: for integer weights exactly the Spearman
    correlation of the data with that many copies of each pair.

    1 for identical (or strictly increasing) relations, -1 for reversed ones, 0 in expectation for
    independent ones. Unchanged by strictly increasing maps of either distance, by the order of
    pairs and by a factor on the weights; symmetric in keys and values.

    Parameters
    ----------
    key_distance, value_distance
        Distances of the same pairs (or dissimilarities; or similarities, both).
    weights
        Non-negative weights of the pairs in each resample.

    Returns
    -------
    Float[Tensor, "*head"] or Float[Tensor, "resample *head"]
        float64, in [-1, 1]; with a leading axis if weights are given. NaN where all (weighted)
        distances of a head are equal except for rounding: there is no order to agree with.

    Raises
    ------
    UsageError
        If shapes disagree, or weights are negative or all zero.
    NonFiniteError
        If a distance is NaN or infinite.

    Notes
    -----
    Source: Kriegeskorte, Mur & Bandettini 2008, "Representational similarity analysis".
    """

    def prepare(key: Tensor, value: Tensor) -> FromWeights:
        by_key, by_value = sort_rows(key, descending=False), sort_rows(value, descending=False)
        position = torch.arange(key.shape[1]).expand_as(by_value.order)
        place = torch.empty_like(by_value.order).scatter_(1, by_value.order, position)
        place = place.gather(1, by_key.order)  # of the keys' sorted pairs in the values' order

        def measure(weight: Tensor) -> Tensor:
            key_weight = gather_weights(weight, by_key.order)
            value_weight = gather_weights(weight, by_value.order)
            key_rank = midranks(cumulate(key_weight), by_key)
            value_rank = midranks(cumulate(value_weight), by_value)
            value_spread = (value_weight * value_rank.square()).sum(dim=-1)
            weighted = key_weight.mul_(key_rank)
            key_spread = (weighted * key_rank).sum(dim=-1)
            aligned = value_rank.gather(2, place.expand(value_rank.shape))
            joint = (weighted * aligned).sum(dim=-1)
            return (joint / (key_spread * value_spread).sqrt()).clamp(-1, 1)

        return measure

    return over_resamples(key_distance, value_distance, weights, prepare)


def resample_similarity(keys: RankedPairs, values: RankedPairs) -> Float[Tensor, " resample"]:
    """Equal :func:`representational_similarity` in every resample, from ranks."""
    together = (keys.weighted_ranks * values.ranks).sum(0)
    return together / (keys.spread * values.spread).sqrt()


def deal_similarity(
    key_distance: Float[Tensor, " pair"],
) -> Callable[[DealtPairs], Float[Tensor, " sample"]]:
    """Split :func:`representational_similarity`: the ranks of d_K are fixed.

    The values' distances come as levels (`probes.similarity.shuffled.distance_levels`): counting
    how many pairs are on each ranks them six times faster than sorting.
    """
    require_finite("the keys' pair figures", key_distance)
    key_rank = _centred_midranks(key_distance).numpy()
    key_spread = np.square(key_rank).sum()

    def correlate(levels: np.ndarray) -> float:
        count = np.bincount(levels)
        rank = count.cumsum() - (count + len(levels)) / 2  # centred; its members' mean
        spread = key_spread * ((count * rank) @ rank)
        return (rank.take(levels) @ key_rank) / np.sqrt(spread) if spread > 0 else np.nan

    def measure(values: DealtPairs) -> Tensor:
        found = [correlate(row) for row in values.figures.numpy()]
        return torch.tensor(found, dtype=torch.float64).clamp(-1, 1)

    return measure


def _centred_midranks(figures: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    ordering = sort_rows(figures[None], descending=False)
    mass = cumulate(torch.ones(1, 1, len(figures), dtype=torch.float64))
    ranks = torch.empty(len(figures), dtype=torch.float64)
    ranks[ordering.order[0]] = midranks(mass, ordering)[0, 0]
    return ranks


MEASURES = (
    Measure(
        name="representational_similarity",
        label="representational similarity",
        symbol="representational similarity",
        unit="rank correlation",
        direction=1,
        heading="Representational similarity",
        meaning=(
            "The rank correlation of d_K and d_V over pairs: 1 if keys and values order all pairs "
            "alike, 0 if they have nothing to do with each other."
        ),
        function=representational_similarity,
        takes=Takes.PAIR_DISTANCES,
        unchanged_by=Takes.PAIR_DISTANCES.admits,
        identical=1.0,
        independent=always(0.0),
        source="Kriegeskorte, Mur & Bandettini 2008",
        pair_weights=True,
        ranked=resample_similarity,
        dealt=Dealt(deal_similarity, levels=True),
        possible=(-1.0, 1.0),
    ),
)
