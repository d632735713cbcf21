"""Do words that a query attends to have similar keys at all? The premise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.catalogue.places import ATTENDED, TOPS
from probes.similarity.measure import Measure, Takes, always
from probes.stats.checks import (
    require_finite,
    require_fraction,
    require_indices,
    require_same_shape,
)
from probes.stats.ranks import check_weights, sort_rows

_RESAMPLES = 64  # a block of [pair, resample] numbers is 1.5 MB for 6,000 pairs
_SLACK = 1.25  # how much more than the wanted share of the ranking is looked at in the first try


def premise_lift(
    key_similarity: Float[Tensor, "*head pair"],
    left_attention: Float[Tensor, "*head query_head pair"],
    right_attention: Float[Tensor, "*head query_head pair"],
    *,
    tops: Sequence[float],
    attended: float,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head top"] | Float[Tensor, "resample *head top"]:
    """How much more often keys are similar where the query attends to both words.

    P(s_K in its top p | both words get high attention from the query) / p, over pairs of modifiers
    of one head word. A word gets high attention when its weight is in the top share `attended` of
    all weights that this query head gives to the words of the pairs. The query heads that share a
    kv head are pooled: the probability is over pairs *and* query heads, so one query head that
    attends to both words is enough to ask whether their common key is alike. Averaging the weights
    over the group first would answer for a query that no head has.

    Pairs tied at a boundary belong to the set by one common fraction, as in
    :func:`probes.similarity.dissociation.dissociation_ratio`: an integer weight says exactly what
    that many copies of the pair would say.

    1 in expectation when attention knows nothing about key similarity (and exactly 1 when all s_K
    are equal); 1 / p when all pairs attended alike are in the top; 0 when none is. Unchanged by
    strictly increasing maps of s_K, and of the attention of each query head; by the order of pairs
    and of query heads; by exchanging the words of every pair; by a factor on the weights.

    Parameters
    ----------
    key_similarity
        s_K of the pairs.
    left_attention, right_attention
        The weight that the pair's query gives its left and its right word; see
        :func:`pair_attention`.
    tops
        Every p, above 0 and below 1: what share of the pairs has similar keys. Several cost hardly
        more than one, as attention is ranked once.
    attended
        Above 0 and below 1: what share of the attention weights counts as high.
    weights
        Non-negative weights of the pairs in each resample; see
        :func:`probes.stats.bootstrap.pair_weights`. Added up in their dtype, in which whole numbers
        are exact.

    Returns
    -------
    Float[Tensor, "*head top"] or Float[Tensor, "resample *head top"]
        float64, in [0, 1 / p]; with a leading axis if weights are given. NaN where no pair has two
        words of high attention.

    Raises
    ------
    UsageError
        If a p or `attended` is outside (0, 1), shapes disagree, or weights are negative or all 0.
    NonFiniteError
        If a similarity or an attention weight is NaN or infinite.

    Notes
    -----
    Source: docs/measures.md. That q attends to both only bounds their cosine: cos(q, k) >= c
    for both gives cos(k1, k2) >= 2 c^2 - 1.
    """
    for top in tops:
        require_fraction("a p in tops", top)
    require_fraction("attended", attended)
    _check(key_similarity, left_attention, right_attention)
    pairs = key_similarity.shape[-1]
    check_weights(weights, pairs)
    used = torch.ones(1, pairs, dtype=torch.float64) if weights is None else weights
    similarity = key_similarity.reshape(-1, pairs).double()
    attention = torch.cat([left_attention, right_attention], -1).double()
    attention = attention.reshape(len(similarity), -1, 2 * pairs)
    by_similarity = [Ranking.of(row) for row in similarity]
    by_attention = [[Ranking.of(row) for row in of_head] for of_head in attention]
    blocks = []
    for block in torch.split(used, _RESAMPLES):
        w = block.to(torch.promote_types(block.dtype, torch.float32)).T.contiguous()
        lifts = [
            _measure_head(one, of_group, w, tops, attended)
            for one, of_group in zip(by_similarity, by_attention, strict=True)
        ]
        blocks.append(torch.stack(lifts, 1).double())
    result = torch.cat(blocks).reshape(len(used), *key_similarity.shape[:-1], len(tops))
    return result[0] if weights is None else result


def pair_attention(
    attention: Float[Tensor, "query head"],
    query: Int[Tensor, "pair template"],
    *,
    n_kv_heads: int,
) -> Float[Tensor, "kv_head query_head pair"]:
    """Attention that each pair's query gives to one of its words, mean over templates.

    Parameters
    ----------
    attention
        Of one layer, as captured: the weight of the attended word, for every query and query head.
    query
        Which query attends to the word, in each template: what
        :func:`probes.capture.plan.locate_pairs` finds when the table of queries has its ``query``
        in the place of its ``occurrence``.
    n_kv_heads
        Query head h reads kv head h // (heads / n_kv_heads).

    Raises
    ------
    UsageError
        If a query does not exist, or the heads do not divide into groups.
    """
    require_indices("query", query, len(attention))
    heads = attention.shape[1]
    if n_kv_heads < 1 or heads % n_kv_heads:
        raise UsageError(f"{heads} query heads cannot share {n_kv_heads} kv heads evenly.")
    mean = attention.index_select(0, query.flatten()).reshape(*query.shape, heads).mean(1)
    return mean.T.reshape(n_kv_heads, heads // n_kv_heads, len(query))


@dataclass(frozen=True)
class Ranking:
    """One list of figures in falling order, with its ties.

    Attributes
    ----------
    order
        Which entry is at each position.
    place
        The position of each entry.
    first, last
        First and last position of the tie that each position belongs to.
    tied
        Whether there is a tie.
    """

    order: Int[Tensor, " entry"]
    place: Int[Tensor, " entry"]
    first: Int[Tensor, " entry"]
    last: Int[Tensor, " entry"]
    tied: bool

    @classmethod
    def of(cls, figures: Float[Tensor, " entry"]) -> Ranking:
        """Sort the figures."""
        sorting = sort_rows(figures[None], descending=True)
        order = sorting.order[0]
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return cls(order, place, sorting.first[0], sorting.last[0], sorting.tied)

    def top(
        self, weights: Float[Tensor, "entry resample"], share: float
    ) -> Float[Tensor, "position resample"]:
        """By which fraction each position belongs to the top `share` of the mass.

        Only as many positions as reach into the top in some resample: the rest belong to it by 0.
        """
        n = len(self.order)
        target = share * weights.sum(0)
        reach = min(n, int(_SLACK * share * n) + 1)
        while True:
            reach = int(self.last[reach - 1]) + 1  # a tie is whole or not there
            inside = weights.index_select(0, self.order[:reach])
            mass = inside.cumsum(0)
            if reach == n or bool((mass[-1] >= target).all()):
                break
            reach = min(n, 2 * reach)
        before = mass - inside
        if self.tied:
            before = before.index_select(0, self.first[:reach])
            inside = mass.index_select(0, self.last[:reach]) - before
        # A tie that weighs nothing belongs to the top or not, it is all the same.
        return ((target - before) / inside.clamp(min=torch.finfo(mass.dtype).tiny)).clamp_(0, 1)


def _measure_head(
    by_similarity: Ranking,
    by_attention: list[Ranking],
    weights: Float[Tensor, "pair resample"],
    tops: Sequence[float],
    attended: float,
) -> Float[Tensor, "resample top"]:
    """Measure one kv head in a block of resamples, pooled over its query heads."""
    pairs = len(weights)
    both_weights = torch.cat([weights, weights])
    similar = [by_similarity.top(weights, top) for top in tops]
    total = weights.new_zeros(weights.shape[1])
    joint = weights.new_zeros(len(tops), weights.shape[1])
    for ranking in by_attention:
        high = ranking.top(both_weights, attended)
        left, right = ranking.place[:pairs], ranking.place[pairs:]
        both = ((left < len(high)) & (right < len(high))).nonzero()[:, 0]
        mass = high.index_select(0, left[both]).mul_(high.index_select(0, right[both]))
        mass.mul_(weights.index_select(0, both))
        total += mass.sum(0)
        place = by_similarity.place[both]
        for number, inside in enumerate(similar):
            near = (place < len(inside)).nonzero()[:, 0]
            together = mass.index_select(0, near).mul_(inside.index_select(0, place[near]))
            joint[number] += together.sum(0)
    lift: Tensor = (joint / total).T.double() / torch.tensor(tops, dtype=torch.float64)
    return lift


def _check(similarity: Tensor, left: Tensor, right: Tensor) -> None:
    require_same_shape("left_attention", left, "right_attention", right)
    heads, pairs = similarity.shape[:-1], similarity.shape[-1]
    if left.shape[:-2] != heads or left.shape[-1] != pairs or 0 in (pairs, left.shape[-2]):
        raise UsageError(
            f"The attention has shape {tuple(left.shape)}; expected [*head, query_head, pair] for "
            f"similarities of shape {tuple(similarity.shape)}, with a pair and a query head each."
        )
    require_finite("the key similarities", similarity)
    require_finite("left_attention", left)
    require_finite("right_attention", right)


def _measure_one(
    key_similarity: Float[Tensor, "*head pair"],
    left_attention: Float[Tensor, "*head query_head pair"],
    right_attention: Float[Tensor, "*head query_head pair"],
    *,
    top: float,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head"] | Float[Tensor, "resample *head"]:
    attention = left_attention, right_attention
    lift = premise_lift(key_similarity, *attention, tops=(top,), attended=ATTENDED, weights=weights)
    return lift[..., 0]


MEASURES = tuple(
    Measure(
        name=f"premise_lift_{top:.0%}",
        label=f"premise lift, {100 * top:.0f} % of the keys",
        symbol=f"lift({100 * top:.0f} %)",
        unit="of what chance gives",
        direction=0,
        heading="Premise lift",
        meaning=(
            "P(s_K among its highest p | the query attends to both words) / p: how much more often "
            "keys are similar where both words draw the attention of the query than among all "
            "pairs. 1: attention says nothing about the similarity of keys."
        ),
        function=partial(_measure_one, top=top),
        takes=Takes.ATTENTION,
        unchanged_by=Takes.ATTENTION.admits,
        identical=1 / max(top, ATTENDED),
        independent=always(1.0),
        source="docs/measures.md",
        pair_weights=True,
        possible=(0.0, 1 / top),
    )
    for top in TOPS
)
