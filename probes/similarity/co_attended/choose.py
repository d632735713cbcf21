"""Which pairs a head attends to together: its own choice, another head's, a shuffled one.

A choice is a weight on every pair, [head, pair]: whether (sentences), or by how many queries
(running text), the pair is attended to together. Everything that is measured is a mean over pairs
in these weights, so any choice can replace any other.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.co_attended.ranks import StratumRanks
from probes.stats.checks import require_finite, require_fraction, require_same_shape

TOP_SHARE = 0.25
"""A sentence's pair is attended to together where the smaller weight is in this top share."""

LEAST_WEIGHT = 0.02
"""In running text, each of the two weights is at least this."""

SINK_WEIGHT = 0.3
"""A position with more than this share of a head's mean query is a sink."""

SINK_QUERIES = 16
"""A position is a sink only where this many queries see it; fewer may all mean it."""


def choose_in_sentences(
    left_weight: Float[Tensor, "head event"],
    right_weight: Float[Tensor, "head event"],
    *,
    share: float = TOP_SHARE,
    within: Int[Tensor, " event"] | None = None,
) -> Float[Tensor, "head event"]:
    """Choose the sentences in which a head's query attends to both words.

    The smaller of the two weights is in the top `share` of these minima over all sentences, for
    each query head by itself. Sentences tied at the edge are chosen by one common part, so each
    head chooses exactly the same share.

    Parameters
    ----------
    left_weight, right_weight
        The attention weights of the two words.
    within
        Classes (templates) within each of which the share is taken; by default all are one.

    Returns
    -------
    In [0, 1].

    Raises
    ------
    UsageError
        If shapes disagree or `share` is not above 0 and below 1.
    NonFiniteError
        If a weight is NaN or infinite.
    """
    require_same_shape("left_weight", left_weight, "right_weight", right_weight)
    smaller = torch.minimum(left_weight, right_weight)
    if within is None:
        within = torch.zeros(smaller.shape[-1], dtype=torch.long)
    return StratumRanks.of(smaller, within).top(share)


def deal_within(strata: Int[Tensor, " event"], *, seed: int) -> Int[Tensor, " event"]:
    """Give each event another one of its stratum; each is given once.

    An event that is alone in its stratum keeps itself.

    Parameters
    ----------
    strata
        The stratum of each event.
    seed
        The same seed deals the same way.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(len(strata)), strata.numpy()))
    sizes = torch.unique(strata, return_counts=True)[1].tolist()
    dealt = np.empty_like(order)
    for part in np.split(order, np.cumsum(sizes)[:-1]):
        dealt[part] = np.roll(part, 1)
    return torch.from_numpy(dealt)


def choose_in_text(
    weights: Float[Tensor, "head query token"],
    allowed: Bool[Tensor, "head query token"],
    *,
    largest: int | None = 2,
    share: float = TOP_SHARE,
    least: float = LEAST_WEIGHT,
) -> Bool[Tensor, "head query token"]:
    """Say which tokens each query attends to: its largest weights, if they are not too small.

    Parameters
    ----------
    weights
        Attention of every query.
    allowed
        The tokens that count for a query; see `find_sinks`.
    largest
        How many of the largest weights count; None: the top `share` of those allowed.
    least
        Each weight is at least so large.

    Raises
    ------
    UsageError
        If shapes disagree.
    NonFiniteError
        If a weight is NaN or infinite.
    """
    require_same_shape("allowed", allowed, "weights", weights)
    require_finite("the attention weights", weights)
    counted = weights.where(allowed, 0.0)
    rising = torch.from_numpy(np.sort(counted.numpy(), axis=-1))  # ten times as fast as torch's
    if largest is None:
        require_fraction("share", share)
        count = (allowed.sum(-1, keepdim=True) * share).ceil().long().clamp(min=1)
        edge = rising.gather(-1, counted.shape[-1] - count)
    else:
        edge = rising[..., -min(largest, counted.shape[-1]), None]
    return allowed & (counted >= edge) & (counted >= least)


def find_sinks(
    weights: Float[Tensor, "head query token"],
    visible: Bool[Tensor, "query token"],
    *,
    most: float = SINK_WEIGHT,
    fewest: int = SINK_QUERIES,
) -> Bool[Tensor, "head token"]:
    """Find the positions that get a head's attention for every query.

    Parameters
    ----------
    visible
        Which tokens a query sees, itself left out.
    most
        A sink has a larger mean weight than this, over the queries that see it.
    fewest
        How many queries must see it.
    """
    seen = visible.sum(0)
    mean = (weights * visible).sum(1) / seen.clamp(min=1)
    return (mean > most) & (seen >= fewest)


def count_together(
    attended: Bool[Tensor, "head query token"],
    left: Int[Tensor, " pair"],
    right: Int[Tensor, " pair"],
    *,
    dealt: Int[Tensor, " query"] | None = None,
) -> Float[Tensor, "head pair"]:
    """Count by how many queries each pair of tokens is attended to together.

    Parameters
    ----------
    attended
        From `choose_in_text`.
    left, right
        The two tokens of each pair.
    dealt
        Another query for each (`deal_within`): one token is then attended to by a query and the
        other by the one given to it.
    """
    first = attended.float()
    second = first if dealt is None else first.index_select(1, dealt)
    together = first.mT @ second
    if dealt is not None:
        together = (together + together.mT) / 2
    return together[:, left, right]


def choose_elsewhere(
    chosen: Float[Tensor, "head pair"], *, n_kv_heads: int
) -> Float[Tensor, "kv_head pair"]:
    """Add up what the query heads of a layer's other kv heads choose, for each kv head.

    0 everywhere in a layer of one kv head: there is no other.

    Raises
    ------
    UsageError
        If the heads do not divide into groups.
    """
    heads = len(chosen)
    if n_kv_heads < 1 or heads % n_kv_heads:
        raise UsageError(f"{heads} query heads cannot share {n_kv_heads} kv heads evenly.")
    by_group = torch.unflatten(chosen, 0, (n_kv_heads, -1)).sum(1)
    return (by_group.sum(0) - by_group).clamp(min=0) if n_kv_heads > 1 else 0 * by_group


def weigh_heads(
    left_weight: Float[Tensor, "head event"], right_weight: Float[Tensor, "head event"]
) -> Float[Tensor, " head"]:
    """Say how much attention each head gives to the two words, mean over events."""
    return (left_weight + right_weight).double().mean(-1)
