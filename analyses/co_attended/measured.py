"""What one source gives: every statistic as a mean over query heads, and head by head."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from probes.similarity.co_attended.contributions import Contributions
from probes.similarity.co_attended.figures import find_range
from probes.similarity.co_attended.size import express_value_gap, relate_value_gap
from probes.stats.clusters import Clusters, RatioEstimate

WEIGHTINGS = ("plain", "by attention")
"""What a head counts for in a mean: the same as every other, or the attention that it gives."""

HEAD_MEASURES = {"key_percentile": 55.0, "difference": 0.0, "value_percentile": 50.0}
"""Statistic of single heads -> the mark against which it is tested."""


DRAWS = 1999
"""Draws of the null for max-T, whose p-values are no smaller than one over this many."""


@dataclass(frozen=True)
class Measured:
    """One source.

    Attributes
    ----------
    source
        Its name.
    selections, statistics
        The names along the axes of the means.
    clusters
        How its units depend on each other.
    units
        How many units there are: distinct pairs of words, or documents.
    judged
        How many of these the answers may rest on: pairs that chance alone brought together.
    means
        Weighting -> every statistic of every selection, mean over query heads.
    heads
        ``layer, head, kv_head, measure, value, ci_low, ci_high, deviate, attention``.
    draws
        Measure of `HEAD_MEASURES` -> deviates of all heads under its mark: a null for max-T.
    sizes
        Selection -> share of the value gap in what heads write, and in the stream; NaN if unknown.
    selected
        How many units a head chooses, mean over heads.
    """

    source: str
    selections: tuple[str, ...]
    statistics: tuple[str, ...]
    clusters: Clusters
    units: int
    judged: int
    means: dict[str, RatioEstimate]
    heads: pd.DataFrame
    draws: dict[str, Float[Tensor, "resample head"]]
    sizes: dict[str, tuple[float, float]]
    selected: float

    def has(self, selection: str) -> bool:
        """Whether a selection was made, and chose something."""
        if selection not in self.selections:
            return False
        place = self.selections.index(selection)
        return bool(self.means["plain"].observed[place].isfinite().any())

    def read(self, selection: str, statistic: str, weighting: str = "plain") -> RatioEstimate:
        """Return a statistic of a selection, mean over heads."""
        place = self.selections.index(selection), self.statistics.index(statistic)
        return self.means[weighting].pick(*place)


@dataclass
class Gathering:
    """Adds up a source layer by layer, so that no array of heads by units outlives its layer."""

    source: str
    clusters: Clusters
    units: int
    judged: int
    _sums: dict[str, list[RatioEstimate]] = field(default_factory=dict)
    _counts: dict[str, list[Tensor]] = field(default_factory=dict)
    _heads: list[pd.DataFrame] = field(default_factory=list)
    _draws: dict[str, list[Tensor]] = field(default_factory=dict)
    _sizes: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _selected: list[float] = field(default_factory=list)
    _names: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def add(
        self,
        found: Contributions,
        *,
        layer: int,
        n_kv_heads: int,
        attention: Float[Tensor, " head"],
        written_square: Float[Tensor, " head"] | None,
        stream_square: Tensor | None,
    ) -> None:
        """Take in one layer."""
        self._names = (found.selections, found.statistics)
        below = found.denominator[:, None].expand_as(found.numerator)
        estimates = RatioEstimate.of(found.numerator, below)
        known = estimates.observed.isfinite()
        for name in WEIGHTINGS:
            weight = torch.ones_like(attention) if name == "plain" else attention
            self._sums.setdefault(name, []).append(estimates.over_last(weight))
            self._counts.setdefault(name, []).append((known * weight.double()).sum(-1))
        own = found.selections.index("own")
        for name, mark in HEAD_MEASURES.items():
            picked = estimates.pick(own, found.statistics.index(name))
            self._heads.append(self._tabulate(picked, name, mark, layer, n_kv_heads, attention))
            # One seed: a cluster counts by the same number in every layer.
            drawn = self.clusters.draw(picked, resamples=DRAWS, seed=0)
            self._draws.setdefault(name, []).append(drawn)
        gaps = estimates.observed[:, found.statistics.index("value_gap")]
        unknown = torch.full_like(gaps, torch.nan)
        self._sizes.append(
            (
                unknown
                if written_square is None
                else express_value_gap(gaps, written_square, n_kv_heads=n_kv_heads),
                unknown
                if stream_square is None
                else relate_value_gap(gaps, float(stream_square), n_kv_heads=n_kv_heads),
            )
        )
        self._selected.append(float((found.count[own] > 0).sum(-1).double().mean()))

    def _tabulate(
        self,
        estimate: RatioEstimate,
        name: str,
        mark: float,
        layer: int,
        n_kv_heads: int,
        attention: Tensor,
    ) -> pd.DataFrame:
        low, high = find_range(name)
        ends = self.clusters.interval(estimate, low=low, high=high)
        n_heads = len(attention)
        group = n_heads // n_kv_heads
        return pd.DataFrame(
            {
                "layer": layer,
                "head": range(n_heads),
                "kv_head": [head // group for head in range(n_heads)],
                "measure": name,
                "value": estimate.observed,
                "ci_low": ends[0],
                "ci_high": ends[1],
                "deviate": self.clusters.test(estimate, null=mark, low=low, high=high),
                "attention": attention,
            }
        )

    def finish(self) -> Measured:
        """Return what has been added up."""
        means = {}
        for name, parts in self._sums.items():
            counts = torch.stack(self._counts[name], -1)
            used = counts / counts.sum(-1, keepdim=True)
            stacked = RatioEstimate.stack(parts)
            means[name] = RatioEstimate(
                (stacked.observed.nan_to_num(0.0) * used).sum(-1),
                # A layer that chooses nothing has none.
                (stacked.influence.nan_to_num(0.0) * used[..., None]).sum(-2),
                (stacked.share.nan_to_num(0.0) * used[..., None]).sum(-2),
            )
        sizes = [torch.cat(parts, -1).nanmean(-1) for parts in zip(*self._sizes, strict=True)]
        selections, statistics = self._names
        return Measured(
            source=self.source,
            selections=selections,
            statistics=statistics,
            clusters=self.clusters,
            units=self.units,
            judged=self.judged,
            means=means,
            heads=pd.concat(self._heads, ignore_index=True),
            draws={name: torch.cat(parts, -1) for name, parts in self._draws.items()},
            sizes={
                name: (float(sizes[0][place]), float(sizes[1][place]))
                for place, name in enumerate(selections)
            },
            selected=sum(self._selected) / len(self._selected),
        )
