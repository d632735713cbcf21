"""What a statistic owes to its reference: ranks and thresholds are those of the pairs themselves.

A percentile compares chosen pairs with the pairs of their stratum, which are a sample too. When
words are resampled both move, mostly together: a word whose keys are alike to all others raises the
chosen pairs and the mark they are held against. With ranks held fixed that is overlooked, and
intervals are up to three times too wide (benchmarks/coverage.py). To first order the reference's
part is a sum over its pairs, which is 0 and so moves no figure, but moves resampled figures
rightly: a Mann-Whitney statistic's other half (Hoeffding 1948), and for a threshold its quantile's
influence times the share chosen there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.similarity.co_attended.figures import GAPS, STATISTICS, TOPS, RankedPairs
from probes.similarity.co_attended.ranks import StratumRanks, stratum_means

_NEAR = 0.1
"""Pairs within this share of the median say how many are chosen there."""


def reference_parts(
    ranked: RankedPairs, choice: Float[Tensor, "kv_head query_head pair"]
) -> Float[Tensor, "statistic kv_head query_head pair"]:
    """Return each pair's part in every statistic's numerator as a pair of the reference.

    Parameters
    ----------
    choice
        A weight on every pair, by the query heads of each kv head.

    Returns
    -------
    float64, in the order of `STATISTICS`; 0 over every stratum. That of a gap is 0 throughout.
    """
    chosen = choice.double()
    percentile = [_part_of_percentile(r, chosen, ranked.strata) for r in _both(ranked)]
    lifts = [
        -(ranks.top(top) - top)[:, None] * _share_near(ranks, chosen, 1 - top, top / 2) / top
        for ranks in _both(ranked)
        for top in TOPS
    ]
    alike, unlike = ranked.keys.top(0.5), 1 - ranked.values.top(0.5)
    by_keys = _share_near(ranked.keys, chosen * unlike[:, None], 0.5, _NEAR)
    by_values = _share_near(ranked.values, chosen * alike[:, None], 0.5, _NEAR)
    quadrant = -(alike - 0.5)[:, None] * by_keys - (unlike - 0.5)[:, None] * by_values
    parts = [*percentile, percentile[0] - percentile[1], *lifts, quadrant]
    parts += [torch.zeros_like(chosen) for _ in GAPS]
    return torch.stack(parts[: len(STATISTICS)])


def _both(ranked: RankedPairs) -> tuple[StratumRanks, StratumRanks]:
    return ranked.keys, ranked.values


def _part_of_percentile(
    ranks: StratumRanks, chosen: Tensor, strata: Int[Tensor, " pair"]
) -> Tensor:
    above = ranks.mass_above(chosen)
    return (above - stratum_means(above, strata)) * (100 / ranks.size)


def _share_near(
    ranks: StratumRanks, chosen: Tensor, place: float, reach: float
) -> Float[Tensor, "kv_head query_head one"]:
    """Return the mean choice of the pairs that rank near a place, over all strata."""
    near = ranks.top(1 - place + reach) - ranks.top(1 - place - reach)
    near = near.double()[:, None]
    mean: Tensor = (chosen * near).sum(-1, keepdim=True) / near.sum(-1, keepdim=True)
    return mean
