"""Compare keys and values of word pairs in a capture: as trained, and under each null.

One pass over the layers, with one layer per core in memory. The conditions are ``trained``,
``mismatched_heads``, ``random_heads`` and, for tieability only, ``random_slice``; see the
catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UnsupportedModelError
from probes.parallel import map_threads
from probes.similarity.compare import PairComparison, compare_pairs
from probes.similarity.condition import TRAINED
from probes.similarity.coordinates import centre
from probes.similarity.mismatched import mismatched
from probes.similarity.random_heads import draw_heads, open_stream, random_slice
from probes.similarity.spaces import SPACES, HeadMetrics, Space, read_heads, read_metrics, to_space
from probes.similarity.tieability import TieabilityResult, tieability

if TYPE_CHECKING:
    from probes.capture.located import LocatedPairs
    from probes.capture.store import Store


@dataclass(frozen=True)
class LayerCoordinates:
    """One layer's keys and values in one space, for one condition: [head, occurrence, d_head]."""

    space: Space
    condition: str
    keys: Tensor
    values: Tensor


def iterate_coordinates(
    store: Store, layer: int, metrics: HeadMetrics, templates: Tensor, *, draws: int, seed: int
) -> Iterator[LayerCoordinates]:
    """Yield one layer's trained and random heads in every space."""
    random = draw_heads(store, layer, kind="gaussian", draws=draws, seed=seed)
    k, v = read_heads(store, "k", layer), read_heads(store, "v", layer)
    for condition, keys, values, own in (
        (TRAINED, k, v, metrics),
        ("random_heads", random.k, random.v, random.metrics),
    ):
        for space in SPACES:
            yield LayerCoordinates(
                space,
                condition,
                to_space(keys, space, metric=own.key, templates=templates),
                to_space(values, space, metric=own.value, templates=templates),
            )


@dataclass(frozen=True)
class Measurements:
    """All layers of a capture, compared.

    ``pairs``: (space, condition) -> comparison, [layer, head, pair]; ``tied``: condition -> a
    result per layer, functional space; ``dimension``: (space, condition, part) -> effective
    dimension [layer, head]; ``common``: (condition, part) -> `common_share` [layer, head]. A part
    is ``key`` or ``value``.
    """

    pairs: dict[tuple[str, str], PairComparison]
    tied: dict[str, list[TieabilityResult]]
    dimension: dict[tuple[str, str, str], Tensor]
    common: dict[tuple[str, str], Tensor]


def measure_conditions(
    store: Store,
    pairs: LocatedPairs,
    *,
    draws: int = 1,
    seed: int = 0,
    on_layer: Callable[[int], None] = lambda _: None,
) -> Measurements:
    """Compare every pair, and fit the best map from keys to values, in every head and condition.

    Parameters
    ----------
    pairs
        Of that capture, with both words in every template.
    draws
        Random heads for each trained kv head.
    on_layer
        Called after every layer.

    Raises
    ------
    UnsupportedModelError
        If the layers have different numbers of kv heads.
    """
    require_one_width(store)
    metrics = read_metrics(store)
    templates, words = pairs.captured.template, pairs.captured.word

    def measure(layer: int) -> _LayerMeasurements:
        coordinates = iterate_coordinates(
            store, layer, metrics[layer], templates, draws=draws, seed=seed
        )
        found = _LayerMeasurements({}, {}, {}, {})
        for c in coordinates:
            found.pairs[c.space, c.condition] = compare_pairs(
                c.keys, c.values, pairs.left, pairs.right
            )
            for part, vectors in (("key", c.keys), ("value", c.values)):
                found.dimension[c.space, c.condition, part] = effective_dimension(vectors)
                if c.space == "raw":
                    found.common[c.condition, part] = common_share(vectors, templates)
            if c.space == "functional":
                found.tied[c.condition] = tieability(c.keys, c.values, words=words, seed=seed)
            if (c.space, c.condition) == ("functional", TRAINED):
                x = centre(store.read("x", layer), templates)
                generator = open_stream("slice", seed=seed, layer=layer)
                for condition, keys, values in _other_inputs(c, x, generator):
                    found.tied[condition] = tieability(keys, values, words=words, seed=seed)
        return found

    layers = map_threads(measure, range(len(metrics)), on_done=on_layer)
    compared = {
        key: PairComparison.stack([layer.pairs[key] for layer in layers]) for key in layers[0].pairs
    }
    for space in SPACES:
        other = compared[space, TRAINED].mismatched()
        if other is not None:
            compared[space, "mismatched_heads"] = other
    return Measurements(
        pairs=compared,
        tied={name: [layer.tied[name] for layer in layers] for name in layers[0].tied},
        dimension={
            key: torch.stack([layer.dimension[key] for layer in layers])
            for key in layers[0].dimension
        },
        common={
            key: torch.stack([layer.common[key] for layer in layers]) for key in layers[0].common
        },
    )


def require_one_width(store: Store) -> None:
    """Refuse a capture whose layers have different numbers of kv heads.

    Raises
    ------
    UnsupportedModelError
        If they have.
    """
    heads = {store.number("n_kv_heads", layer) for layer in range(store.n_layers)}
    if len(heads) > 1:
        raise UnsupportedModelError(
            f"the layers of this model have different numbers of kv heads ({sorted(heads)}), which "
            "a table of layer x head cannot hold. Captured keys and values can be read and "
            "compared layer by layer."
        )


@dataclass(frozen=True)
class _LayerMeasurements:
    pairs: dict[tuple[str, str], PairComparison]
    tied: dict[str, TieabilityResult]
    dimension: dict[tuple[str, str, str], Tensor]
    common: dict[tuple[str, str], Tensor]


def _other_inputs(
    trained: LayerCoordinates, x: Float[Tensor, "occurrence d_model"], generator: torch.Generator
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield what else could predict the trained values, with the name of the condition."""
    others = list(mismatched(trained.values))
    if others:
        yield "mismatched_heads", torch.cat([trained.keys] * len(others)), torch.cat(others)
    n_slices, _, width = trained.keys.shape
    yield (
        "random_slice",
        random_slice(x, n_slices=n_slices, width=width, generator=generator),
        trained.values,
    )


def effective_dimension(
    coordinates: Float[Tensor, "*head occurrence d_head"],
) -> Float[Tensor, "*head"]:
    """Compute in how many directions the vectors spread: the participation ratio of their spectrum.

    (sum of the covariance's eigenvalues)^2 / sum of their squares, between 1 and d_head. It says
    how much of a similarity can come from a few directions alone.
    """
    centred = coordinates - coordinates.mean(dim=-2, keepdim=True)
    covariance = centred.transpose(-1, -2).double() @ centred.double()
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace.square() / covariance.square().sum((-1, -2))


def common_share(
    vectors: Float[Tensor, "*head occurrence d_head"], templates: Int[Tensor, " occurrence"]
) -> Float[Tensor, "*head"]:
    """Compute how much of the vectors is one vector that all words of a template share.

    Mean squared length of what centring takes off, over the mean squared length: 0 for centred
    vectors, 1 for equal ones. The raw cosine of two words is about this much with any meaning.
    """
    total = vectors.double().square().sum((-1, -2))
    left = centre(vectors, templates).double().square().sum((-1, -2))
    return 1 - left / total
