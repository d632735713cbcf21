"""Shuffled pairs: every pair measure with the words' values given at random to the words' keys.

Under a permutation of words the keys of a pair stay, so whatever a measure needs of them (the top
share, the ranks) is prepared once; what is left is a partition or a sort of the values a
permutation. :func:`shuffle_pairs` goes from one layer's coordinates to the null samples of all its
heads; see :mod:`probes.stats.word_permutation` for what the null says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor

from probes.capture.located import DistinctWords
from probes.similarity.condition import Condition
from probes.similarity.measure import Measure, Takes
from probes.similarity.pairs import average_pairs, pair_cosines, pair_distances
from probes.similarity.word_matrix import WordMatrix, word_cosines, word_distances
from probes.stats.checks import require_finite
from probes.stats.word_permutation import gather_figures, permute_words, permuted_places

_LEVELS, _FINE_LEVELS = 2**13, 2**15
_ROWS = 64  # of a word matrix, at a time: what fits the cache


class DealtPairs:
    """The values' figures of one head's pairs in many samples of shuffled words, [sample, pair]."""

    def __init__(self, figures: Tensor) -> None:
        self.figures = figures

    @cached_property
    def median(self) -> Float[Tensor, "sample 1"]:
        """The figure in the middle; numpy partitions faster."""
        place = -(-self.figures.shape[1] // 2) - 1
        parted = np.partition(self.figures.numpy(), place, axis=1)
        return torch.from_numpy(parted[:, place].copy())[:, None]

    @cached_property
    def fraction_of_median(self) -> Float[Tensor, "sample 1"]:
        """The part of the pairs at the median that makes the lower half exactly a half."""
        below = (self.figures < self.median).sum(1)
        tied = (self.figures == self.median).sum(1)
        return ((self.figures.shape[1] / 2 - below) / tied)[:, None]


Deal = Callable[[DealtPairs], Tensor]
"""A measure of one head's shuffled values, a number per sample."""


@dataclass(frozen=True)
class ShuffledPairs:
    """One measure of one layer: as observed, and under every permutation of the words.

    Both float64 and made by the same arithmetic; `permutation_p` and `compare_with_null` take them
    as they are.
    """

    observed: Float[Tensor, " head"]
    samples: Float[Tensor, "permutation head"]

    def split(self, sizes: Sequence[int]) -> list[ShuffledPairs]:
        """Part the samples of several kinds of permutation, each beside the observed figure."""
        return [ShuffledPairs(self.observed, own) for own in torch.split(self.samples, list(sizes))]


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


def shuffle_pairs(
    keys: Float[Tensor, "head occurrence d_key"],
    values: Float[Tensor, "head occurrence d_value"],
    words: DistinctWords,
    *,
    permutations: Int[Tensor, "permutation word"],
    measures: Sequence[Measure],
) -> dict[str, ShuffledPairs]:
    """Measure all heads of a layer as observed and under every permutation of the words.

    Memory: one word x word matrix at a time (44 MB for 3,300 words). Values are compared in
    float32.

    Parameters
    ----------
    keys, values
        Coordinates in one space (`to_space`).
    words
        The words of the pairs, and the pairs.
    permutations
        From :func:`probes.stats.permute_words`; the same for every layer, or max-T over all heads
        is not available.
    measures
        What to measure: measures of pairs.

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
    identity = torch.arange(len(words.rows))[None]
    places = permuted_places(torch.cat([identity, permutations]), words.left, words.right)
    left, right = words.rows[words.left], words.rows[words.right]
    found: dict[str, list[Tensor]] = {measure.name: [] for measure in measures}
    for figure in _FIGURES:
        chosen = [measure for measure in measures if figure.suits(measure)]
        if not chosen:
            continue
        of_keys = average_pairs(figure.compare, keys, left, right)
        for key, value in zip(of_keys, values.float(), strict=True):
            prepared = [_prepare(measure, key) for measure in chosen]
            between_words = figure.between(value, words.rows)
            # A vector without a direction shows in its cosine with itself.
            own = between_words.diagonal()[torch.cat([words.left, words.right])]
            require_finite(f"the {figure.name}s of the values' words with themselves", own)
            blocks = gather_figures(between_words, places)
            for measure, samples in zip(chosen, _measure_blocks(blocks, prepared), strict=True):
                found[measure.name].append(samples)
    stacked = {name: torch.stack(samples, dim=1) for name, samples in found.items()}
    return {name: ShuffledPairs(both[0], both[1:]) for name, both in stacked.items()}


@dataclass(frozen=True)
class _Figure:
    """What measures take of a pair: of two keys, and of any two words' values."""

    name: str
    takes: Takes
    levels: bool
    compare: Callable[[Tensor, Tensor, Tensor], Tensor]
    between: WordMatrix

    def suits(self, measure: Measure) -> bool:
        return measure.takes is self.takes and self.levels == bool(
            measure.dealt and measure.dealt.levels
        )


_FIGURES = (
    _Figure("cosine", Takes.PAIR_SIMILARITIES, False, pair_cosines, word_cosines),
    _Figure("distance", Takes.PAIR_DISTANCES, False, pair_distances, word_distances),
    _Figure(
        "distance",
        Takes.PAIR_DISTANCES,
        True,
        pair_distances,
        lambda values, rows: distance_levels(word_distances(values, rows)),
    ),
)


def _prepare(measure: Measure, key: Float[Tensor, " pair"]) -> Deal:
    """Do what the keys alone decide, where the measure has a form for it."""
    if measure.dealt is not None:
        return measure.dealt.prepare(key)
    return lambda dealt: measure.function(key.expand(dealt.figures.shape), dealt.figures).double()


def _measure_blocks(blocks: Iterable[Tensor], prepared: list[Deal]) -> list[Tensor]:
    """Apply every measure to every block while the block is in the cache."""
    parts: list[list[Tensor]] = [[] for _ in prepared]
    for block in blocks:
        dealt = DealtPairs(block)
        for own, measure in zip(parts, prepared, strict=True):
            own.append(measure(dealt))
    return [torch.cat(own) for own in parts]


def _shuffle(n_words: int, *, strata: Tensor, permutations: int, seed: int) -> Tensor:
    return permute_words(n_words, permutations=permutations, seed=seed)


def _shuffle_matched(n_words: int, *, strata: Tensor, permutations: int, seed: int) -> Tensor:
    return permute_words(n_words, permutations=permutations, seed=seed + 1, strata=strata)


CONDITIONS = (
    Condition(
        "shuffled_words",
        "shuffled words",
        "#E69F00",
        "v",
        keeps="the keys of all words, and the values of all words",
        breaks="which value belongs to which word",
        meaning="The values of the words are given at random to the keys of the words.",
        deal=_shuffle,
    ),
    Condition(
        "matched_words",
        "matched words",
        "#56B4E9",
        "<",
        keeps="the same, and frequency, number of tokens and part of speech of the words",
        breaks="which value belongs to which word among words alike in these",
        meaning=(
            "The same, only among words of similar frequency, one number of tokens and one part of "
            "speech."
        ),
        deal=_shuffle_matched,
    ),
)
