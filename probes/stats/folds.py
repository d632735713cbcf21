"""Folds that split no word: whatever is tested has not been trained on, word by word."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from probes.errors import UsageError


def word_folds(
    words: Int[Tensor, "occurrence"],
    folds: int,
    seed: int,
) -> Int[Tensor, "occurrence"]:
    """Fold of each occurrence: words dealt out in random order, so that folds hold equally many.

    Parameters
    ----------
    words
        The word of each occurrence.
    folds, seed
        The assignment depends on these and on the set of words only.

    Returns
    -------
    Int[Tensor, "occurrence"]
        In 0..folds-1; the numbers of words in two folds differ by at most 1.

    Raises
    ------
    UsageError
        If there are fewer words than folds, or fewer than 2 folds.
    """
    numbers, word = torch.unique(words, return_inverse=True)
    n_words = numbers.shape[0]
    if folds < 2 or n_words < folds:
        raise UsageError(
            f"{n_words} words cannot be split into {folds} folds; give at least 2 folds and as "
            "many words as folds."
        )
    fold = np.empty(n_words, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(n_words)] = np.arange(n_words) % folds
    return torch.from_numpy(fold)[word]


@dataclass(frozen=True)
class Splits:
    """Which occurrences train and which test, when each belongs to one fold or to several.

    A pair of words belongs to the folds of both. It tests fold f if both its words are in f, and
    trains it if neither is; the others are left out. So no word is ever on both sides, though the
    pairs share words.

    Attributes
    ----------
    cell
        The number of each occurrence's set of folds.
    members
        The folds of each cell.
    n_folds
        How many folds there are.
    """

    cell: Int[Tensor, "occurrence"]
    members: tuple[frozenset[int], ...]
    n_folds: int

    @classmethod
    def of(cls, fold: Int[Tensor, "occurrence *member"], n_folds: int) -> Splits:
        """Collect the sets of folds that occur.

        Parameters
        ----------
        fold
            [occurrence], or for pairs [occurrence, member]; each in 0..n_folds-1.
        """
        rows = fold.reshape(len(fold), -1).sort(dim=1).values
        cells, cell = torch.unique(rows, dim=0, return_inverse=True)
        return cls(cell, tuple(frozenset(row) for row in cells.tolist()), n_folds)

    def test_cells(self, fold: int) -> list[int]:
        """List the cells that are wholly inside a fold."""
        return [number for number, folds in enumerate(self.members) if folds == {fold}]

    def train_cells(self, excluded: Collection[int]) -> list[int]:
        """List the cells that touch none of the `excluded` folds."""
        return [number for number, folds in enumerate(self.members) if not folds & set(excluded)]

    def rows(self, cells: Collection[int]) -> Bool[Tensor, "occurrence"]:
        """Mark the occurrences of some cells."""
        return torch.isin(self.cell, torch.tensor(sorted(cells), device=self.cell.device))

    def tested(self) -> Bool[Tensor, "occurrence"]:
        """Mark the occurrences that some fold tests; those of pairs across folds are not."""
        return self.rows([c for fold in range(self.n_folds) for c in self.test_cells(fold)])
