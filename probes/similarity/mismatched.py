"""Mismatched nulls: keys of one head with the values of another, both as trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from probes.similarity.condition import Condition

if TYPE_CHECKING:
    from probes.similarity.null_sides import NullLayer
    from probes.similarity.sides import Side


def mismatched(values: Float[Tensor, "kv_head *rest"]) -> Iterator[Float[Tensor, "kv_head *rest"]]:
    """Yield the values in every order that gives each head another head's, by rotation.

    A layer with one kv head has no mismatch, and yields nothing.
    """
    for shift in range(1, len(values)):
        yield values.roll(shift, dims=0)


def choose_other_layers(n_layers: int, *, seed: int) -> list[int]:
    """Give every layer another one, each once: a cyclic order of the layers, drawn at random.

    A single layer has no other: the list is empty.
    """
    if n_layers < 2:
        return []
    order = np.random.default_rng(seed).permutation(n_layers)
    other = np.empty(n_layers, dtype=int)
    other[order] = np.roll(order, 1)
    return [int(layer) for layer in other]


def _mismatch_heads(given: NullLayer) -> Iterator[tuple[Side, Side]]:
    keys, values = given.trained
    for shift in range(1, len(keys.cosine)):
        yield keys, values.roll(shift)


def _mismatch_layers(given: NullLayer) -> Iterator[tuple[Side, Side]]:
    others = choose_other_layers(given.captured.store.n_layers, seed=given.seed)
    if others:
        keys, _ = given.trained
        yield keys, given.make_side(given.captured.values(others[given.layer]))


CONDITIONS = (
    Condition(
        "mismatched_heads",
        "mismatched heads",
        "#D55E00",
        "s",
        line="--",
        keeps="the trained keys and values of a layer",
        breaks="which of them belong to one head: keys of one, values of another",
        meaning=(
            "The keys of one kv head with the values of another of the same layer, both as "
            "trained. What is left is what any two heads of a layer share because they read the "
            "same input. A layer with one kv head has no such null."
        ),
        sides=_mismatch_heads,
    ),
    Condition(
        "mismatched_layers",
        "mismatched layers",
        "#882255",
        ">",
        keeps="the trained keys, and the trained values of the same head in another layer",
        breaks="that both are of one layer",
        meaning=(
            "The keys of a kv head with the values of the same head of another layer; each layer "
            "lends its values once."
        ),
        sides=_mismatch_layers,
    ),
)
