"""Tables of what the measures say, per head, on average and per pair, with nulls and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from scipy.stats import rankdata
from torch import Tensor

from analyses.shared.significance import (
    range_of_difference,
    tabulate_estimate,
    tabulate_samples,
)
from analyses.shared.tables import number_heads
from probes.parallel import map_threads
from probes.similarity.catalogue import EXCESS, OCCURRENCES, SPACES, TRAINED, name_difference
from probes.similarity.compare import PairComparison
from probes.similarity.conditions import Measurements
from probes.similarity.divergence import divergence_curve
from probes.similarity.measure import Measure
from probes.similarity.resampled import resample_measures
from probes.similarity.tieability import resampled_r2
from probes.stats.bootstrap import interval, resample_words
from probes.stats.estimates import Estimate, PairBootstrap

RESAMPLED = ("centred", "functional")
NULLS = ("mismatched_heads", "random_heads")
"""The nulls of pairs."""

CONDITIONS = (TRAINED, *NULLS)
Comparisons = dict[tuple[str, str], PairComparison]
"""(space, condition) -> comparison [layer, head, pair]."""


def cut(comparisons: Comparisons, pairs: slice | Bool[Tensor, " pair"]) -> Comparisons:
    """Keep a run of neighbouring pairs, or those of a mask."""
    return {key: comparison.cut(pairs) for key, comparison in comparisons.items()}


def tabulate_measures(
    population: str,
    comparisons: Comparisons,
    bootstrap: PairBootstrap,
    measures: Sequence[Measure],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every space and condition; intervals in the centred and the functional space.

    Raw similarities get none: their ranks are nearly those of the centred space, whose intervals
    say the same.

    Returns
    -------
    A table with a row per layer and kv head, and one of means over heads and their differences.
    """
    heads, means = [], []
    resampled = {space: _resample(comparisons, space, bootstrap, measures) for space in RESAMPLED}
    for measure in measures:
        for space in SPACES:
            place = {"population": population, "space": space, "measure": measure.name}
            observed = _observe(measure, comparisons, space)
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
            ends = measure.find_interval(estimates[TRAINED], bootstrap.word_weights.shape[1])
            heads.append(head_table(place, observed, ends))
            means += [
                {
                    **place,
                    "condition": condition,
                    **tabulate_estimate(
                        estimate,
                        measure.possible
                        if condition in estimates
                        else range_of_difference(measure.possible),
                    ),
                }
                for condition, estimate in _average(estimates).items()
            ]
    return pd.concat(heads, ignore_index=True), pd.DataFrame(means)


def _observe(measure: Measure, comparisons: Comparisons, space: str) -> dict[str, Tensor]:
    """Measure one space under every condition: [layer, head] each."""
    return {
        condition: measure.function(*comparisons[space, condition].figures(measure.takes))
        for condition in CONDITIONS
        if (space, condition) in comparisons
    }


def _resample(
    comparisons: Comparisons, space: str, bootstrap: PairBootstrap, measures: Sequence[Measure]
) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
    """Measure one space by resampled words and by resampled pairs.

    (measure, condition) -> two tensors [resample, layer, head].
    """
    resampled: dict[tuple[str, str], list[Tensor]] = {}
    for weights in (bootstrap.word_weights, bootstrap.own_weights):
        crossed, drawn = (
            resample_measures(
                comparisons[space, condition],
                weights,
                measures=measures,
                crossed=condition == TRAINED,
            )
            for condition in (TRAINED, "random_heads")
        )
        for name, samples in crossed.items():
            own = torch.eye(samples.shape[-1], dtype=torch.bool)
            resampled.setdefault((name, TRAINED), []).append(samples[..., own])
            resampled.setdefault((name, "mismatched_heads"), []).append(samples[..., ~own])
            resampled.setdefault((name, "random_heads"), []).append(drawn[name][..., 0])
    return {key: (by_word, by_pair) for key, (by_word, by_pair) in resampled.items()}


def average_measures(
    comparisons: Comparisons, space: str, bootstrap: PairBootstrap, measures: Sequence[Measure]
) -> dict[tuple[str, str], Estimate]:
    """Estimate every measure in one space, mean over heads: (measure, condition) -> figure."""
    resampled = _resample(comparisons, space, bootstrap, measures)
    return {
        (measure.name, condition): Estimate(observed, *resampled[measure.name, condition]).map(
            lambda t: t.mean((-1, -2))
        )
        for measure in measures
        for condition, observed in _observe(measure, comparisons, space).items()
    }


def _average(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    """Average over heads, and take the differences between trained heads and the nulls."""
    averages = {name: e.map(lambda t: t.mean((-1, -2))) for name, e in estimates.items()}
    return averages | {
        name_difference(null): averages[TRAINED] - averages[null]
        for null in NULLS
        if null in averages
    }


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
    trained = values[TRAINED]
    n_layers, n_heads = trained.shape
    low, high = trained_interval or (torch.full_like(trained, torch.nan),) * 2
    columns = {"value": trained, "ci_low": low, "ci_high": high}
    for null, figures in values.items():
        if null != TRAINED:
            columns[f"{null}_mean"] = figures.mean(1).repeat_interleave(n_heads)
            # Of one null head there is no spread to tell.
            spread = figures.std(1) if figures.shape[1] > 1 else torch.full((n_layers,), torch.nan)
            columns[f"{null}_sd"] = spread.repeat_interleave(n_heads)
    flat = {name: column.flatten().numpy() for name, column in columns.items()}
    return number_heads(n_layers, n_heads).assign(**place, **flat)


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
            "measure": f"mean_{part}_cosine",
            "condition": condition,
            "value": float(getattr(comparison, name).mean()),
        }
        for (space, condition), comparison in comparisons.items()
        if condition != "mismatched_heads"
        for part, name in (("key", "s_k"), ("value", "s_v"))
    ]
    return pd.DataFrame(rows)


