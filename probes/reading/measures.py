"""Measures of keys against values for words in memory, beside nulls, with intervals and p."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probes.capture.located import DistinctWords
from probes.errors import TableError, UsageError
from probes.naming import require_known
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.reading.comparison import FEWEST_PAIRS
from probes.reading.words import Words
from probes.similarity.catalogue import find_measure, list_measures
from probes.similarity.measure import Measure, Takes
from probes.similarity.shuffled import shuffle_pairs
from probes.similarity.sides import Side, measure_sides
from probes.stats.estimates import PairBootstrap
from probes.stats.null_comparison import compare_with_null
from probes.stats.word_permutation import permute_words

DEFAULT = ("dissociation_ratio_5%", "representational_similarity", "debiased_cka")
NULLS = ("mismatched_heads", "shuffled_words")
MOST_PAIRS = 6000

Pairs = Iterable[Any] | pd.DataFrame | None


def measure(
    words: Words,
    pairs: Pairs = None,
    *,
    measures: Sequence[str] = DEFAULT,
    nulls: Sequence[str] = NULLS,
    space: str | None = None,
    resamples: int = 300,
    permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure keys against values in every head.

    Parameters
    ----------
    words
        Of `read`.
    pairs
        Pairs of words, or a table with two columns of words (``m1, m2``, ``w1, w2`` or ``left,
        right``); without them every two words, or 6,000 of these at random.
    measures
        Names of the catalogue (`probes.similarity.list_measures`) that keys and values of words
        give.
    nulls
        ``mismatched_heads``: the values of the layer's other heads, mean; ``shuffled_words``: the
        words' values given to other words, for measures of pairs.
    space
        Where they are measured; without it the functional space if it is available, else the
        centred one, else the raw one.
    resamples, permutations, seed
        Of the intervals (words resampled), of ``shuffled_words``, and of every random choice.

    Returns
    -------
    A row per measure, layer and kv head: ``measure, space, layer, kv_head, value, ci_low, ci_high``
    (95 %; NaN for a measure that cannot be resampled), ``mismatched_heads`` (its mean),
    ``shuffled_words`` (its mean), ``p``, ``p_bh`` and ``p_max_t`` (against shuffled words,
    two-sided; corrected over all heads of the measure after Benjamini and Hochberg and by max-T),
    ``pairs`` and ``words`` (how many it rests on).

    Raises
    ------
    UsageError
        If a measure, null or space is unknown or is not available, or a pair is of one word.
    TableError
        If fewer than 20 distinct pairs are left, or a word of a pair was not read.

    Examples
    --------
    >>> measure(words, measures=["dissociation_ratio_5%"])  # doctest: +SKIP
    """
    chosen = [_find(name) for name in measures]
    for name in nulls:
        require_known("null of words in memory", name, NULLS)
    space = space or words.list_spaces()[-1]
    names, rows = words.locate()
    left, right = _number(pairs, names, seed)
    if len(left) < FEWEST_PAIRS:
        raise TableError(
            f"{len(left)} distinct pairs of the {len(names)} words that are in every group: "
            f"ranks need {FEWEST_PAIRS} to mean anything. Read more words, or give more pairs."
        )
    distinct = DistinctWords(rows, left, right)
    bootstrap = PairBootstrap.draw(left, right, resamples=resamples, seed=seed)
    dealt = permute_words(len(names), permutations=permutations, seed=seed)
    of_pairs = [own for own in chosen if own.of_pairs]
    near = rows if any(own.takes is Takes.NEIGHBOURHOODS for own in chosen) else None
    shuffled = "shuffled_words" in nulls

    def measure_layer(layer: int) -> dict[str, dict[str, Tensor]]:
        keys = words.gather(words.keys(layer, space))
        values = words.gather(words.values(layer, space))
        found: dict[str, dict[str, Tensor]] = {own.name: {} for own in chosen}
        sides = tuple(Side.of(part, distinct, neighbour_rows=near) for part in (keys, values))
        how: dict[str, Any] = {"words": torch.arange(len(names)), "seed": seed, "measures": chosen}
        trained = measure_sides(*sides, **how)
        others = [
            measure_sides(sides[0], sides[1].roll(shift), **how)
            for shift in range(1, len(keys) if "mismatched_heads" in nulls else 1)
        ]
        for own in chosen:
            if own.name not in trained:
                continue
            found[own.name]["value"] = trained[own.name]
            if others:
                mean = torch.stack([other[own.name] for other in others]).mean(0)
                found[own.name]["mismatched_heads"] = mean
        for own in of_pairs:
            estimate = bootstrap.estimate(own.function, *(side.take(own.takes) for side in sides))
            low, high = own.find_interval(estimate, len(left))
            found[own.name] |= {"value": estimate.observed, "ci_low": low, "ci_high": high}
        if of_pairs and shuffled:
            samples = shuffle_pairs(keys, values, distinct, permutations=dealt, measures=of_pairs)
            for name, own_samples in samples.items():
                found[name] |= {"observed": own_samples.observed, "samples": own_samples.samples}
        return found

    with progress_bar("Measuring", total=words.n_layers, unit="layers") as advance:
        layers = map_threads(measure_layer, range(words.n_layers), on_done=advance)
    tables = [_tabulate(own, [layer[own.name] for layer in layers]) for own in chosen]
    table = pd.concat(tables, ignore_index=True)
    table.insert(1, "space", space)
    return table.assign(pairs=len(left), words=len(names))


