"""Tables of the rise in cross-entropy: estimates over documents, what comes back, correlations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from probes.stats.bootstrap import interval, resample_words
from probes.stats.rank_correlation import rank_correlations

Array = NDArray[Any]
TRIAL = ["scope", "kind", "fit", "layer", "kv_head", "rank", "directions"]
MEAN = "mean"


class Rises:
    """Losses as arrays [trial, document], and their rise in nats per token in every resample.

    Parameters
    ----------
    losses
        ``documents`` of `analyses.substitution.compute`.
    resamples, seed
        Documents are drawn with replacement this many times.
    """

    def __init__(self, losses: pd.DataFrame, *, resamples: int, seed: int) -> None:
        grouped = losses.assign(rise=losses["loss"] - losses["plain"])
        wide = grouped.pivot_table(index=TRIAL, columns="document", values="rise", sort=False)
        self.trials = wide.index.to_frame(index=False)
        self._rises = wide.to_numpy(dtype=float)
        tokens = losses.groupby("document")["tokens"].first()
        self._tokens = tokens[wide.columns].to_numpy(dtype=float)
        counts = resample_words(len(self._tokens), resamples=resamples, seed=seed)
        self._counts = counts.double().numpy()

    def find(self, **where: Any) -> Array:
        """Return the numbers of the trials that agree with every given column."""
        keep = np.ones(len(self.trials), dtype=bool)
        for column, value in where.items():
            keep &= (self.trials[column] == value).to_numpy()
        found: Array = np.flatnonzero(keep)
        return found

    def observed(self, trials: Array) -> Array:
        """Return the rise of each trial, in nats per token."""
        rises: Array = self._rises[trials].sum(axis=1) / self._tokens.sum()
        return rises

    def resampled(self, trials: Array) -> Array:
        """Return the same in every resample of the documents, [resample, trial]."""
        rises: Array = (self._counts @ self._rises[trials].T) / (self._counts @ self._tokens)[
            :, None
        ]
        return rises

    def describe(self, trials: Array, ablations: Array | None) -> dict[str, float]:
        """Return the mean rise over some trials and what comes back of the ablations' mean rise."""
        observed, samples = self.observed(trials).mean(), self.resampled(trials).mean(axis=1)
        low, high = _interval(samples)
        row = {"rise": float(observed), "ci_low": low, "ci_high": high}
        if ablations is not None and len(ablations):
            lost = self.observed(ablations).mean()
            row["recovered"] = float(1 - observed / lost)
            shares = 1 - samples / self.resampled(ablations).mean(axis=1)
            row["recovered_low"], row["recovered_high"] = _interval(shares)
        return row

    def ablations_of(self, trial: pd.Series[Any]) -> Array:
        """Return the mean ablation in the place of a trial."""
        same = {name: trial[name] for name in ("scope", "layer", "kv_head")}
        return self.find(kind=MEAN, fit="at once", **same)


def _interval(samples: Array) -> tuple[float, float]:
    """Return the percentile interval; NaN if more than a tenth of the resamples have no number."""
    finite = samples[np.isfinite(samples)]
    if len(finite) < 0.9 * len(samples):
        return float("nan"), float("nan")
    low, high = interval(torch.tensor(finite))
    return float(low), float(high)


