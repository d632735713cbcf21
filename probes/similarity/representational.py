"""Do keys and values order the pairs alike? Representational similarity."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.ranks import (
    Measure,
    cumulate,
    gather_weights,
    midranks,
    over_resamples,
    sort_rows,
)


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
        distances of a head are equal: there is no order to agree with.

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

    def prepare(key: Tensor, value: Tensor) -> Measure:
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
