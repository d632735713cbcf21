"""The fits behind the tables: every layer's heads for every property, and the whole input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from probes.linear.inputs import read_inputs, read_keys_and_values
from probes.linear.measure import Design, HeadMeasurements, measure_heads
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.spaces import read_metrics

if TYPE_CHECKING:
    from analyses.probing import ProbingSettings
    from probes.capture.store import Store
    from probes.linear.properties import Property


@dataclass(frozen=True)
class Source:
    """A capture, what to probe for in it, and the untrained model's capture of its sentences."""

    store: Store
    properties: Sequence[Property]
    untrained: Store | None = None


def design_probe(wanted: Property, settings: ProbingSettings) -> Design:
    """Lay out the folds, controls and refits of one property."""
    return Design.of(
        wanted,
        probe=settings.probe,
        folds=settings.folds,
        controls=settings.controls,
        refits=settings.refits,
        seed=settings.seed,
    )


def measure_parts(
    source: Source, designs: Sequence[Design], settings: ProbingSettings, device: str
) -> list[dict[str, list[HeadMeasurements]]]:
    """Measure every layer: for each design, part -> a measurement a layer.

    What an untrained model has of the property is beside the trained one's, where it has been
    captured; without the online code, which takes the longest.
    """
    store, untrained = source.store, source.untrained
    metrics = read_metrics(store)
    untrained_metrics = [] if untrained is None else read_metrics(untrained)

    def measure(layer: int) -> list[dict[str, HeadMeasurements]]:
        basis, seed = settings.basis, settings.seed
        inputs = read_inputs(store, layer, basis=basis, metrics=metrics[layer], seed=seed)
        controls: dict[str, Tensor] = {}
        if untrained is not None:
            beside = read_keys_and_values(
                untrained, layer, basis=basis, metrics=untrained_metrics[layer]
            )
            controls = {f"untrained {part}": x for part, x in beside.items()}
        parts = {part: x.to(device) for part, x in (inputs | controls).items()}
        return [
            {
                part: measure_heads(x, design, with_code=settings.code and part in inputs)
                for part, x in parts.items()
            }
            for design in designs
        ]

    with progress_bar("Probing heads", total=store.n_layers, unit="layers") as advance:
        layers = map_threads(measure, range(store.n_layers), on_done=advance)
    return [
        {part: [layer[number][part] for layer in layers] for part in layers[0][number]}
        for number in range(len(designs))
    ]


def measure_whole(
    source: Source, designs: Sequence[Design], settings: ProbingSettings, device: str
) -> list[dict[int, HeadMeasurements]]:
    """Probe all of x at a few layers, with one fit each: for each design, layer -> measurement.

    Not for pairs: twice the width of x is more than a probe should read from so few words.
    """
    store = source.store
    chosen = torch.linspace(0, store.n_layers - 1, settings.x_layers).round().int().tolist()
    layers = list(dict.fromkeys(chosen))
    single = {
        number: replace(design, splits=design.splits[:1])
        for number, design in enumerate(designs)
        if not design.wanted.of_pairs
    }
    found: list[dict[int, HeadMeasurements]] = [{} for _ in designs]
    if not single:
        return found

    def measure(layer: int) -> dict[int, HeadMeasurements]:
        x = store.read("x", layer)[None].to(device)
        return {n: measure_heads(x, design, with_code=False) for n, design in single.items()}

    with progress_bar("Probing x", total=len(layers), unit="layers") as advance:
        measured = map_threads(measure, layers, on_done=advance)
    for layer, by_design in zip(layers, measured, strict=True):
        for number, measurement in by_design.items():
            found[number][layer] = measurement
    return found
