"""Tables of what the pair measures say, per head and on average, with nulls and intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probes.parallel import map_threads
from probes.similarity.compare import PairComparison
from probes.similarity.dissociation import dissociation_ratio
from probes.similarity.divergence import divergence_curve
from probes.similarity.representational import representational_similarity
from probes.similarity.resampled import resample_measures
from probes.similarity.spaces import SPACES
from probes.stats.estimates import Estimate, PairBootstrap
from probes.stats.shares import share_interval

TOPS = (0.01, 0.05, 0.10)
RESAMPLED = ("centred", "functional")
FEW = 5
"""Pairs below which a dissociation ratio's interval is Wilson's."""
CONDITIONS = ("trained", "mismatched", "random")
Comparisons = dict[tuple[str, str], PairComparison]
"""(space, condition) -> comparison [layer, head, pair]."""


@dataclass(frozen=True)
class PairMeasure:
    """A measure of pairs: its name, the two figures of a pair it takes, and its function.

    ``top`` is the share p of a dissociation ratio.
    """

    name: str
    figures: tuple[str, str]
    function: Callable[..., Tensor]
    top: float | None = None

    def interval(self, estimate: Estimate, n_pairs: int) -> tuple[Tensor, Tensor]:
        """Return the ends of the 95 % interval of every figure.

        Where fewer than `FEW` pairs make a dissociation ratio, resampling them says too little (see
        docs/inference.md): there it is Wilson's.
        """
        low, high = estimate.interval()
        if self.top is None:
            return low, high
        share, size = estimate.observed / 2, self.top * n_pairs
        rare = (share * size < FEW) & (size >= 1)
        variance = estimate.standard_error().square() / 4
        ends = share_interval(share.clamp(0, 1), variance, size=max(1, size))
        return torch.where(rare, 2 * ends[0], low), torch.where(rare, 2 * ends[1], high)


MEASURES = (
    *(
        PairMeasure(
            f"dissociation_ratio_{top:.0%}",
            ("s_k", "s_v"),
            partial(dissociation_ratio, top=top),
            top,
        )
        for top in TOPS
    ),
    PairMeasure("representational_similarity", ("d_k", "d_v"), representational_similarity),
)


def cut(comparisons: Comparisons, pairs: slice) -> Comparisons:
    """Keep a run of neighbouring pairs."""
    return {
        key: PairComparison(
            *(getattr(comparison, name)[..., pairs] for name in ("s_k", "s_v", "d_k", "d_v"))
        )
        for key, comparison in comparisons.items()
    }


def tabulate_measures(
    population: str, comparisons: Comparisons, bootstrap: PairBootstrap
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every space and condition; intervals in the centred and the functional space.

    Raw similarities get none: their ranks are nearly those of the centred space, whose intervals
    say the same.

    Returns
    -------
    A table with a row a layer and kv head, and one of means over heads and their differences.
    """
    heads, means = [], []
    resampled = {space: _resample(comparisons, space, bootstrap) for space in RESAMPLED}
    for measure in MEASURES:
        for space in SPACES:
            place = {"population": population, "space": space, "measure": measure.name}
            observed = {
                condition: measure.function(
                    *(getattr(comparisons[space, condition], name) for name in measure.figures)
                )
                for condition in CONDITIONS
                if (space, condition) in comparisons
            }
            if space not in resampled:
                heads.append(head_table(place, observed))
                means += [
                    {**place, "condition": condition, "value": float(value.mean())}
                    for condition, value in observed.items()
                ]
                continue
            estimates = {
                condition: Estimate(value, *resampled[space][measure.name, condition])
                for condition, value in observed.items()
            }
            interval = measure.interval(estimates["trained"], bootstrap.word_weights.shape[1])
            heads.append(head_table(place, observed, interval))
            means += [
                {**place, "condition": condition, **_summarise(estimate)}
                for condition, estimate in _average(estimates).items()
            ]
    return pd.concat(heads, ignore_index=True), pd.DataFrame(means)


def _resample(
    comparisons: Comparisons, space: str, bootstrap: PairBootstrap
) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
    """Measure one space by resampled words and by resampled pairs.

    (measure, condition) -> two tensors [resample, layer, head].
    """
    resampled: dict[tuple[str, str], list[Tensor]] = {}
    for weights in (bootstrap.word_weights, bootstrap.own_weights):
        for condition, crossed in (("trained", True), ("random", False)):
            comparison = comparisons[space, condition]
            ratios, similarity = resample_measures(comparison, weights, tops=TOPS, crossed=crossed)
            for measure, figures in zip(MEASURES, [*ratios, similarity], strict=True):
                if not crossed:
                    resampled.setdefault((measure.name, "random"), []).append(figures[..., 0])
                    continue
                own = torch.eye(figures.shape[-1], dtype=torch.bool)
                resampled.setdefault((measure.name, "trained"), []).append(figures[..., own])
                resampled.setdefault((measure.name, "mismatched"), []).append(figures[..., ~own])
    return {key: (by_word, by_pair) for key, (by_word, by_pair) in resampled.items()}


