"""Measure how far values follow from keys over a text, from its streamed moments alone.

The capture is made by ``kvprobes capture --text``. Beside a head's own keys are the keys of other
heads and a random slice of x. No activation is stored, so the text may be of any length.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analyses.shared.given import Given
from analyses.shared.significance import range_of_difference
from analyses.shared.tables import name_capture
from probes.capture.moments import LayerMoments, merge_in_order
from probes.capture.text_run import read_layer
from probes.errors import TableError
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.canonical import (
    canonical_correlations_from_moments,
    mean_squared_correlation,
)
from probes.similarity.catalogue import TRAINED, name_difference
from probes.similarity.cka import linear_cka_from_moments
from probes.similarity.conditions import require_one_width
from probes.similarity.coordinates import metric_root
from probes.similarity.moments import CrossMoments
from probes.similarity.tieability import tieability_from_moments
from probes.similarity.token_moments import head_moments, input_moments, query_metric
from probes.stats.jackknife import jackknife_interval

if TYPE_CHECKING:
    from analyses.running_text import RunningTextSettings

POSSIBLE = {
    "tieability": (-np.inf, 1.0),
    "linear_cka": (0.0, 1.0),
    "canonical_correlation": (0.0, 1.0),
}
"""Measure -> its possible range, which no interval leaves."""

MEASURES = tuple(POSSIBLE)
SPACES = ("centred", "functional")
CONDITIONS = (TRAINED, "mismatched_heads", "random_slice")
FEWEST_FOLDS = 4
"""A fold is left out for the interval, and three are the fewest that tieability takes."""

Measured = dict[tuple[str, str, str], np.ndarray]
"""(space, measure, condition) -> the whole text and the text without each fold, by kv head."""


def compute(given: Given, settings: RunningTextSettings) -> dict[str, pd.DataFrame]:
    """Measure how far values follow from keys over all tokens of a text.

    Parameters
    ----------
    given
        A finished capture of a text (`probes.capture.capture_text`).

    Returns
    -------
    ``summary``
        Means over heads: ``space, measure, condition, value, ci_low, ci_high``. The measures are
        the tieability held out by stretches of the text, plain linear CKA, and the mean squared
        canonical correlation; ``mismatched_heads``: keys of one head beside values of another;
        ``random_slice`` (not for CKA): a random slice of x, as wide as a key, in the place of the
        keys.
        Intervals leave out one stretch at a time (`probes.stats.jackknife_interval`).
    ``heads``
        The same per layer and kv head, without intervals.
    ``text``
        ``tokens, folds``.

    Raises
    ------
    TableError
        If the capture has fewer than four shards.
    UnsupportedModelError
        If layers have different numbers of kv heads.
    """
    store = given.text
    require_one_width(store)
    folds = min(settings.folds, store.n_shards)
    if folds < FEWEST_FOLDS:
        raise TableError(
            f"the text was captured in {store.n_shards} shards, and intervals need at least "
            f"{FEWEST_FOLDS}. Capture more text, or smaller shards (--shard-bytes)."
        )
    value_metrics = store.read_constants()

    def measure(layer: int) -> tuple[int, Measured]:
        parts = read_layer(store, layer, folds=folds)
        whole = merge_in_order(parts)
        roots = (
            metric_root(query_metric(whole, logit_scale=store.number("logit_scale", layer))),
            metric_root(value_metrics[f"value_metric.{layer}"].double()),
        )
        random = torch.Generator().manual_seed(settings.seed * store.n_layers + layer)
        return whole.count, _measure_layer(parts, *roots, generator=random)

    with progress_bar("Measuring the text", total=store.n_layers, unit="layers") as advance:
        found = map_threads(measure, range(store.n_layers), on_done=advance)
    layers = [measured for _, measured in found]
    tables = {
        "summary": _tabulate_means(layers),
        "heads": _tabulate_heads(layers),
        "text": pd.DataFrame({"tokens": [found[0][0]], "folds": [folds]}),
    }
    name_capture(tables.values(), store)
    return tables


def _measure_layer(
    parts: list[LayerMoments], key_root: Tensor, value_root: Tensor, *, generator: torch.Generator
) -> Measured:
    """Measure one layer, on the whole text and without each fold."""
    n_heads = len(parts[0].mean["k"])
    shifts = range(1, n_heads)
    slices = None
    if "x" in parts[0].mean:
        shape = (n_heads, parts[0].mean["x"].shape[-1], parts[0].mean["k"].shape[-1])
        slices = torch.randn(shape, generator=generator, dtype=torch.float64)
    found: Measured = {}
    for space in SPACES:
        left, right = (
            root if space == "functional" else torch.eye(root.shape[-1]).double().expand_as(root)
            for root in (key_root, value_root)
        )
        sides = {
            TRAINED: [head_moments(part).transform(left, right) for part in parts],
            "mismatched_heads": [
                _join([head_moments(p, shift=s).transform(left, right.roll(-s, 0)) for s in shifts])
                for p in parts
                if shifts
            ],
            "random_slice": [
                input_moments(part).transform(slices, right) for part in parts if slices is not None
            ],
        }
        for condition, folded in sides.items():
            if folded:
                for name, measured in _measure_without_each(folded).items():
                    if (name, condition) == ("linear_cka", "random_slice"):
                        continue  # it weighs by variance, and a slice has no metric of its own
                    by_head = measured.reshape(len(measured), -1, n_heads).mean(1)
                    found[space, name, condition] = by_head
    return found


def _measure_without_each(folded: list[CrossMoments]) -> dict[str, np.ndarray]:
    """Measure all folds together, then all but each in turn: [1 + fold, head]."""
    subsets = [folded] + [folded[:f] + folded[f + 1 :] for f in range(len(folded))]
    found: dict[str, list[Tensor]] = {name: [] for name in MEASURES}
    for subset in subsets:
        whole = reduce(CrossMoments.merge, subset)
        correlations = canonical_correlations_from_moments(whole)
        found["tieability"].append(tieability_from_moments(subset)[0])
        found["linear_cka"].append(linear_cka_from_moments(whole))
        found["canonical_correlation"].append(mean_squared_correlation(correlations))
    return {name: torch.stack(parts).numpy() for name, parts in found.items()}


def _join(moments: list[CrossMoments]) -> CrossMoments:
    """Put the heads of several moments of the same tokens one after another."""
    first = moments[0]
    joined: dict[str, Any] = {
        field.name: torch.cat([getattr(part, field.name) for part in moments])
        for field in fields(CrossMoments)
        if isinstance(getattr(first, field.name), Tensor)
    }
    return replace(first, **joined)


def _tabulate_means(layers: list[Measured]) -> pd.DataFrame:
    rows = []
    for space in SPACES:
        for measure in MEASURES:
            means = {
                condition: np.mean([layer[space, measure, condition] for layer in layers], (0, 2))
                for condition in CONDITIONS
                if (space, measure, condition) in layers[0]
            }
            for null in [name for name in means if name != TRAINED]:
                means[name_difference(null)] = means[TRAINED] - means[null]
            for condition, (whole, *without) in means.items():
                ends = jackknife_interval(np.asarray(whole), np.asarray(without))
                possible = POSSIBLE[measure]
                if condition not in CONDITIONS:
                    possible = range_of_difference(possible)
                low, high = np.clip(ends, *possible)
                rows.append((space, measure, condition, whole, float(low), float(high)))
    columns = ["space", "measure", "condition", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def _tabulate_heads(layers: list[Measured]) -> pd.DataFrame:
    tables = []
    for place, layer in enumerate(layers):
        for space in SPACES:
            for measure in MEASURES:
                columns = {
                    condition: layer[space, measure, condition][0]
                    for condition in CONDITIONS
                    if (space, measure, condition) in layer
                }
                where = {"layer": place, "kv_head": np.arange(len(columns[TRAINED]))}
                names = {"space": space, "measure": measure}
                tables.append(pd.DataFrame(where | names | columns))
    return pd.concat(tables, ignore_index=True)