def _find(name: str) -> Measure:
    """Find a measure that keys and values of words give.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    known = [own.name for own in list_measures() if own.of_sides or own.of_pairs]
    require_known("measure of words in memory", name, known)
    return find_measure(name)


def _number(pairs: Pairs, names: Sequence[str], seed: int) -> tuple[Tensor, Tensor]:
    """Return the numbers of the words of every distinct pair."""
    if pairs is None:
        return _draw_pairs(len(names), count=MOST_PAIRS, seed=seed)
    if isinstance(pairs, pd.DataFrame):
        sides = [s for s in (("m1", "m2"), ("w1", "w2"), ("left", "right")) if {*s} <= {*pairs}]
        if not sides:
            raise TableError(
                "the table of pairs has no two columns of words (m1 and m2, w1 and w2, or left and "
                f"right), only {', '.join(map(str, pairs.columns))}. Rename two."
            )
        pairs = pairs[list(sides[0])].itertuples(index=False, name=None)
    listed: list[Any] = list(pairs)
    known = set(names)
    numbers = set()
    for pair in listed:
        if isinstance(pair, str) or len(pair) != 2:
            raise UsageError(f"{pair!r} is no pair: give two words, such as ('neural', 'social').")
        strange = [word for word in pair if word not in known]
        if strange:
            raise TableError(
                f"{strange[0]!r} of the pair {tuple(pair)} was not read in every group. Read it, "
                "or leave the pair out."
            )
        if pair[0] == pair[1]:
            raise UsageError(f"the pair {tuple(pair)} is of one word: give two different ones.")
        numbers.add(tuple(sorted((names.index(pair[0]), names.index(pair[1])))))
    both = torch.tensor(sorted(numbers), dtype=torch.long).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _tabulate(own: Measure, layers: Sequence[dict[str, Tensor]]) -> pd.DataFrame:
    """Tabulate one measure: a row per head; the heads of all layers are one family."""
    sizes = [len(layer["value"]) if "value" in layer else 0 for layer in layers]
    if not sum(sizes):
        raise TableError(
            f"the words are too few to tell {own.label} from chance. Read more words, or leave "
            f"{own.name} out."
        )
    columns: dict[str, Any] = {
        "measure": own.name,
        "layer": [layer for layer, size in enumerate(sizes) for _ in range(size)],
        "kv_head": [head for size in sizes for head in range(size)],
    }
    for name in ("value", "ci_low", "ci_high", "mismatched_heads"):
        missing = torch.full((1,), torch.nan, dtype=torch.float64)
        parts = [
            layer[name] if name in layer else missing.expand(size)
            for layer, size in zip(layers, sizes, strict=True)
        ]
        columns[name] = torch.cat(parts)
    unknown = torch.full((sum(sizes),), torch.nan, dtype=torch.float64)
    columns |= dict.fromkeys(("shuffled_words", "p", "p_bh", "p_max_t"), unknown)
    if "samples" in layers[0]:
        observed = torch.cat([layer["observed"] for layer in layers])
        samples = torch.cat([layer["samples"] for layer in layers], dim=1)
        beside = compare_with_null(observed, samples)
        columns |= {
            "shuffled_words": beside.null_mean,
            "p": beside.p,
            "p_bh": beside.p_bh,
            "p_max_t": beside.p_max_t,
        }
    return pd.DataFrame(columns)


def _draw_pairs(n_words: int, *, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return every two words, or `count` pairs at random where there are more, each once."""
    left, right = np.triu_indices(n_words, 1)
    if len(left) > count:
        chosen = np.sort(np.random.default_rng(seed).choice(len(left), size=count, replace=False))
        left, right = left[chosen], right[chosen]
    return torch.tensor(left), torch.tensor(right)
