"""Pairs of words in a capture: how alike their keys and values are, and among which others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.parallel import map_threads
from probes.similarity.conditions import LayerCoordinates, iterate_coordinates, require_one_width
from probes.similarity.spaces import read_metrics
from probes.stats.checks import require_finite

if TYPE_CHECKING:
    from probes.capture.store import Store

Words = NDArray[Any]
_PAIRS = 4096  # gathered at a time: they stay in the cache
COMPARED = (
    ("functional", "trained"),
    ("functional", "random"),
    ("centred", "trained"),
    ("centred", "random"),
    ("raw", "trained"),
)
"""(space, condition) in which words are compared."""


@dataclass(frozen=True)
class PairRows:
    """Pairs of words: their rows in a capture, [pair, template], and the words themselves."""

    left: Int[Tensor, "pair template"]
    right: Int[Tensor, "pair template"]
    left_word: Words
    right_word: Words

    def __len__(self) -> int:
        return len(self.left_word)

    @classmethod
    def join(cls, parts: Sequence[PairRows]) -> PairRows:
        """Put lists of pairs of one capture behind each other."""
        return cls(
            torch.cat([part.left for part in parts]),
            torch.cat([part.right for part in parts]),
            np.concatenate([part.left_word for part in parts]),
            np.concatenate([part.right_word for part in parts]),
        )


@dataclass(frozen=True)
class Similarities:
    """Cosines of keys and of values, means over templates: [layer, head, pair]."""

    keys: Float[Tensor, "layer head pair"]
    values: Float[Tensor, "layer head pair"]

    def cut(self, pairs: slice) -> Similarities:
        """Keep a run of neighbouring pairs."""
        return Similarities(self.keys[..., pairs], self.values[..., pairs])


def compare_words(
    store: Store, pairs: PairRows, *, seed: int, on_layer: Callable[[int], None] = lambda _: None
) -> dict[tuple[str, str], Similarities]:
    """Compare the two words of every pair in every head, space and condition of `COMPARED`.

    Parameters
    ----------
    seed
        Of the random heads: one for each trained kv head, on the trained x.
    on_layer
        Hears of every layer that is done.

    Raises
    ------
    UnsupportedModelError
        If the layers have different numbers of kv heads.
    """
    require_one_width(store)
    templates = torch.tensor(pd.factorize(store.table("occurrences")["template_id"])[0])
    metrics = read_metrics(store)
    flat = (pairs.left.flatten(), pairs.right.flatten())

    def compare(layer: int) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
        coordinates = iterate_coordinates(
            store, layer, metrics[layer], templates, draws=1, seed=seed
        )
        return {
            (c.space, c.condition): _compare(c, flat, pairs.left.shape[1])
            for c in coordinates
            if (c.space, c.condition) in COMPARED
        }

    layers = map_threads(compare, range(store.n_layers), on_done=on_layer)
    return {
        place: Similarities(*(torch.stack([found[place][n] for found in layers]) for n in (0, 1)))
        for place in COMPARED
    }


def _compare(
    coordinates: LayerCoordinates, flat: tuple[Tensor, Tensor], n_templates: int
) -> tuple[Tensor, Tensor]:
    keys, values = (
        _multiply_pairs(vectors, *flat).reshape(len(vectors), -1, n_templates).mean(2)
        for vectors in (coordinates.keys, coordinates.values)
    )
    return keys, values


def _multiply_pairs(
    vectors: Float[Tensor, "head occurrence d"], left: Tensor, right: Tensor
) -> Float[Tensor, "head pair"]:
    """Give the cosines of `pair_cosines`; each vector is brought to length 1 only once.

    A word is in ten pairs and more here. A vector of length 0 gives NaN, which `percentile_among`
    and the rank correlations refuse.
    """
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    cosines = vectors.new_empty(len(vectors), len(left))
    for start in range(0, len(left), _PAIRS):
        part = slice(start, start + _PAIRS)
        one, other = (unit.index_select(1, side[part]) for side in (left, right))
        cosines[:, part] = one.mul_(other).sum(-1)
    return cosines


def draw_pairs(
    rows: Int[NDArray[Any], "word template"], words: Words, *, count: int, seed: int
) -> PairRows:
    """Draw random pairs of two different words.

    Parameters
    ----------
    rows
        The occurrence of each word in each template.
    words
        The words, each once; at least two.
    """
    random = np.random.default_rng(seed)
    first = random.integers(len(words), size=count)
    second = (first + random.integers(1, len(words), size=count)) % len(words)
    return PairRows(
        torch.tensor(rows[first]), torch.tensor(rows[second]), words[first], words[second]
    )


def percentile_among(
    reference: Float[Tensor, "*head other"], figures: Float[Tensor, "*head pair"]
) -> Float[Tensor, "*head pair"]:
    """Say what share of the reference, in %, lies below each figure, a tie counting half.

    0 to 100, float32; 50 on average for a figure drawn like the reference.
    """
    require_finite("the similarities of random pairs", reference)
    require_finite("the similarities of pairs", figures)
    ordered = reference.sort(dim=-1).values.contiguous()
    figures = figures.contiguous()
    below = torch.searchsorted(ordered, figures)
    through = torch.searchsorted(ordered, figures, right=True)
    return 50 * (below + through).float() / reference.shape[-1]


def number_words(lists: Sequence[Words]) -> list[Int[Tensor, " pair"]]:
    """Replace words by numbers from 0, the same word by the same number in every list."""
    numbers = pd.factorize(np.concatenate(lists), sort=True)[0]
    ends = np.cumsum([len(words) for words in lists])[:-1]
    return [torch.from_numpy(part) for part in np.split(numbers, ends)]
