"""Shuffled pairs: every pair measure with the words' values dealt anew to the words' keys.

Under a permutation of words the keys of a pair stay, so whatever a measure needs of them (the top
share, the ranks, the bins) is prepared once; what is left is a partition or a sort of the values a
permutation. :func:`shuffle_pairs` goes from one layer's coordinates to the null samples of all its
heads; see :mod:`probes.stats.word_permutation` for what the null says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor

from probes.similarity.compare import compare_pairs
from probes.similarity.word_matrix import WordMatrix, word_cosines, word_distances
from probes.stats.checks import require_finite, require_fraction, require_indices
from probes.stats.ranks import cumulate, find_boundary, midranks, sort_rows
from probes.stats.word_permutation import gather_figures, permuted_places

_LEVELS, _FINE_LEVELS = 2**13, 2**15
_ROWS = 64  # of a word matrix, at a time: what fits the cache

FromValues = Callable[[Tensor], Tensor]
"""Value figures ``[sample, pair]`` -> the measures ``[sample, measure, *more]``, for one head."""


@dataclass(frozen=True)
class ShuffledMeasures:
    """Pair measures split in two, so that the keys' part is done once.

    Attributes
    ----------
    names
        What the results are called; several where measures share work.
    figure
        Which figure of a pair they take, for keys and for values; the values' distances come as
        levels.
    prepare
        Takes one head's key figures ``[pair]`` and returns the function of the value figures.
    """

    names: tuple[str, ...]
    figure: Literal["cosine", "distance"]
    prepare: Callable[[Tensor], FromValues]


@dataclass(frozen=True)
class ShuffledPairs:
    """One measure of one layer: as observed, and under every permutation of the words.

    Both float64 and made by the same arithmetic; `permutation_p` and `compare_with_null` take them
    as they are.
    """

    observed: Float[Tensor, "head *more"]
    samples: Float[Tensor, "permutation head *more"]

    def split(self, sizes: Sequence[int]) -> list[ShuffledPairs]:
        """Part the samples of several kinds of permutation, each beside the observed figure."""
        return [ShuffledPairs(self.observed, own) for own in torch.split(self.samples, list(sizes))]


def prepare_dissociation(
    key_similarity: Float[Tensor, " pair"], *, tops: Sequence[float]
) -> FromValues:
    """Split :func:`probes.similarity.dissociation_ratio`: the top shares of s_K are fixed."""
    for top in tops:
        require_fraction("top", top)
    require_finite("the keys' pair figures", key_similarity)
    half = key_similarity.shape[0] / 2
    inside = torch.cat([_memberships(key_similarity, [0.0, top]) for top in tops])
    [members] = inside.any(dim=0).nonzero(as_tuple=True)
    mass = torch.tensor(list(tops), dtype=torch.float64)[:, None] * half
    weight = (inside[:, members] / mass).T

    def measure(values: Tensor) -> Tensor:
        median = _order_statistic(values, int(np.ceil(half)))[:, None]
        below = (values < median).sum(1)
        tied = (values == median).sum(1)
        fraction = ((half - below) / tied)[:, None]
        chosen = values[:, members]
        lower = (chosen < median).double() + fraction * (chosen == median)
        return lower @ weight

    return measure


def prepare_similarity(key_distance: Float[Tensor, " pair"]) -> FromValues:
    """Split :func:`probes.similarity.representational_similarity`: the ranks of d_K are fixed.

    The value figures are the distances' levels (:func:`distance_levels`): counting how many pairs
    are on each ranks them six times faster than sorting.
    """
    require_finite("the keys' pair figures", key_distance)
    key_rank = _centred_midranks(key_distance).numpy()
    key_spread = np.square(key_rank).sum()

    def correlate(levels: np.ndarray) -> float:
        count = np.bincount(levels)
        rank = count.cumsum() - (count + len(levels)) / 2  # centred; its members' mean
        spread = key_spread * ((count * rank) @ rank)
        return (rank.take(levels) @ key_rank) / np.sqrt(spread) if spread > 0 else np.nan

    def measure(levels: Tensor) -> Tensor:
        similarity = torch.tensor([correlate(row) for row in levels.numpy()], dtype=torch.float64)
        return similarity.clamp(-1, 1)[:, None]

    return measure


def distance_levels(distances: Float[Tensor, "word word"]) -> Int16[Tensor, "word word"]:
    """Round distances to levels, from four standard deviations below the mean to four above.

    Distances of one level share their rank, as equal ones do. Of many words there are 8,192 levels,
    which change the rank correlation of 6,000 pairs by about 1e-5; of fewer than a thousand words
    32,768, since of few pairs each counts for more. Where an outlier stretches the deviation a
    hundredfold, the change is about 1e-3.
    """
    count = _FINE_LEVELS if len(distances) < 1000 else _LEVELS
    spread, mean = torch.std_mean(distances[:: 1 + len(distances) // 256])  # enough to tell
    step = (8 * spread / count).clamp_min(torch.finfo(distances.dtype).tiny)
    levels = torch.empty_like(distances, dtype=torch.int16)
    for own, into in zip(torch.split(distances, _ROWS), torch.split(levels, _ROWS), strict=True):
        into.copy_((own - mean).div_(step).add_(count / 2).clamp_(0, count - 1))
    return levels


def prepare_curve(key_similarity: Float[Tensor, " pair"], *, bins: int) -> FromValues:
    """Split :func:`probes.similarity.divergence_curve`: each pair's share of each bin is fixed."""
    require_finite("the keys' pair figures", key_similarity)
    share = _memberships(key_similarity, [edge / bins for edge in range(bins + 1)])
    mean = share * (bins / key_similarity.shape[0])

    def measure(values: Tensor) -> Tensor:
        return ((1 - values.double()) @ mean.T)[:, None]

    return measure


