"""Pairs of words in a capture: how alike their keys and values are, and among which others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from probes.capture.located import LocatedPairs
from probes.parallel import map_threads
from probes.similarity.conditions import iterate_coordinates, require_one_width
from probes.similarity.pairs import average_pairs, pair_cosines
from probes.similarity.spaces import read_metrics
from probes.stats.checks import require_finite

if TYPE_CHECKING:
    from probes.capture.store import Store

RELATIONS = "relations"
"""The capture of single words that are in a relation, among `Given.words`; the others are of
human scores, and go by the name of their table."""

FEWEST_PAIRS = 30
"""A relation, or a list of scored pairs, of fewer is left out: its interval would say nothing."""

COMPARED = (
    ("functional", "trained"),
    ("functional", "random_heads"),
    ("centred", "trained"),
    ("centred", "random_heads"),
    ("raw", "trained"),
)
"""(space, condition) in which words are compared."""


@dataclass(frozen=True)
class Similarities:
    """Cosines of keys and of values, means over templates: [layer, head, pair]."""

    keys: Float[Tensor, "layer head pair"]
    values: Float[Tensor, "layer head pair"]

    def cut(self, pairs: slice) -> Similarities:
        """Keep a run of neighbouring pairs."""
        return Similarities(self.keys[..., pairs], self.values[..., pairs])


def compare_words(
    store: Store,
    pairs: LocatedPairs,
    *,
    seed: int,
    on_layer: Callable[[int], None] = lambda _: None,
) -> dict[tuple[str, str], Similarities]:
    """Compare the two words of every pair in every head, space and condition of `COMPARED`.

    Parameters
    ----------
    pairs
        Of that capture, with both words in every template.
    seed
        Of the random heads: one for each trained kv head, on the trained x.
    on_layer
        Called after every layer.

    Raises
    ------
    UnsupportedModelError
        If the layers have different numbers of kv heads.
    """
    require_one_width(store)
    metrics = read_metrics(store)

    def compare(layer: int) -> dict[tuple[str, str], list[Tensor]]:
        coordinates = iterate_coordinates(
            store, layer, metrics[layer], pairs.captured.template, draws=1, seed=seed
        )
        return {
            (c.space, c.condition): [
                average_pairs(pair_cosines, vectors, pairs.left, pairs.right)
                for vectors in (c.keys, c.values)
            ]
            for c in coordinates
            if (c.space, c.condition) in COMPARED
        }

    layers = map_threads(compare, range(store.n_layers), on_done=on_layer)
    return {
        place: Similarities(*(torch.stack([found[place][n] for found in layers]) for n in (0, 1)))
        for place in COMPARED
    }


def percentile_among(
    reference: Float[Tensor, "*head other"], figures: Float[Tensor, "*head pair"]
) -> Float[Tensor, "*head pair"]:
    """Say what share of the reference, in %, is below each figure, a tie counting half.

    0 to 100, float32; 50 on average for a figure drawn like the reference.
    """
    require_finite("the similarities of random pairs", reference)
    require_finite("the similarities of pairs", figures)
    ordered = reference.sort(dim=-1).values.contiguous()
    figures = figures.contiguous()
    below = torch.searchsorted(ordered, figures)
    through = torch.searchsorted(ordered, figures, right=True)
    return 50 * (below + through).float() / reference.shape[-1]
