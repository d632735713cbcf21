"""What do keys know that values do not, and the reverse? Linear probes of every head.

``compute`` turns a capture into tables, ``draw`` turns the tables into figures, ``to_latex`` the
summary into a table for a paper. As a script: ``python -m analyses.probing.compute --help``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from analyses.probing.section import describe
from analyses.probing.tables import (
    tabulate_differences,
    tabulate_heads,
    tabulate_learning,
    tabulate_properties,
    tabulate_summary,
    to_latex,
)
from kvprobes.captures.untrained import open_untrained
from kvprobes.captures.words import HUMAN, WORDS, find_word_captures
from probes.errors import TableError
from probes.linear.inputs import Basis, read_inputs
from probes.linear.measure import Design, HeadMeasurements, measure_heads
from probes.linear.shipped_properties import list_properties, list_word_properties
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.spaces import HeadMetrics, read_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from probes.capture.store import Store
    from probes.linear.properties import Property

NAME = "probing"
__all__ = ["ProbingSettings", "compute", "describe", "describe_inputs", "draw", "to_latex"]


@dataclass(frozen=True)
class ProbingSettings:
    """How much to compute.

    ``probe``: "ridge" (least squares) or "logistic" (ten times slower, same picture); ``basis``:
    "raw" or "functional"; ``controls``: control tasks a property; ``refits`` with other folds, for
    their spread; ``resamples`` of the words for every interval; ``code``: whether to measure
    description lengths; ``x_layers``: how many layers' whole x is probed too, the first (the token
    embedding, normed) always being one.
    """

    probe: str = "ridge"
    basis: str = "raw"
    folds: int = 5
    controls: int = 1
    refits: int = 3
    resamples: int = 300
    code: bool = True
    x_layers: int = 3
    seed: int = 0


def compute(
    store: Store,
    pairs: pd.DataFrame,
    *,
    settings: ProbingSettings | None = None,
    properties: Sequence[Property] | None = None,
    device: str = "cpu",
) -> dict[str, pd.DataFrame]:
    """Probe every head's keys, values and an equally wide random slice of x for every property.

    Parameters
    ----------
    store
        A finished capture of `pairs`, or of a treebank's words (`probes.capture.plan_treebank`).
        A capture of the untrained model of the same sentences, in ``capture-untrained`` beside it,
        is taken in where it is there.
    properties
        What to probe for; by default all that the shipped tables and `pairs` say of its words, and
        the relations and human scores of the pairs in the captures of single words beside it
        (`probes.linear.shipped_properties`).
    device
        Where the probes are fitted. Another one may round differently.

    Returns
    -------
    ``heads``
        ``model, key_stage, property, score, what, layer, kv_head, value, ci_low, ci_high,
        balanced, majority, control, selectivity, bits, compression, refit_sd``; `what` is ``k``,
        ``v``, ``slice``, ``untrained k`` or ``untrained v``; `score` is accuracy or r2.
    ``differences``
        ``v - k``, and each minus the slice and its untrained like, paired: ``value, ci_low,
        ci_high, p, q, p_family`` (no p-values for properties of pairs, as pairs share words).
    ``summary``
        Means over all heads, and of their differences; ``x`` and ``embedding`` are the whole input.
    ``learning``
        Accuracy and bits a label on the words that come next, by how many were trained on.
    ``properties``
        How many words and classes each has, how its folds are split, or why it is left out.

    Raises
    ------
    TableError
        If no property can be probed.
    """
    settings = settings or ProbingSettings()
    left_out: dict[str, str] = {}
    if properties is None:
        sources, left_out = _list_all(store, pairs)
    else:
        sources = [(store, list(properties))]
    sources = [(source, wanted) for source, wanted in sources if wanted]
    if not sources:
        raise TableError(
            "no property of the captured words is known: "
            + "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        )
    designs: list[Design] = []
    measured: list[dict[str, list[HeadMeasurements]]] = []
    whole: list[dict[int, HeadMeasurements]] = []
    for source, wanted in sources:
        own = [_design(one, settings) for one in wanted]
        designs += own
        measured += _measure(source, own, settings, device)
        whole += _measure_whole(source, own, settings, device)
    weights = [design.weights(settings.resamples) for design in designs]
    place = {
        "model": store.manifest["model"],
        "key_stage": store.manifest["identity"]["key_stage"],
    }
    tables = {
        "heads": tabulate_heads(designs, measured, weights),
        "differences": tabulate_differences(designs, measured, weights, seed=settings.seed),
        "summary": tabulate_summary(designs, measured, whole, weights),
        "learning": tabulate_learning(designs, measured),
        "properties": tabulate_properties(designs, left_out),
    }
    for table in tables.values():
        for position, (column, value) in enumerate(place.items()):
            table.insert(position, column, value)
    return tables


def describe_inputs(
    store: Store, pairs_hash: str, settings: ProbingSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    from probes.files import hash_file
    from probes.words.tables import data_folder

    untrained = open_untrained(store)
    words = _find_word_captures(store)
    return {
        "capture": store.identity_hash,
        "words": {name: other.identity_hash for name, other in words.items()},
        "untrained": None if untrained is None else untrained.identity_hash,
        "pairs": pairs_hash,
        "lexicon": hash_file(data_folder() / "lexicon.tsv"),
        "settings": asdict(settings or ProbingSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the headline, the maps of value minus key, and the learning curves."""
    from analyses.probing.compute import figures

    drawn = {
        "headline": figures.draw_headline(tables["summary"]),
        "maps": figures.draw_maps(tables["differences"]),
    }
    if len(tables["learning"]):
        drawn["learning"] = figures.draw_learning(tables["learning"])
    return drawn