def tabulate_rises(losses: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Tabulate every kind and fit in single heads, single layers and everywhere.

    What comes back is in comparison with mean ablation, fitted at once. Of keys that are made from
    values (``reverse``) it is not told, since mean ablation is of values.
    """
    rises = Rises(losses[losses["directions"] == ""], resamples=resamples, seed=seed)
    rows = []
    order = ["scope", "kind", "fit"]
    for scope, kind, fit in rises.trials[order].drop_duplicates().itertuples(index=False):
        trials = rises.find(scope=scope, kind=kind, fit=fit)
        ablations = None
        if kind != "reverse":
            ablations = rises.find(scope=scope, kind=MEAN, fit="at once")
        rows.append(
            {"scope": scope, "kind": kind, "fit": fit, "places": len(trials)}
            | rises.describe(trials, ablations)
        )
    return pd.DataFrame(rows)


def tabulate_heads(
    losses: pd.DataFrame, scope: str, r2: pd.DataFrame, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Tabulate every kind in every single kv head (or layer), with the fit's R^2 beside it."""
    rises = Rises(losses[losses["scope"] == scope], resamples=resamples, seed=seed)
    rows = []
    for number, trial in rises.trials.iterrows():
        ablations = None if trial["kind"] == "reverse" else rises.ablations_of(trial)
        rows.append(
            {name: trial[name] for name in ("kind", "layer", "kv_head")}
            | rises.describe(np.array([number]), ablations)
        )
    table = pd.DataFrame(rows)
    if scope == "layer":
        means = r2.groupby("layer", as_index=False)["r2_text"].mean()
        return table.drop(columns="kv_head").merge(means, on="layer", how="left")
    return table.merge(r2, on=["layer", "kv_head"], how="left")


def tabulate_ranks(losses: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Tabulate what comes back with this many directions of the keys; 0 is mean ablation."""
    everywhere = losses[(losses["scope"] == "all") & (losses["fit"] == "at once")]
    rises = Rises(everywhere, resamples=resamples, seed=seed)
    ablations = rises.find(kind=MEAN)
    rows = []
    for directions in ("top", "best"):
        ranked = rises.find(kind="keys", directions=directions)
        points = [(0, ablations[0])]
        points += [(int(rises.trials["rank"][number]), number) for number in ranked]
        points += [(-1, rises.find(kind="keys", directions="")[0])]  # -1: all of them
        rows += [
            {"directions": directions, "rank": rank} | rises.describe(np.array([number]), ablations)
            for rank, number in points
        ]
    return pd.DataFrame(rows)


MEASURES = (
    "tieability",
    "excess_tieability_vs_mismatched_heads",
    "excess_tieability_vs_random_slice",
    "representational_similarity",
    "dissociation_ratio_5%",
)
"""Measures of the table of heads that are correlated with costs."""

COSTS = (
    "rise",
    "rise of mean ablation",
    "rise, mean ablation held constant",
    "share not recovered",
)


def tabulate_geometry(
    losses: pd.DataFrame,
    r2: pd.DataFrame,
    measured_heads: pd.DataFrame | None,
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Correlate geometric measures of the heads with what replacing their values costs.

    Costs: the rise when values are made from keys; the rise of mean ablation (how much the head's
    values matter at all); the first with the second held constant (partial Spearman correlation);
    and the share of the second that does not come back. Intervals resample heads and documents at
    once.

    Parameters
    ----------
    measured_heads
        The table ``heads`` of `analyses.divergence`; None where it has not been measured.
    """
    rises = Rises(losses[losses["scope"] == "head"], resamples=resamples, seed=seed)
    keys, mean = rises.find(kind="keys"), rises.find(kind=MEAN)
    if not len(keys) or not len(mean):
        return pd.DataFrame(columns=["measure", "cost", "value", "ci_low", "ci_high", "heads"])
    places = rises.trials.loc[keys, ["layer", "kv_head"]]
    measures = {"r2_text": places.merge(r2, how="left")["r2_text"].to_numpy(dtype=float)}
    if measured_heads is not None:
        measures |= _read_measures(measured_heads, places)
    measured = np.stack(list(measures.values()))
    value = correlate_costs(measured, rises.observed(keys), rises.observed(mean))
    draws = np.random.default_rng(seed).integers(len(keys), size=(resamples, len(keys)))
    drawn = np.array(
        [
            correlate_costs(measured[:, draw], rise[draw], ablation[draw])
            for draw, rise, ablation in zip(
                draws, rises.resampled(keys), rises.resampled(mean), strict=True
            )
        ]
    )
    rows = []
    for row, measure in enumerate(measures):
        for column, cost in enumerate(COSTS):
            low, high = _interval(drawn[:, row, column])
            numbers = {"value": value[row, column], "ci_low": low, "ci_high": high}
            rows.append({"measure": measure, "cost": cost, **numbers, "heads": len(keys)})
    return pd.DataFrame(rows)


def correlate_costs(
    measures: Float[np.ndarray, "measure head"],
    rise: Float[np.ndarray, " head"],
    ablation: Float[np.ndarray, " head"],
) -> Float[np.ndarray, "measure cost"]:
    """Return the Spearman correlations of measures of the heads with every cost of `COSTS`.

    Parameters
    ----------
    rise
        Of the loss, with values made from keys.
    ablation
        Rise of the loss without values (their mean).
    """
    # A share of nothing says nothing: the lower quarter of the heads share one denominator.
    floor = max(np.quantile(np.abs(ablation), 0.25), np.finfo(float).tiny)
    costs = torch.tensor(np.stack([rise, ablation, rise / np.maximum(ablation, floor)]))
    plain, partial = rank_correlations(torch.tensor(measures), costs, given=costs[1:2])
    return torch.stack([plain[:, 0], plain[:, 1], partial[:, 0], plain[:, 2]], dim=1).numpy()


def _read_measures(table: pd.DataFrame, places: pd.DataFrame) -> dict[str, Array]:
    """Return the measures of the heads in the functional space, in the order of `places`."""
    found = {}
    for measure in MEASURES:
        rows = table[(table["measure"] == measure) & (table["space"] == "functional")]
        if "population" in rows and "word pairs" in set(rows["population"]):
            rows = rows[rows["population"] == "word pairs"]
        rows = rows.drop_duplicates(["layer", "kv_head"])[["layer", "kv_head", "value"]]
        values = places.merge(rows, on=["layer", "kv_head"], how="left")["value"]
        if values.notna().all() and len(values):
            found[measure] = values.to_numpy(dtype=float)
    return found
