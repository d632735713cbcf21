"""What do keys know that values do not, and the reverse? Linear probes of every head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.probing.fits import Source, design_probe, measure_parts, measure_whole
from analyses.probing.tables import (
    tabulate_differences,
    tabulate_heads,
    tabulate_learning,
    tabulate_properties,
    tabulate_summary,
)
from analyses.shared.given import Given
from analyses.shared.tables import name_capture
from analyses.shared.word_pairs import RELATIONS
from probes.errors import TableError
from probes.files import hash_file
from probes.linear.measure import Design, HeadMeasurements
from probes.linear.shipped_properties import list_properties, list_word_properties
from probes.words.tables import data_folder

if TYPE_CHECKING:
    from analyses.probing import ProbingSettings
    from probes.capture.store import Store


def compute(given: Given, settings: ProbingSettings) -> dict[str, pd.DataFrame]:
    """Probe for all that the shipped tables and the captures' pairs say of the words.

    Parameters
    ----------
    given
        A finished capture of word pairs, of a user's sentences or of a treebank's words. That of
        the untrained model is taken in where it has read all of them (`kvprobes run --full`), and
        of the captures of single words the relations and the human scores of their pairs
        (`probes.linear.shipped_properties`).

    Returns
    -------
    As `probe_properties`.

    Raises
    ------
    TableError
        If no property can be probed.
    """
    properties, left_out = list_properties(given.store)
    sources = [Source(given.store, properties, _take_whole(given.untrained, given.store))]
    for name, words in given.words.items():
        found, missing = list_word_properties(words, "" if name == RELATIONS else name)
        sources.append(Source(words, found))
        left_out |= missing
    return probe_properties(sources, settings, left_out=left_out, device=given.device)


def _take_whole(untrained: Store | None, trained: Store) -> Store | None:
    """Leave out an untrained model that has read a sample of the trained one's sentences."""
    if untrained is None:
        return None
    sequences = [store.manifest["identity"]["sequences"] for store in (untrained, trained)]
    return untrained if sequences[0] == sequences[1] else None


def identify(given: Given, settings: ProbingSettings) -> dict[str, Any]:
    """Name the shipped lexicon."""
    return {"lexicon": hash_file(data_folder() / "lexicon.tsv")}


def probe_properties(
    sources: Sequence[Source],
    settings: ProbingSettings,
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
    device: str = "cpu",
) -> dict[str, pd.DataFrame]:
    """Probe every head's keys, values and an equally wide random slice of x for every property.

    Parameters
    ----------
    sources
        Captures of one model, and what to probe for in each.
    left_out
        What cannot be probed for, with the reason.
    device
        Where the probes are fitted. Another one may round differently.

    Returns
    -------
    ``heads``
        ``model, key_stage, property, score, part, layer, kv_head, value, ci_low, ci_high,
        balanced, majority, control, selectivity, bits, compression, refit_sd``. ``part`` is
        ``keys``, ``values``, ``random_slice``, ``untrained keys`` or ``untrained values``;
        ``score`` is accuracy or r2.
    ``differences``
        ``values - keys``, and each minus the slice and its untrained like, paired: ``value,
        ci_low, ci_high, p, p_bh, p_max_t`` (no p-values for properties of pairs, as pairs share
        words).
    ``summary``
        Means over all heads, and of their differences; ``x`` and ``embedding`` are the whole input.
    ``learning``
        Accuracy and bits per label on the words that come next, by how many were trained on.
    ``properties``
        How many words and classes each has, how its folds are split, or why it is left out.

    Raises
    ------
    TableError
        If there is no property.
    """
    sources = [source for source in sources if source.properties]
    if not sources:
        raise TableError(
            "no property of the captured words is known: "
            + "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        )
    designs: list[Design] = []
    measured: list[dict[str, list[HeadMeasurements]]] = []
    whole: list[dict[int, HeadMeasurements]] = []
    for source in sources:
        own = [design_probe(wanted, settings) for wanted in source.properties]
        designs += own
        measured += measure_parts(source, own, settings, device)
        whole += measure_whole(source, own, settings, device)
    weights = [design.weights(settings.resamples) for design in designs]
    tables = {
        "heads": tabulate_heads(designs, measured, weights),
        "differences": tabulate_differences(designs, measured, weights, seed=settings.seed),
        "summary": tabulate_summary(designs, measured, whole, weights),
        "learning": tabulate_learning(designs, measured),
        "properties": tabulate_properties(designs, left_out),
    }
    name_capture(tables.values(), sources[0].store)
    return tables