def tabulate_tieability(
    measured: Measurements, *, resamples: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate tieability and its excess over each null, per head and on average.

    Intervals resample the held-out words, not the fits.
    """
    n_words = len(measured.tied[TRAINED][0].words)
    counts = resample_words(n_words, resamples=resamples, seed=seed)
    values, samples = {}, {}
    for condition, results in measured.tied.items():
        values[condition] = torch.stack([result.r2 for result in results])
        samples[condition] = torch.stack([resampled_r2(r, counts) for r in results], dim=1)
    place = {"population": OCCURRENCES, "space": "functional", "measure": "tieability"}
    heads = [head_table(place, values, interval(samples[TRAINED]))]
    means = [
        {**place, "condition": condition}
        | _summarise_samples(values[condition], samples[condition])
        for condition in values
    ]
    for null in [condition for condition in values if condition != TRAINED]:
        place = {**place, "measure": f"{EXCESS}{null}"}
        excess = _excess(values[TRAINED], values[null])
        resampled = _excess(samples[TRAINED], samples[null])
        heads.append(head_table(place, {TRAINED: excess}, interval(resampled)))
        means.append({**place, "condition": TRAINED} | _summarise_samples(excess, resampled))
    return pd.concat(heads, ignore_index=True), pd.DataFrame(means)


def _excess(trained: Tensor, null: Tensor) -> Tensor:
    """E = (R^2 - R^2_null) / (1 - R^2_null), with the null's mean over the heads of the layer."""
    baseline = null.mean(-1, keepdim=True)
    return (trained - baseline) / (1 - baseline)


def _summarise_samples(values: Tensor, samples: Tensor) -> dict[str, float]:
    """Mean over heads and its interval."""
    return tabulate_samples(values.mean(), samples.mean((1, 2)))


def tabulate_dimensions(measured: Measurements) -> pd.DataFrame:
    """Tabulate in how many directions keys and values spread, and how much of them is shared."""
    rows = [
        {
            "population": OCCURRENCES,
            "space": space,
            "measure": f"{part}_dimension",
            "condition": condition,
            "value": float(dimension.mean()),
        }
        for (space, condition, part), dimension in measured.dimension.items()
    ]
    rows += [
        {
            "population": OCCURRENCES,
            "space": "raw",
            "measure": f"{part}_common_share",
            "condition": condition,
            "value": float(share.mean()),
        }
        for (condition, part), share in measured.common.items()
    ]
    return pd.DataFrame(rows)


def tabulate_pairs(pairs: pd.DataFrame, comparisons: Comparisons) -> pd.DataFrame:
    """Means over heads, and how far the percentile rank of s_K is above that of s_V."""
    functional, raw = comparisons["functional", TRAINED], comparisons["raw", TRAINED]
    columns = [c for c in ("pair_id", "head", "m1", "m2", "relatedness", "english") if c in pairs]
    rank_k, rank_v = _percentiles(functional.s_k), _percentiles(functional.s_v)
    gap = (rank_k - rank_v).flatten(0, 1)
    return pairs[columns].assign(
        s_k=functional.s_k.mean((0, 1)).numpy(),
        s_v=functional.s_v.mean((0, 1)).numpy(),
        raw_key_cosine=raw.s_k.mean((0, 1)).numpy(),
        raw_value_cosine=raw.s_v.mean((0, 1)).numpy(),
        key_percentile=rank_k.mean((0, 1)).numpy(),
        value_percentile=rank_v.mean((0, 1)).numpy(),
        dissociation=gap.mean(0).numpy(),
    )


def _percentiles(similarity: Tensor) -> Tensor:
    """Percentile rank of each pair within its head, 0 to 100; ties share their mean rank."""
    ranks = torch.from_numpy(rankdata(similarity.numpy(), axis=-1))
    return 100 * (ranks - 0.5) / similarity.shape[-1]


def tabulate_pair_heads(pairs: pd.DataFrame, comparisons: Comparisons) -> pd.DataFrame:
    """Tabulate every pair, layer and kv head: all similarities, and the functional distances."""
    functional = comparisons["functional", TRAINED]
    n_layers, n_heads, n_pairs = functional.s_k.shape
    columns: dict[str, Any] = {
        "pair_id": np.tile(pairs["pair_id"].to_numpy(), n_layers * n_heads),
        "layer": np.repeat(np.arange(n_layers, dtype=np.int16), n_heads * n_pairs),
        "kv_head": np.tile(np.repeat(np.arange(n_heads, dtype=np.int16), n_pairs), n_layers),
    }
    for name in ("s_k", "s_v", "d_k", "d_v"):
        columns[name] = getattr(functional, name).flatten().float().numpy()
    for space in ("raw", "centred"):
        for name in ("s_k", "s_v"):
            columns[f"{space}_{name}"] = (
                getattr(comparisons[space, TRAINED], name).flatten().float().numpy()
            )
    return pd.DataFrame(columns)
