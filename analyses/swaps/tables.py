"""Tables of swaps: means with intervals over words, and the index that the founding claim is in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.attention_example.compute import FOUNDING
from probes.stats.estimates import Estimate, PairBootstrap

AVERAGED = ("total_variation", "kl", "attention", "attention_edited")
"""Measures whose mean over pairs is told; logit shifts are told as a ratio of sums."""

INDEXED = ("total_variation", "kl")
PARTS = ("key", "value", "both")
PLACE = ["scope", "part", "layer", "kv_head"]


def weighted_mean(
    figures: Float[Tensor, "*place pair"], weights: Float[Tensor, "resample pair"] | None = None
) -> Tensor:
    """Return the mean over pairs, [*place] or [resample, *place]."""
    if weights is None:
        return figures.mean(-1)
    sums = figures.to(weights.dtype) @ weights.T / weights.sum(1)
    return sums.movedim(-1, 0)


def swap_index(
    key: Float[Tensor, "*place pair"],
    value: Float[Tensor, "*place pair"],
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Tensor:
    """Return (d_v - d_k) / (d_v + d_k) of the means: 1 if only values matter, -1 if only keys."""
    d_k, d_v = weighted_mean(key, weights), weighted_mean(value, weights)
    return (d_v - d_k) / (d_v + d_k)


def ratio(
    shift: Float[Tensor, "*place pair"],
    gap: Float[Tensor, "*place pair"],
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Tensor:
    """Return the summed shift over the summed gap."""
    return weighted_mean(shift, weights) / weighted_mean(gap, weights)


class _Population:
    """One population's figures as tensors [place, pair], and the resamples of its words."""

    def __init__(self, table: pd.DataFrame, *, resamples: int, seed: int) -> None:
        self.table = table
        pairs = table[["pair_id", "m1", "m2"]].drop_duplicates()
        words = {w: n for n, w in enumerate(sorted(set(pairs["m1"]) | set(pairs["m2"])))}
        self.order = list(pairs["pair_id"])
        sides = (torch.tensor(pairs[side].map(words).to_numpy()) for side in ("m1", "m2"))
        self.bootstrap = PairBootstrap.draw(*sides, resamples=resamples, seed=seed)

    def figures(self, measure: str, scope: str, part: str) -> Float[Tensor, "place pair"]:
        """Return a measure of every place of a scope (a head, a layer, all), float64."""
        rows = self.table[(self.table["scope"] == scope) & (self.table["part"] == part)]
        wide = rows.pivot_table(
            index=["layer", "kv_head"], columns="pair_id", values=measure, sort=True
        )
        return torch.tensor(wide[self.order].to_numpy(dtype=float))

    def has(self, scope: str, part: str) -> bool:
        """Whether a part was swapped in a scope."""
        return bool(((self.table["scope"] == scope) & (self.table["part"] == part)).any())


def _populations(table: pd.DataFrame, *, resamples: int, seed: int) -> dict[str, _Population]:
    return {
        str(name): _Population(rows, resamples=resamples, seed=seed)
        for name, rows in table.groupby("population", sort=False)
    }


def tabulate_swaps(table: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Tabulate means over pairs (and over the heads or layers of the scope), with intervals.

    Intervals resample words, as everywhere.
    """
    rows = []
    for name, population in _populations(table, resamples=resamples, seed=seed).items():
        for scope in ("all", "layer", "head"):
            for part in PARTS:
                if not population.has(scope, part):
                    continue
                place = {"population": name, "scope": scope, "part": part}
                for measure in AVERAGED:
                    figures = population.figures(measure, scope, part).mean(0)
                    estimate = population.bootstrap.estimate(weighted_mean, figures)
                    rows.append({**place, "measure": measure} | _tell(estimate))
                moved = [
                    population.figures(measure, scope, part).mean(0)
                    for measure in ("logit_shift", "logit_gap")
                ]
                estimate = population.bootstrap.estimate(ratio, *moved)
                rows.append({**place, "measure": "transfer"} | _tell(estimate))
    return pd.DataFrame(rows)


def tabulate_indices(
    table: pd.DataFrame, *, resamples: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate the index by scope and population, and by kv head.

    Populations are resampled apart, so the interval of their difference is that of independent
    figures.
    """
    rows: list[dict[str, Any]] = []
    heads = []
    for name, population in _populations(table, resamples=resamples, seed=seed).items():
        for scope in ("all", "layer", "head"):
            for measure in INDEXED:
                sides = [population.figures(measure, scope, part) for part in ("key", "value")]
                means = [side.mean(0) for side in sides]
                estimate = population.bootstrap.estimate(swap_index, *means)
                place = {"population": name, "scope": scope, "measure": measure}
                rows.append(place | _tell(estimate))
        key, value = (
            population.figures("total_variation", "head", part) for part in ("key", "value")
        )
        one = population.table[
            (population.table["scope"] == "head") & (population.table["part"] == "key")
        ]
        places = one[["layer", "kv_head"]].drop_duplicates().sort_values(["layer", "kv_head"])
        heads.append(
            places.assign(
                population=name,
                key=key.mean(1).numpy(),
                value=value.mean(1).numpy(),
                index=swap_index(key, value).numpy(),
            )
        )
    found = pd.DataFrame(rows)
    return pd.concat([found, _subtract(found)], ignore_index=True), pd.concat(
        heads, ignore_index=True
    )


def _tell(estimate: Estimate) -> dict[str, float]:
    low, high = estimate.interval()
    return {"value": float(estimate.observed), "ci_low": float(low), "ci_high": float(high)}


def _subtract(indices: pd.DataFrame) -> pd.DataFrame:
    """Return the index of the word pairs minus that of the random ones."""
    keys = ["scope", "measure"]
    ours, theirs = (
        indices[indices["population"] == name] for name in ("word pairs", "random pairs")
    )
    both = ours.merge(theirs, on=keys, suffixes=("", "_random"))
    value = both["value"] - both["value_random"]
    below = np.hypot(both["value"] - both["ci_low"], both["ci_high_random"] - both["value_random"])
    above = np.hypot(both["ci_high"] - both["value"], both["value_random"] - both["ci_low_random"])
    return both[keys].assign(
        population="word pairs - random pairs",
        value=value,
        ci_low=value - below,
        ci_high=value + above,
    )


def tabulate_example(table: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the founding pair alone, means over heads or layers; empty if it is not there."""
    founding = {(head, frozenset((m1, m2))) for head, m1, m2 in FOUNDING}
    words = zip(table["head"], table["m1"], table["m2"], strict=True)
    mine = [(head, frozenset((m1, m2))) in founding for head, m1, m2 in words]
    rows = table[np.array(mine, dtype=bool) & (table["population"] == "word pairs").to_numpy()]
    measures = [*AVERAGED, "logit_shift", "logit_gap"]
    means = rows.groupby(["head", "m1", "m2", "scope", "part"], sort=False, as_index=False)[
        measures
    ].mean()
    return means.melt(
        id_vars=["head", "m1", "m2", "scope", "part"], var_name="measure", value_name="value"
    )
