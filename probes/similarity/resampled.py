"""The pair measures in every resample at once, for all combinations of a layer's heads.

`dissociation_ratio` and `representational_similarity` sort and rank anew for every pair of heads.
Here each head's ranks are made once a resample and shared: by all three shares of a dissociation
ratio, and by a head's own values and the other heads' (the mismatched null). Both ways give the
same numbers wherever no two pairs tie; with ties, as in duplicated pairs, they differ by no more
than the weight of the tie.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.parallel import map_threads
from probes.similarity.compare import PairComparison

_RESAMPLES = 64  # a block of [pair, resample] numbers is 1.5 MB for 6,000 pairs: near the cache


def resample_measures(
    comparison: PairComparison,
    weights: Float[Tensor, "resample pair"],
    *,
    tops: Sequence[float],
    crossed: bool,
) -> tuple[
    Float[Tensor, "top resample layer key_head value_head"],
    Float[Tensor, "resample layer key_head value_head"],
]:
    """Measure dissociation ratios and representational similarity in every resample.

    Parameters
    ----------
    comparison
        [layer, head, pair].
    weights
        Non-negative pair weights of each resample (`pair_weights`).
    tops
        The shares p of the dissociation ratios.
    crossed
        Whether to join keys with the values of every head of the layer, or of their own alone (the
        last axis then has length 1).

    Returns
    -------
    The dissociation ratio for each p, and the representational similarity; float64.
    """
    blocks = torch.split(weights.float(), _RESAMPLES)

    def measure(layer: int) -> Tensor:
        orders = {
            name: getattr(comparison, name)[layer].argsort(-1)
            for name in ("s_k", "s_v", "d_k", "d_v")
        }
        return torch.cat([_measure_block(orders, block, tops, crossed) for block in blocks], dim=1)

    measured = torch.stack(map_threads(measure, range(comparison.s_k.shape[0])), dim=2).double()
    return measured[:-1], measured[-1]


def _measure_block(
    orders: dict[str, Tensor], weights: Tensor, tops: Sequence[float], crossed: bool
) -> Float[Tensor, "measure resample key_head value_head"]:
    """Measure one layer, whose heads' pairs in rising order are given, in some resamples.

    Pairs run along the first axis, where gathering moves whole rows.
    """
    w = weights.T.contiguous()
    total = w.sum(0)
    low, ranks, spreads = [], [], []
    for s_v, d_v in zip(orders["s_v"], orders["d_v"], strict=True):
        # The part of each pair that lies in the lower half: 1, 0, or between at the median.
        below = _mass_up_to(s_v, w).sub_(w).neg_().add_(total / 2)
        low.append(below.div_(w.clamp_min(1e-30)).clamp_(0, 1))
        ranks.append(_centred_ranks(d_v, w, total))
        spreads.append(_dot(w * ranks[-1], ranks[-1]))
    n_heads = len(low)
    out = w.new_empty(len(tops) + 1, w.shape[1], n_heads, n_heads if crossed else 1)
    for head, (s_k, d_k) in enumerate(zip(orders["s_k"], orders["d_k"], strict=True)):
        others = list(enumerate(range(n_heads) if crossed else [head]))
        mass = _mass_up_to(s_k, w)
        for number, top in enumerate(tops):
            # The weight of each pair that lies in the top share.
            inside = (mass - (1 - top) * total).clamp_(min=0)
            torch.minimum(inside, w, out=inside)
            for place, other in others:
                out[number, :, head, place] = _dot(inside, low[other]) / (top * total / 2)
        rank = _centred_ranks(d_k, w, total)
        weighted = rank * w
        spread = _dot(weighted, rank)
        for place, other in others:
            together = _dot(weighted, ranks[other])
            out[-1, :, head, place] = together / (spread * spreads[other]).sqrt()
    return out


def _dot(
    a: Float[Tensor, "pair resample"], b: Float[Tensor, "pair resample"]
) -> Float[Tensor, " resample"]:
    return (a * b).sum(0)


def _mass_up_to(
    order: Int[Tensor, " pair"], weights: Float[Tensor, "pair resample"]
) -> Float[Tensor, "pair resample"]:
    """Weigh, for each pair, the pairs up to it in the order."""
    ascending = weights.index_select(0, order).cumsum(0)
    return torch.empty_like(weights).index_copy_(0, order, ascending)


def _centred_ranks(
    order: Int[Tensor, " pair"],
    weights: Float[Tensor, "pair resample"],
    total: Float[Tensor, " resample"],
) -> Float[Tensor, "pair resample"]:
    """Midranks less their weighted mean, as a share of the total (so that nothing grows large)."""
    return _mass_up_to(order, weights).sub_(weights / 2).div_(total).sub_(0.5)
