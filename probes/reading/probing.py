"""What keys and values of words in memory know: linear probes with their controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from probes.errors import TableError
from probes.linear.evaluate import Probe
from probes.linear.measure import Design, HeadMeasurements, measure_heads
from probes.linear.properties import MIN_WORDS, label_occurrences
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.reading.words import Words
from probes.similarity.random_heads import open_stream, random_slice
from probes.stats.bootstrap import interval


def probe(
    words: Words,
    labels: Mapping[str, Any] | Sequence[Any] | pd.Series | str,
    *,
    probe: Probe = "ridge",
    folds: int = 5,
    min_words: int = MIN_WORDS,
    resamples: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict a label from the keys and from the values of every head, on words not trained on.

    Parameters
    ----------
    words
        Of `read`.
    labels
        Word -> label; or a label per occurrence, in the order of ``words.table``; or a column of
        that table. Floats are predicted as numbers, anything else as classes; None, NaN and "" are
        left out.
    probe
        ``ridge`` or ``logistic``, the penalty chosen inside the training folds.
    folds
        No word is in two folds.
    min_words
        Classes of fewer words are left out.
    resamples, seed
        Of the intervals (words resampled), and of every random choice.

    Returns
    -------
    A row per layer, kv head and part (``keys``, ``values``, ``random_slice``: random directions of
    x, as wide as a key): ``layer, kv_head, part, score`` (``accuracy`` or ``r2``), ``value, ci_low,
    ci_high, balanced`` (mean over classes), ``majority`` (always the most frequent class),
    ``control`` (the same probe on random labels of the words) and ``selectivity`` (value less
    control).

    Raises
    ------
    TableError
        If there is not a label per occurrence, or too few words of two classes.
    UsageError
        If the probe is unknown.

    Examples
    --------
    >>> probe(words, {"neural": "science", "social": "people"})  # doctest: +SKIP
    """
    table = words.table
    given = _read_labels(table, labels)
    wanted = label_occurrences(
        "labels", table.drop(columns="head", errors="ignore"), given, min_words=min_words
    )
    design = Design.of(wanted, probe=probe, folds=folds, seed=seed)
    weights = design.weights(resamples)

    def measure_layer(layer: int) -> dict[str, HeadMeasurements]:
        inputs: dict[str, Tensor] = {"keys": words.keys(layer), "values": words.values(layer)}
        if words.x:
            n_heads, _, width = inputs["keys"].shape
            inputs["random_slice"] = random_slice(
                words.x[layer],
                n_slices=n_heads,
                width=width,
                generator=open_stream("slice", seed=seed, layer=layer),
            )
        return {part: measure_heads(x, design, with_code=False) for part, x in inputs.items()}

    with progress_bar("Probing", total=words.n_layers, unit="layers") as advance:
        layers = map_threads(measure_layer, range(words.n_layers), on_done=advance)
    tables = []
    for layer, parts in enumerate(layers):
        for part, found in parts.items():
            probing = found.probing
            low, high = interval(probing.score.resample(weights))
            unknown = torch.full_like(probing.score.observed, torch.nan)
            tables.append(
                pd.DataFrame(
                    {
                        "layer": layer,
                        "kv_head": range(len(probing.score.observed)),
                        "part": part,
                        "score": "r2" if wanted.is_number else "accuracy",
                        "value": probing.score.observed,
                        "ci_low": low,
                        "ci_high": high,
                        "balanced": unknown
                        if probing.balanced is None
                        else probing.balanced.observed,
                        "majority": probing.majority.observed.expand_as(probing.score.observed),
                        "control": probing.control,
                        "selectivity": probing.selectivity,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def _read_labels(table: pd.DataFrame, labels: Any) -> pd.Series:
    if isinstance(labels, str):
        if labels not in table:
            raise TableError(
                f"the words' table has no column {labels!r}, only {', '.join(table.columns)}. Give "
                "one of these, or word -> label."
            )
        return table[labels]
    if isinstance(labels, Mapping):
        known = set(labels) & set(table["word"])
        if not known:
            raise TableError(
                f"none of the {len(labels)} labelled words was read. The words read are "
                f"{', '.join(sorted(set(table['word']))[:5])} and so on."
            )
        return table["word"].map(labels)
    listed = pd.Series(labels).reset_index(drop=True)
    if len(listed) != len(table):
        raise TableError(
            f"{len(listed)} labels for {len(table)} occurrences: give one for each, in the order "
            "of words.table, or word -> label."
        )
    return listed
