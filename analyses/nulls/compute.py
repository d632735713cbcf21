"""Every measure beside every null: what is special about the keys and values of one head.

Each trained head is set against every null of the catalogue: shuffled words, and null heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from analyses.nulls.tables import Shuffles, tabulate
from analyses.shared.given import Given
from probes.capture.located import DistinctWords, LocatedPairs, match_occurrences
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.catalogue import (
    TRAINED,
    list_nulls,
    list_pair_measures,
    list_side_measures,
)
from probes.similarity.ceiling import disattenuated_similarity, template_reliability
from probes.similarity.compare import compare_templates
from probes.similarity.conditions import require_one_width
from probes.similarity.null_sides import Captured, NullLayer
from probes.similarity.shuffled import shuffle_pairs
from probes.similarity.sides import Side, measure_sides
from probes.stats.reliability import spearman_brown
from probes.stats.word_permutation import combine_strata
from probes.words.lexicon import load_lexicon
from probes.words.pairs import sample_pairs

if TYPE_CHECKING:
    from analyses.nulls import NullSettings

_KNOWN = 0.5
FREQUENCY_CLASSES = 10
"""Classes of frequency, with equally many words each."""


def compute(given: Given, settings: NullSettings) -> dict[str, pd.DataFrame]:
    """Measure all heads of a capture, functional space, against every null.

    Parameters
    ----------
    given
        A finished capture of word pairs, and where it is there that of the untrained model, of the
        same sentences or those of a sample of the pairs. The pairs' ``z_m1`` and ``z_m2``, if
        there, match words by frequency.

    Returns
    -------
    ``summary``
        Means over heads: ``measure, condition, unit, value, null_mean, null_sd, difference, effect,
        p, p_bh, samples``. Where the unit is ``words``, the null samples are permutations of the
        words; where it is ``layers``, see `compare_over_layers`.
    ``heads``
        ``layer, kv_head, measure, condition, value, null_mean, null_sd, effect, p, p_bh, p_max_t``;
        the p-values of the permutations only, over all layers and heads of a measure.
    ``ceiling``
        How alike keys and values could look at most, given how much templates disagree: ``layer,
        kv_head, key_reliability, value_reliability, disattenuated`` (see
        `probes.similarity.ceiling`). Empty for a single template.
    ``strata``
        How the matched words were matched: ``label, classes, words``.

    Raises
    ------
    TableError
        If fewer than 20 pairs can be compared.
    UnsupportedModelError
        If the layers have different numbers of kv heads.
    """
    store = given.store
    require_one_width(store)
    # All nulls are measured on one sample: what the untrained model has read, where there is one.
    known = store if given.untrained is None else given.untrained
    sample = sample_pairs(known.table("pairs"), settings.pairs, seed=settings.seed)
    pairs = LocatedPairs.of(store, sample).take_whole()
    words, captured = pairs.distinct, Captured.of(store)
    strata, labels = match_words(store.table("occurrences"), words, pairs.table)
    permutations = {
        null.name: null.deal(
            len(words.rows),
            strata=strata,
            permutations=settings.permutations,
            seed=settings.seed,
        )
        for null in list_nulls()
        if null.deal is not None
    }
    with progress_bar("Shuffling words", total=store.n_layers, unit="layers") as advance:
        shuffle = partial(_shuffle_layer, captured, words, permutations)
        shuffled = map_threads(shuffle, range(store.n_layers), on_done=advance)
    untrained = None
    if given.untrained is not None:
        rows = match_occurrences(store, given.untrained)
        untrained = replace(Captured.of(given.untrained), rows=rows)
    names = pairs.captured.word[words.rows[:, 0]]
    with progress_bar("Comparing with null heads", total=store.n_layers, unit="layers") as advance:
        compare = partial(_compare_layer, captured, untrained, words, names, settings)
        layers = map_threads(compare, range(store.n_layers), on_done=advance)
    figures = pd.concat([table for layer in layers for table in layer], ignore_index=True)
    tables = {
        **tabulate([shuffles for shuffles, _ in shuffled], figures, seed=settings.seed),
        "ceiling": pd.concat([ceiling for _, ceiling in shuffled], ignore_index=True),
        "strata": labels,
    }
    for table in tables.values():
        table.insert(0, "model", store.manifest["model"])
    return tables


def identify(given: Given, settings: NullSettings) -> dict[str, Any]:
    """Name measures and nulls, so that tables are made again when the catalogue has another one."""
    return {
        "measures": [measure.name for measure in (*list_pair_measures(), *list_side_measures())],
        "nulls": [null.name for null in list_nulls()],
    }


def match_words(
    occurrences: pd.DataFrame, words: DistinctWords, pairs: pd.DataFrame
) -> tuple[Int[Tensor, " word"], pd.DataFrame]:
    """Give every word a stratum; words of one stratum are alike except in what they mean.

    Parameters
    ----------
    occurrences
        Of the capture.
    words
        The words, by their occurrences.
    pairs
        ``z_m1`` and ``z_m2``, where they are, give the frequencies of ``m1`` and ``m2``. Parts of
        speech come from the shipped lexicon, if it knows half of the words; those it does not know
        are a class of their own.

    Returns
    -------
    A number per word, and a table ``label, classes, words`` of what was matched.
    """
    rows = occurrences.set_index("occurrence").loc[words.rows[:, 0].numpy()]
    names = rows["word"]
    labels = {"tokens": (rows["last_token"] - rows["first_token"] + 1).to_numpy()}
    if {"z_m1", "z_m2"} <= set(pairs):
        both = [pairs.set_index(side)[f"z_{side}"] for side in ("m1", "m2")]
        frequency = pd.concat(both).dropna().to_dict()
        ranks = names.map(frequency).rank(method="first", na_option="bottom").to_numpy()
        classes = FREQUENCY_CLASSES * (ranks - 1) // len(ranks)
        labels["frequency"] = np.minimum(classes, FREQUENCY_CLASSES - 1).astype(int)
    part_of_speech = names.map(load_lexicon().set_index("word")["pos"].to_dict())
    if part_of_speech.notna().mean() >= _KNOWN:
        labels["part of speech"] = pd.factorize(part_of_speech)[0]
    strata = combine_strata(*(torch.tensor(label).long() for label in labels.values()))
    table = pd.DataFrame(
        [
            {"label": name, "classes": len(np.unique(label)), "words": len(label)}
            for name, label in [*labels.items(), ("all together", strata.numpy())]
        ]
    )
    return strata, table


def _shuffle_layer(
    captured: Captured, words: DistinctWords, permutations: dict[str, Tensor], layer: int
) -> tuple[Shuffles, pd.DataFrame]:
    """Measure one layer under every kind of permutation, and the noise ceiling of its heads."""
    keys, values = captured.keys(layer), captured.values(layer)
    dealt = shuffle_pairs(
        keys,
        values,
        words,
        permutations=torch.cat(list(permutations.values())),
        measures=list_pair_measures(),
    )
    parts = {
        name: both.split([len(p) for p in permutations.values()]) for name, both in dealt.items()
    }
    shuffles = {
        null: {name: part[number] for name, part in parts.items()}
        for number, null in enumerate(permutations)
    }
    return shuffles, _find_ceiling(keys, values, words, layer)


def _find_ceiling(keys: Tensor, values: Tensor, words: DistinctWords, layer: int) -> pd.DataFrame:
    """Tabulate how much of the pairs' distances comes again in another template."""
    n_templates = words.rows.shape[1]
    if n_templates < 2:
        return pd.DataFrame()
    compared = compare_templates(keys, values, words.rows[words.left], words.rows[words.right])
    return pd.DataFrame(
        {
            "layer": layer,
            "kv_head": np.arange(len(keys)),
            "key_reliability": spearman_brown(template_reliability(compared.d_k), n_templates),
            "value_reliability": spearman_brown(template_reliability(compared.d_v), n_templates),
            "disattenuated": disattenuated_similarity(compared.d_k, compared.d_v),
        }
    )


def _compare_layer(
    captured: Captured,
    untrained: Captured | None,
    words: DistinctWords,
    names: Tensor,
    settings: NullSettings,
    layer: int,
) -> list[pd.DataFrame]:
    """Measure one layer's trained heads and all its null heads: a row per head and measure."""
    rows = words.sample_rows(settings.neighbour_words, seed=settings.seed)
    make_side = partial(Side.of, words=words, neighbour_rows=rows)
    own = NullLayer(captured, untrained, layer, make_side, settings.draws, settings.seed)
    tables = []
    for condition, keys, values in _iterate_sides(own):
        measured = measure_sides(keys, values, words=names, seed=settings.seed)
        for measure, value in measured.items():
            place = {"layer": layer, "kv_head": np.arange(len(value)), "measure": measure}
            tables.append(pd.DataFrame({**place, "condition": condition, "value": value}))
    return tables


def _iterate_sides(own: NullLayer) -> Iterator[tuple[str, Side, Side]]:
    """Yield the trained keys and values of a layer, and those of every null, one at a time."""
    yield TRAINED, *own.trained
    for null in list_nulls():
        if null.sides is not None:
            for keys, values in null.sides(own):
                yield null.name, keys, values