def _list_all(
    store: Store, pairs: pd.DataFrame
) -> tuple[list[tuple[Store, list[Property]]], dict[str, str]]:
    """List what can be probed for in a capture, and in those of single words beside it."""
    properties, left_out = list_properties(
        store.table("occurrences"), store.table("queries"), pairs
    )
    sources = [(store, properties)]
    for name, words in _find_word_captures(store).items():
        found, missing = list_word_properties(
            words, "" if name == WORDS else name.removeprefix(HUMAN)
        )
        sources.append((words, found))
        left_out |= missing
    return sources, left_out


def _find_word_captures(store: Store) -> dict[str, Store]:
    """Open the captures of single words that are there; `kvprobes run` makes them."""
    try:
        return find_word_captures(store)
    except TableError:
        return {}


def _design(wanted: Property, settings: ProbingSettings) -> Design:
    return Design.of(
        wanted,
        probe=settings.probe,  # type: ignore[arg-type]
        folds=settings.folds,
        controls=settings.controls,
        refits=settings.refits,
        seed=settings.seed,
    )


def _measure(
    store: Store, designs: list[Design], settings: ProbingSettings, device: str
) -> list[dict[str, list[HeadMeasurements]]]:
    """Measure every layer: for each design, what -> a measurement a layer.

    What an untrained model has of the property (no code: it takes the longest) stands beside the
    trained one's, where it has been captured.
    """
    metrics = read_metrics(store)
    untrained = open_untrained(store)
    untrained_metrics = [] if untrained is None else read_metrics(untrained)

    def read(source: Store, layer: int, metrics: HeadMetrics) -> dict[str, Tensor]:
        basis: Basis = settings.basis  # type: ignore[assignment]
        inputs = read_inputs(source, layer, basis=basis, metrics=metrics, seed=settings.seed)
        return {what: x.to(device) for what, x in inputs.items()}

    def measure(layer: int) -> list[dict[str, HeadMeasurements]]:
        inputs = read(store, layer, metrics[layer])
        controls: dict[str, Tensor] = {}
        if untrained is not None:
            beside = read(untrained, layer, untrained_metrics[layer])
            controls = {f"untrained {what}": beside[what] for what in ("k", "v")}
        return [
            {
                what: measure_heads(x, design, with_code=settings.code and what in inputs)
                for what, x in (inputs | controls).items()
            }
            for design in designs
        ]

    with progress_bar("Probing heads", total=store.n_layers, unit="layers") as advance:
        layers = map_threads(measure, range(store.n_layers), on_done=advance)
    return [
        {what: [layer[number][what] for layer in layers] for what in layers[0][number]}
        for number in range(len(designs))
    ]


def _measure_whole(
    store: Store, designs: list[Design], settings: ProbingSettings, device: str
) -> list[dict[int, HeadMeasurements]]:
    """Probe all of x at a few layers, with one fit each: for each design, layer -> measurement.

    Not for pairs: twice the width of x is more than a probe should read from so few words.
    """
    chosen = torch.linspace(0, store.n_layers - 1, settings.x_layers).round().int().tolist()
    layers = list(dict.fromkeys(chosen))
    if all(design.wanted.of_pairs for design in designs):
        return [{} for _ in designs]
    single = [replace(design, splits=design.splits[:1]) for design in designs]

    def measure(layer: int) -> list[HeadMeasurements | None]:
        x = store.read("x", layer)[None].to(device)
        return [
            None if design.wanted.of_pairs else measure_heads(x, design, with_code=False)
            for design in single
        ]

    with progress_bar("Probing x", total=len(layers), unit="layers") as advance:
        measured = map_threads(measure, layers, on_done=advance)
    return [
        {
            layer: measurement
            for layer, found in zip(layers, measured, strict=True)
            if (measurement := found[number]) is not None
        }
        for number in range(len(designs))
    ]


if __name__ == "__main__":
    from kvprobes.command.cli import run_analysis_script

    run_analysis_script(NAME)
