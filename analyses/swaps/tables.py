"""Tables of swaps: means with intervals over words, and the index that the founding claim is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.shared.significance import UNBOUNDED, range_of_difference, tabulate_estimate
from probes.similarity.catalogue import WORD_PAIRS
from probes.stats.estimates import PairBootstrap
from probes.words.pairs import is_founding

MATCHED_PAIRS = "matched random pairs"
"""The population in which each pair's second word is another one of as many tokens."""

POPULATIONS = (WORD_PAIRS, MATCHED_PAIRS)
AVERAGED = {
    "total_variation": (0.0, 1.0),
    "kl": (0.0, np.inf),
    "attention": (0.0, 1.0),
    "attention_edited": (0.0, 1.0),
}
"""Measure whose mean over pairs is told -> its possible range, which no interval leaves; logit
shifts are told as a ratio of sums, which has none."""

INDEXED = ("total_variation", "kl")
INDEX_RANGE = (-1.0, 1.0)
SCOPES = ("all", "layer", "head")
PARTS = ("keys", "values", "both")


def weighted_mean(
    measured: Float[Tensor, "*place pair"], weights: Float[Tensor, "resample pair"] | None = None
) -> Tensor:
    """Return the mean over pairs, [*place] or [resample, *place]."""
    if weights is None:
        return measured.mean(-1)
    sums = measured.to(weights.dtype) @ weights.T / weights.sum(1)
    return sums.movedim(-1, 0)


def swap_index(
    keys: Float[Tensor, "*place pair"],
    values: Float[Tensor, "*place pair"],
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Tensor:
    """Return (d_v - d_k) / (d_v + d_k) of the means: 1 if only values matter, -1 if only keys."""
    d_k, d_v = weighted_mean(keys, weights), weighted_mean(values, weights)
    return (d_v - d_k) / (d_v + d_k)


def ratio(
    shift: Float[Tensor, "*place pair"],
    gap: Float[Tensor, "*place pair"],
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Tensor:
    """Return the summed shift over the summed gap."""
    return weighted_mean(shift, weights) / weighted_mean(gap, weights)


class _Population:
    """One population's measures as tensors [place, pair], and the resamples of its words."""

    def __init__(self, table: pd.DataFrame, *, resamples: int, seed: int) -> None:
        self.table = table
        pairs = table[["pair_id", "m1", "m2"]].drop_duplicates()
        words = {w: n for n, w in enumerate(sorted(set(pairs["m1"]) | set(pairs["m2"])))}
        self.order = list(pairs["pair_id"])
        sides = (torch.tensor(pairs[side].map(words).to_numpy()) for side in ("m1", "m2"))
        self.bootstrap = PairBootstrap.draw(*sides, resamples=resamples, seed=seed)

    def spread(self, measure: str, scope: str, part: str) -> pd.DataFrame:
        """Return a measure of every place of a scope (a head, a layer, all) and pair, in order."""
        rows = self.table[(self.table["scope"] == scope) & (self.table["part"] == part)]
        wide = rows.pivot_table(index=["layer", "kv_head"], columns="pair_id", values=measure)
        return wide[self.order]

    def read(self, measure: str, scope: str, parts: Sequence[str]) -> list[Tensor]:
        """Return a measure of every part, [place, pair], float64."""
        return [torch.tensor(self.spread(measure, scope, part).to_numpy(float)) for part in parts]

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
        for scope in SCOPES:
            for part in PARTS:
                if not population.has(scope, part):
                    continue
                estimates = {}
                for measure in AVERAGED:
                    [measured] = population.read(measure, scope, [part])
                    estimates[measure] = population.bootstrap.estimate(
                        weighted_mean, measured.mean(0)
                    )
                moved = [
                    population.read(measure, scope, [part])[0].mean(0)
                    for measure in ("logit_shift", "logit_gap")
                ]
                estimates["transfer"] = population.bootstrap.estimate(ratio, *moved)
                place = {"population": name, "scope": scope, "part": part}
                rows += [
                    place
                    | {"measure": measure}
                    | tabulate_estimate(estimate, AVERAGED.get(measure, UNBOUNDED))
                    for measure, estimate in estimates.items()
                ]
    return pd.DataFrame(rows)


def tabulate_indices(
    table: pd.DataFrame, *, resamples: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate the index by scope and population, and by kv head.

    Populations are resampled apart, so the interval of their difference is that of independent
    numbers.
    """
    rows: list[dict[str, Any]] = []
    heads = []
    for name, population in _populations(table, resamples=resamples, seed=seed).items():
        swapped = [scope for scope in SCOPES if population.has(scope, "keys")]
        for scope in swapped:
            for measure in INDEXED:
                means = [side.mean(0) for side in population.read(measure, scope, PARTS[:2])]
                estimate = population.bootstrap.estimate(swap_index, *means)
                place = {"population": name, "scope": scope, "measure": measure}
                rows.append(place | tabulate_estimate(estimate, INDEX_RANGE))
        if "head" not in swapped:
            continue
        keys, values = population.read("total_variation", "head", PARTS[:2])
        places = population.spread("total_variation", "head", "keys").index.to_frame(index=False)
        heads.append(
            places.assign(
                population=name,
                keys=keys.mean(1).numpy(),
                values=values.mean(1).numpy(),
                index=swap_index(keys, values).numpy(),
            )
        )
    found = pd.DataFrame(rows)
    found = pd.concat([found, _subtract(found)], ignore_index=True)
    columns = ["population", "layer", "kv_head", "keys", "values", "index"]
    return found, pd.concat(heads, ignore_index=True) if heads else pd.DataFrame(columns=columns)


def _subtract(indices: pd.DataFrame) -> pd.DataFrame:
    """Return the index of the word pairs minus that of the random ones."""
    keys = ["scope", "measure"]
    ours, theirs = (indices[indices["population"] == name] for name in POPULATIONS)
    both = ours.merge(theirs, on=keys, suffixes=("", "_random"))
    value = both["value"] - both["value_random"]
    below = np.hypot(both["value"] - both["ci_low"], both["ci_high_random"] - both["value_random"])
    above = np.hypot(both["ci_high"] - both["value"], both["value_random"] - both["ci_low_random"])
    return both[keys].assign(
        population=" - ".join(POPULATIONS),
        value=value,
        ci_low=(value - below).clip(*range_of_difference(INDEX_RANGE)),
        ci_high=(value + above).clip(*range_of_difference(INDEX_RANGE)),
    )


def tabulate_example(table: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the founding pair alone, means over heads or layers; empty if it is not there."""
    rows = table[is_founding(table) & (table["population"] == WORD_PAIRS).to_numpy()]
    names = ["head", "m1", "m2", "scope", "part"]
    measures = [*AVERAGED, "logit_shift", "logit_gap"]
    means = rows.groupby(names, sort=False, as_index=False)[measures].mean()
    return means.melt(id_vars=names, var_name="measure", value_name="value")
