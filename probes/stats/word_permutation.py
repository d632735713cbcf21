"""Shuffled pairs: the words' values are given at random to the words' keys.

Pairs share words, so pairs cannot be shuffled: what a word's value has in common with all others
would be lost. Words can: every permutation of them gives a table of pairs that is as likely as the
observed one if values know nothing about keys (Mantel 1967; the quadratic assignment procedure of
Hubert & Schultz 1976). Permuted within strata (words of one frequency, token count or part of
speech), the null keeps what the strata say and asks whether values know more: *matched word pairs*.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int, Int32, Shaped
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_indices, require_same_shape

_MAX_WORDS = 46_340  # whose matrix has places of four bytes
_BLOCK = 125  # permutations; 6,000 float32 figures each are 3 MB, which fit in the cache


def permute_words(
    n_words: int, *, permutations: int, seed: int, strata: Int[Tensor, "word"] | None = None
) -> Int[Tensor, "permutation word"]:
    """Draw permutations of the words; row r says whose value word i gets: ``result[r, i]``.

    Parameters
    ----------
    n_words
        How many words there are.
    permutations
        How many permutations. All are drawn independently and uniformly; the identity may be among
        them, as it must for :func:`probes.stats.permutation_p` to be exact.
    seed
        The same seed gives the same permutations.
    strata
        The stratum (any integer) of each word; only words of one stratum exchange values. See
        :func:`combine_strata`.

    Returns
    -------
    Int[Tensor, "permutation word"]
        int64; every row holds 0..n_words-1 once.

    Raises
    ------
    UsageError
        If there are fewer than 2 words or no permutation, not one stratum per word, or no two words
        share a stratum.
    """
    if n_words < 2 or permutations < 1:
        raise UsageError(
            f"{permutations} permutations of {n_words} words asked for; give at least 1 of 2."
        )
    random = np.random.default_rng(seed)
    result = np.empty((permutations, n_words), dtype=np.int64)
    if strata is None:
        for row in result:
            row[:] = random.permutation(n_words)
        return torch.from_numpy(result)
    if strata.shape != (n_words,):
        raise UsageError(
            f"strata has shape {tuple(strata.shape)} for {n_words} words; give one number per word."
        )
    stratum = strata.numpy()
    if len(np.unique(stratum)) == n_words:
        raise UsageError(
            f"Each of the {n_words} words is alone in its stratum, so that no two can exchange "
            "values. Use wider strata."
        )
    place = np.argsort(stratum, kind="stable")
    for row in result:
        row[place] = np.lexsort((random.random(n_words), stratum))
    return torch.from_numpy(result)


def combine_strata(*labels: Int[Tensor, "word"]) -> Int[Tensor, "word"]:
    """Give each combination of labels a number (frequency bin, token count, part of speech).

    Parameters
    ----------
    labels
        Each an integer per word.

    Returns
    -------
    Int[Tensor, "word"]
        Numbers from 0; two words share one exactly if they agree in every label.

    Raises
    ------
    UsageError
        If there are no labels, or they differ in length.
    """
    if not labels:
        raise UsageError("There are no labels to combine; give at least one per word.")
    for label in labels[1:]:
        require_same_shape("a label", label, "the first label", labels[0])
    numbers: Tensor = torch.unique(torch.stack(labels, dim=1), dim=0, return_inverse=True)[1]
    return numbers


def permuted_places(
    permutations: Int[Tensor, "permutation word"],
    left_word: Int[Tensor, "pair"],
    right_word: Int[Tensor, "pair"],
) -> Int32[Tensor, "permutation pair"]:
    """Return where each pair's figure is in a matrix ``[word, word]`` laid out in one row.

    Under every permutation it is the figure of the two words whose values the pair gets, which
    differ if the pair's words do. The same for every head and figure, so that it can be found once.

    Raises
    ------
    UsageError
        If the lists differ in length, an index is out of range, or there are more than 46,340
        words.
    """
    n_words = permutations.shape[1]
    if n_words > _MAX_WORDS:
        raise UsageError(
            f"{n_words} words make a matrix of {n_words**2:,} figures; at most {_MAX_WORDS:,} can "
            "be permuted through a matrix. Take a sample of the pairs."
        )
    require_same_shape("left_word", left_word, "right_word", right_word)
    require_indices("left_word", left_word, n_words)
    require_indices("right_word", right_word, n_words)
    words = permutations.to(torch.int32)
    return words.index_select(1, left_word).mul_(n_words).add_(words.index_select(1, right_word))


def gather_figures(
    matrix: Shaped[Tensor, "word word"],
    places: Int32[Tensor, "permutation pair"],
    *,
    block: int = _BLOCK,
) -> Iterator[Shaped[Tensor, "permutation pair"]]:
    """Yield the figures at `permuted_places`, some permutations at a time, in their order."""
    figures = matrix.reshape(-1)
    for part in torch.split(places, block):
        # the fastest of torch's and numpy's ways to gather single numbers
        yield figures.index_select(0, part.reshape(-1)).reshape(part.shape)
