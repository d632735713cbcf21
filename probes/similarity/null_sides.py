"""One layer's keys and values under every null that is a matter of which heads are compared.

*mismatched heads*: keys of one kv head, values of another of its layer. *mismatched layers*: values
of the same kv head in another layer. *gaussian*, *haar* and *spectrum heads*: random weights on the
trained x. *untrained model*: the same heads of the same architecture as its code initialises it.
Nulls that deal the words' values anew are in :mod:`probes.similarity.shuffled`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.similarity.nulls import RANDOM_KINDS, draw_random_heads, read_spectra
from probes.similarity.spaces import HeadMetrics, read_heads, to_space

if TYPE_CHECKING:
    from probes.capture.store import Store


@dataclass(frozen=True)
class Captured:
    """A capture, the functional metrics of its layers, and each occurrence's template."""

    store: Store
    metrics: list[HeadMetrics]
    templates: Int[Tensor, " occurrence"]

    def keys(self, layer: int) -> Float[Tensor, "kv_head occurrence d_head"]:
        """Return one layer's trained keys in the functional space."""
        return self._place(read_heads(self.store, "k", layer), self.metrics[layer].key)

    def values(self, layer: int) -> Float[Tensor, "kv_head occurrence d_value"]:
        """Return one layer's trained values in the functional space."""
        return self._place(read_heads(self.store, "v", layer), self.metrics[layer].value)

    def draw(self, layer: int, *, draws: int, seed: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield the keys and values of random heads, functional space, kind by kind.

        Each kind reads this layer's x with `draws` heads for each trained one: [head, occurrence,
        d].
        """
        store = self.store
        x, x_query = store.read("x", layer), store.read("x_query", layer)
        n_kv_heads, spectra = store.number("n_kv_heads", layer), read_spectra(store, layer)
        for number, kind in enumerate(RANDOM_KINDS):
            # A stream for each layer and kind, so that no draw depends on another.
            generator = torch.Generator().manual_seed((seed * 10_007 + layer) * 31 + number)
            heads = draw_random_heads(
                x,
                x_query,
                n_kv_heads=n_kv_heads * draws,
                group_size=store.number("n_heads", layer) // n_kv_heads,
                d_head=store.number("d_head", layer),
                d_value=store.number("d_value", layer),
                logit_scale=store.number("logit_scale", layer),
                generator=generator,
                kind=kind,
                spectra=spectra,
            )
            keys = self._place(heads.k, heads.metrics.key)
            yield f"{kind} heads", keys, self._place(heads.v, heads.metrics.value)

    def _place(self, vectors: Tensor, metric: Tensor) -> Tensor:
        return to_space(vectors, "functional", metric=metric, templates=self.templates)


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