_TOPS = (0.01, 0.05, 0.10)
PAIR_MEASURES = (
    ShuffledMeasures(
        tuple(f"dissociation_ratio_{top:.0%}" for top in _TOPS),
        "cosine",
        partial(prepare_dissociation, tops=_TOPS),
    ),
    ShuffledMeasures(("representational_similarity",), "distance", prepare_similarity),
)
"""The measures of the tables, under their names there."""


def shuffle_pairs(
    keys: Float[Tensor, "head occurrence d_key"],
    values: Float[Tensor, "head occurrence d_value"],
    *,
    rows: Int[Tensor, "word template"],
    left_word: Int[Tensor, " pair"],
    right_word: Int[Tensor, " pair"],
    permutations: Int[Tensor, "permutation word"],
    measures: Sequence[ShuffledMeasures] = PAIR_MEASURES,
) -> dict[str, ShuffledPairs]:
    """Measure all heads of a layer as observed and under every permutation of the words.

    Memory: one word x word matrix at a time (44 MB for 3,300 words). Values are compared in
    float32.

    Parameters
    ----------
    keys, values
        Coordinates in one space (`to_space`).
    rows
        The row of each word in each template: the same words in all of them.
    left_word, right_word
        The two words of each pair, as rows of `rows`.
    permutations
        From :func:`probes.stats.permute_words`; the same for every layer, or max-T over all heads
        is not to be had.
    measures
        What to measure.

    Returns
    -------
    The measures by name. The observed figures differ from the single measures' by no more than
    rounding (1e-4 of their range).

    Raises
    ------
    UsageError
        If an index is out of range or the permutations are not of these words.
    NonFiniteError
        If a coordinate is NaN or infinite, or a vector in a space of cosines is zero.
    """
    require_indices("left_word", left_word, len(rows))
    require_indices("right_word", right_word, len(rows))
    identity = torch.arange(len(rows))[None]
    places = permuted_places(torch.cat([identity, permutations]), left_word, right_word)
    left, right = rows[left_word], rows[right_word]
    of_keys = compare_pairs(keys, keys, left, right)
    figures: dict[str, tuple[Tensor, WordMatrix]] = {
        "cosine": (of_keys.s_k, word_cosines),
        "distance": (of_keys.d_k, _word_levels),
    }
    found: dict[str, list[Tensor]] = {}
    for head, value in enumerate(values.float()):
        for figure, (between, matrix) in figures.items():
            chosen = [group for group in measures if group.figure == figure]
            if not chosen:
                continue
            prepared = [group.prepare(between[head]) for group in chosen]
            between_words = matrix(value, rows)
            # A vector without a direction shows in its cosine with itself.
            own = between_words.diagonal()[torch.cat([left_word, right_word])]
            require_finite(f"the {figure}s of the values' words with themselves", own)
            blocks = gather_figures(between_words, places)
            for group, samples in zip(chosen, _measure_blocks(blocks, prepared), strict=True):
                for name, own in zip(group.names, samples.unbind(1), strict=True):
                    found.setdefault(name, []).append(own)
    stacked = {name: torch.stack(samples, dim=1) for name, samples in found.items()}
    return {name: ShuffledPairs(both[0], both[1:]) for name, both in stacked.items()}


def _word_levels(
    coordinates: Float[Tensor, "occurrence d"], rows: Int[Tensor, "word template"]
) -> Int16[Tensor, "word word"]:
    return distance_levels(word_distances(coordinates, rows))


def _measure_blocks(blocks: Iterable[Tensor], prepared: list[FromValues]) -> list[Tensor]:
    """Apply every measure to every block while the block is in the cache."""
    parts: list[list[Tensor]] = [[] for _ in prepared]
    for block in blocks:
        for own, measure in zip(parts, prepared, strict=True):
            own.append(measure(block))
    return [torch.cat(own) for own in parts]


def _memberships(figures: Tensor, edges: list[float]) -> Float[Tensor, "bin pair"]:
    """Say which part of each pair lies between neighbouring edges of the falling order."""
    n_pairs = figures.shape[0]
    ordering = sort_rows(figures[None].double(), descending=True)
    mass = cumulate(torch.ones(1, 1, n_pairs, dtype=torch.float64))
    target = n_pairs * torch.tensor([edges], dtype=torch.float64)
    edge = find_boundary(mass, ordering, target)
    first, last, fraction = (t[0, 0][:, None] for t in (edge.first, edge.last, edge.fraction))
    position = torch.arange(n_pairs)
    before = torch.where(position < first, 1.0, fraction * (position <= last))
    shares = torch.empty(len(edges) - 1, n_pairs, dtype=torch.float64)
    shares[:, ordering.order[0]] = before.diff(dim=0)
    return shares


def _centred_midranks(figures: Tensor) -> Float[Tensor, " pair"]:
    ordering = sort_rows(figures[None].double(), descending=False)
    mass = cumulate(torch.ones(1, 1, figures.shape[0], dtype=torch.float64))
    ranks = torch.empty(figures.shape[0], dtype=torch.float64)
    ranks[ordering.order[0]] = midranks(mass, ordering)[0, 0]
    return ranks


def _order_statistic(values: Tensor, place: int) -> Float[Tensor, " sample"]:
    """Return the `place`-th smallest figure (from 1) of every sample; numpy partitions faster."""
    parted = np.partition(values.numpy(), place - 1, axis=1)
    return torch.from_numpy(parted[:, place - 1].copy())
