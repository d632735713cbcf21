"""What is measured of a pair of keys and of a pair of values: ranks among like pairs, and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.similarity.co_attended.ranks import StratumRanks
from probes.similarity.pairs import pair_cosines, pair_distances
from probes.stats.checks import require_same_shape

TOPS = (0.01, 0.05, 0.10)

PERCENTILES = ("key_percentile", "value_percentile")
LIFTS = tuple(f"{part}_lift_{top:.0%}" for part in ("key", "value") for top in TOPS)
GAPS = ("key_gap", "value_gap")
STATISTICS = (*PERCENTILES, "difference", *LIFTS, "quadrant", *GAPS)
"""In the order of `PairFigures.statistics`. The gaps are mean *squares* there: see `size.py`."""


def find_range(statistic: str) -> tuple[float, float]:
    """Return the least and the most that a statistic can be."""
    if statistic in PERCENTILES:
        return 0.0, 100.0
    if statistic == "difference":
        return -100.0, 100.0
    if statistic in LIFTS:
        return 0.0, 1 / TOPS[LIFTS.index(statistic) % len(TOPS)]
    return (0.0, 1.0) if statistic == "quadrant" else (0.0, float("inf"))


@dataclass(frozen=True)
class PairFigures:
    """How alike the keys and the values of pairs are, in the functional space.

    Attributes
    ----------
    s_k, s_v
        Cosines.
    d_k, d_v
        Distances: d_k is the root mean square, over queries, of the gap in logits.
    """

    s_k: Float[Tensor, "kv_head pair"]
    s_v: Float[Tensor, "kv_head pair"]
    d_k: Float[Tensor, "kv_head pair"]
    d_v: Float[Tensor, "kv_head pair"]

    @classmethod
    def of(
        cls,
        keys: Float[Tensor, "kv_head place d_key"],
        values: Float[Tensor, "kv_head place d_value"],
        left: Int[Tensor, " pair"],
        right: Int[Tensor, " pair"],
    ) -> PairFigures:
        """Compare the two places of every pair.

        Parameters
        ----------
        keys, values
            Coordinates in the functional space (`probes.similarity.spaces.to_space`).
        """
        return cls(
            pair_cosines(keys, left, right),
            pair_cosines(values, left, right),
            pair_distances(keys, left, right),
            pair_distances(values, left, right),
        )

    @classmethod
    def of_all(
        cls,
        keys: Float[Tensor, "kv_head place d_key"],
        values: Float[Tensor, "kv_head place d_value"],
        left: Int[Tensor, " pair"],
        right: Int[Tensor, " pair"],
    ) -> PairFigures:
        """Do the same where most possible pairs are asked for: one product per head, no gather."""
        figures = []
        for vectors in (keys, values):
            products = vectors @ vectors.mT
            squares = products.diagonal(dim1=1, dim2=2)
            inner, first, second = products[:, left, right], squares[:, left], squares[:, right]
            figures.append((inner / (first * second).sqrt()).clamp(-1, 1))
            figures.append((first + second - 2 * inner).clamp(min=0).sqrt())
        s_k, d_k, s_v, d_v = figures
        return cls(s_k, s_v, d_k, d_v)

    def rank(self, strata: Int[Tensor, " pair"]) -> RankedPairs:
        """Rank the pairs within their strata, keys and values apart.

        Parameters
        ----------
        strata
            The class of pairs in which each is ranked: numbers from 0.

        Raises
        ------
        UsageError
            If there is not one stratum per pair.
        NonFiniteError
            If a figure is NaN or infinite.
        """
        require_same_shape("the cosines of values", self.s_v, "those of keys", self.s_k)
        keys, values = (StratumRanks.of(figures, strata) for figures in (self.s_k, self.s_v))
        return RankedPairs(strata, keys, values, self.d_k.square(), self.d_v.square())


@dataclass(frozen=True)
class RankedPairs:
    """Pairs with their ranks among like pairs, and their squared gaps.

    Attributes
    ----------
    strata
        The class in which each pair is ranked.
    keys, values
        Ranks of s_K and s_V.
    key_gap, value_gap
        Squared distances.
    """

    strata: Int[Tensor, " pair"]
    keys: StratumRanks
    values: StratumRanks
    key_gap: Float[Tensor, "kv_head pair"]
    value_gap: Float[Tensor, "kv_head pair"]

    def __len__(self) -> int:
        return len(self.strata)

    @cached_property
    def statistics(self) -> Float[Tensor, "statistic kv_head pair"]:
        """Every statistic of every pair, in the order of `STATISTICS`; float32.

        Each is a number whose mean over chosen pairs is the statistic: percentiles, memberships in
        a top share over that share, squared gaps.
        """
        p_k, p_v = self.keys.percentiles(), self.values.percentiles()
        lifts = [ranks.top(top) / top for ranks in (self.keys, self.values) for top in TOPS]
        quadrant = self.keys.top(0.5) * (1 - self.values.top(0.5))
        parts = [p_k, p_v, p_k - p_v, *lifts, quadrant, self.key_gap, self.value_gap]
        return torch.stack([part.float() for part in parts])
