"""Do the most similar keys carry dissimilar values? The dissociation ratio."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.checks import require_fraction
from probes.stats.ranks import (
    Measure,
    cumulate,
    find_boundary,
    gather_weights,
    over_resamples,
    sort_rows,
)


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
    with mass W / 2. A pair belongs to a set wholly or not at all, but for the pairs *tied* at its
    boundary: each belongs to it by the one fraction that makes the set's mass exact. So

        DR = sum_i w_i top_i lower_i / (p W / 2),

    an integer weight says exactly what that many copies of the pair would say, and the order of
    the pairs is irrelevant.

    1 when values know nothing of keys (and exactly 1 when all s_K, or all s_V, are equal), 0 when
    similar keys always mean similar values (s_V = s_K, p <= 1/2), 2 when they always mean
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
    Source: design.md, section 3.
    """
    require_fraction("top", top)

    def prepare(key: Tensor, value: Tensor) -> Measure:
        by_key, by_value = sort_rows(key, descending=True), sort_rows(value, descending=False)
        # The pair at each position of the keys' order stands in which tie of the values' order?
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
