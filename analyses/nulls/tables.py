"""Tables of every measure beside every null: per head, on average, and over layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import false_discovery_control, permutation_test

from analyses.shared.tables import number_heads
from probes.similarity.catalogue import TRAINED
from probes.similarity.shuffled import ShuffledPairs
from probes.stats.null_comparison import compare_with_null

Shuffles = dict[str, dict[str, ShuffledPairs]]
"""Null -> measure -> one layer's figures, as observed and with the shuffled words."""

FLIPS = 9999
"""Random signs of the layers; where there are no more than that, all of them are tried."""


def tabulate(
    shuffled: Sequence[Shuffles], figures: pd.DataFrame, *, seed: int
) -> dict[str, pd.DataFrame]:
    """Make ``heads`` and ``summary`` of `analyses.nulls.compute`.

    Parameters
    ----------
    shuffled
        Of every layer, the shuffled words.
    figures
        ``layer, kv_head, measure, condition, value``, one row per head, trained or of a null.
    seed
        Of the sign flips.
    """
    heads, summary = _tabulate_shuffles(shuffled)
    over_layers = compare_over_layers(figures, seed=seed).assign(unit="layers")
    return {
        "summary": pd.concat([summary, over_layers], ignore_index=True),
        "heads": pd.concat([heads, _tabulate_heads(figures)], ignore_index=True),
    }


def _tabulate_shuffles(layers: Sequence[Shuffles]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate every measure under the permutations, per head and on average over heads."""
    heads, means = [], []
    for null, measures in layers[0].items():
        for measure in measures:
            observed = torch.stack([layer[null][measure].observed for layer in layers])
            samples = torch.stack([layer[null][measure].samples for layer in layers], dim=1)
            place = {"measure": measure, "condition": null}
            columns = compare_with_null(observed, samples).columns()
            heads.append(
                number_heads(*observed.shape).assign(
                    **place, **{name: column.numpy() for name, column in columns.items()}
                )
            )
            mean = compare_with_null(observed.mean()[None], samples.mean((1, 2))[:, None])
            row = pd.DataFrame({**place, "unit": "words", **mean.columns()}, index=[0])
            means.append(row.assign(samples=len(samples)))
    summary = pd.concat(means, ignore_index=True).drop(columns="p_max_t")
    summary["difference"] = summary["value"] - summary["null_mean"]
    return pd.concat(heads, ignore_index=True), summary


def _tabulate_heads(figures: pd.DataFrame) -> pd.DataFrame:
    """Give every trained head the mean and spread of its layer's null heads."""
    is_trained = figures["condition"] == TRAINED
    by_null = figures[~is_trained].groupby(["layer", "measure", "condition"], sort=False)
    moments = by_null["value"].agg(null_mean="mean", null_sd="std").reset_index()
    trained = figures[is_trained].drop(columns="condition")
    table: pd.DataFrame = trained.merge(moments, on=["layer", "measure"])
    spread = table["null_sd"].where(table["null_sd"] > 0)
    return table.assign(effect=(table["value"] - table["null_mean"]) / spread)


def compare_over_layers(figures: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Compare each measure's mean over the heads of a layer with that of every null's heads.

    The layers are paired: a difference a layer, and under the null its sign is as likely to be the
    other (a sign-flip test of their mean, two-sided; all flips of few layers, random ones of many).
    Layers of one model are not independent, so p says how regular the difference is over the
    layers, not how it would be in another model.

    Parameters
    ----------
    figures
        ``layer, measure, condition, value``, one row per head, trained or of a null.
    seed
        Of the sign flips.

    Returns
    -------
    ``measure, condition, value`` (trained), ``null_mean, null_sd`` (over the null's layer means),
    ``difference, effect`` (mean difference over its standard deviation between layers), ``p, p_bh``
    (over all measures of a null), ``samples`` (layers).
    """
    means = figures.pivot_table("value", ["measure", "condition"], "layer", sort=False)
    rows = []
    for measure in means.index.get_level_values("measure").unique():
        trained = means.loc[(measure, TRAINED)]
        for null, of_null in means.loc[measure].drop(TRAINED).iterrows():
            gaps = (trained - of_null).dropna().to_numpy()
            rows.append(
                {
                    "measure": measure,
                    "condition": null,
                    "value": float(trained.mean()),
                    "null_mean": float(of_null.mean()),
                    "null_sd": float(of_null.std()),
                    "difference": float(gaps.mean()),
                    "effect": _standardise(gaps),
                    "p": _flip_signs(gaps, seed),
                    "samples": len(gaps),
                }
            )
    table = pd.DataFrame(rows)
    table["p_bh"] = table.groupby("condition")["p"].transform(false_discovery_control)
    return table


def _standardise(gaps: np.ndarray) -> float:
    spread = gaps.std(ddof=1) if len(gaps) > 1 else 0.0
    return float(gaps.mean() / spread) if spread > 0 else float("nan")


def _flip_signs(gaps: np.ndarray, seed: int) -> float:
    """Two-sided p of the mean under flipped signs, the observed arrangement counted in."""
    if len(gaps) < 2:
        return 1.0  # of one layer, both signs are as far from 0
    found = permutation_test(
        (gaps,),
        lambda sample, axis: sample.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        rng=seed,
    )
    return float(found.pvalue)