def average_measures(
    comparisons: Comparisons, space: str, bootstrap: PairBootstrap
) -> dict[tuple[str, str], Estimate]:
    """Estimate every measure in one space, mean over heads: (measure, condition) -> figure."""
    resampled = _resample(comparisons, space, bootstrap)
    averages = {}
    for measure in MEASURES:
        for condition in CONDITIONS:
            if (space, condition) in comparisons:
                comparison = comparisons[space, condition]
                observed = measure.function(*(getattr(comparison, n) for n in measure.figures))
                estimate = Estimate(observed, *resampled[measure.name, condition])
                averages[measure.name, condition] = estimate.map(lambda t: t.mean((-1, -2)))
    return averages


def _average(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    """Average over heads, and take the differences between trained heads and the nulls."""
    averages = {name: e.map(lambda t: t.mean((-1, -2))) for name, e in estimates.items()}
    return averages | {
        f"trained - {null}": averages["trained"] - averages[null]
        for null in CONDITIONS[1:]
        if null in averages
    }


def _summarise(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval()
    return {"value": float(estimate.observed), "ci_low": float(low), "ci_high": float(high)}


def head_table(
    place: dict[str, str],
    values: dict[str, Tensor],
    trained_interval: tuple[Tensor, Tensor] | None = None,
) -> pd.DataFrame:
    """One row per layer and kv head, with the nulls of the layer beside it.

    Parameters
    ----------
    place
        ``population``, ``space``, ``measure``.
    values
        Condition -> [layer, head].
    """
    trained = values["trained"]
    n_layers, n_heads = trained.shape
    low, high = trained_interval or (torch.full_like(trained, torch.nan),) * 2
    columns: dict[str, Any] = {
        "layer": np.repeat(np.arange(n_layers), n_heads),
        "kv_head": np.tile(np.arange(n_heads), n_layers),
        **place,
        "value": trained.flatten(),
        "ci_low": low.flatten(),
        "ci_high": high.flatten(),
    }
    for null, figures in values.items():
        if null != "trained":
            columns[f"{null}_mean"] = figures.mean(1).repeat_interleave(n_heads)
            # Of one null head there is no spread to tell.
            spread = figures.std(1) if figures.shape[1] > 1 else torch.full((n_layers,), torch.nan)
            columns[f"{null}_sd"] = spread.repeat_interleave(n_heads)
    return pd.DataFrame(columns)


def tabulate_curves(
    population: str,
    comparisons: Comparisons,
    bootstrap: PairBootstrap,
    bins: int,
) -> pd.DataFrame:
    """Tabulate E[1 - s_V] by the rank of s_K, functional space, means over heads."""
    tables = []
    for condition in CONDITIONS:
        comparison = comparisons.get(("functional", condition))
        if comparison is None:
            continue
        measure = partial(_estimate_curve, comparison, bootstrap, bins)
        estimate = Estimate.mean(map_threads(measure, range(len(comparison.s_k))))
        low, high = estimate.interval()
        tables.append(
            pd.DataFrame(
                {
                    "population": population,
                    "condition": condition,
                    "bin": np.arange(bins),
                    "rank": (np.arange(bins) + 0.5) / bins,
                    "value": estimate.observed,
                    "ci_low": low,
                    "ci_high": high,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _estimate_curve(
    comparison: PairComparison, bootstrap: PairBootstrap, bins: int, layer: int
) -> Estimate:
    """Measure one layer's curve, mean over its heads."""
    curve = partial(divergence_curve, bins=bins)
    estimate = bootstrap.estimate(curve, comparison.s_k[layer], comparison.s_v[layer])
    return estimate.map(lambda t: t.mean(-2))


def tabulate_cosines(population: str, comparisons: Comparisons) -> pd.DataFrame:
    """Mean cosines: what a naive reading of key similarity sees."""
    rows = [
        {
            "population": population,
            "space": space,
            "measure": f"mean_{kind}_cosine",
            "condition": condition,
            "value": float(getattr(comparison, name).mean()),
        }
        for (space, condition), comparison in comparisons.items()
        if condition in ("trained", "random")
        for kind, name in (("key", "s_k"), ("value", "s_v"))
    ]
    return pd.DataFrame(rows)
