"""Folds that split no word: whatever is tested has not been trained on, word by word."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from probes.errors import UsageError

SPLITS = ("train", "dev", "test")
Cells = tuple[int, ...]


def word_folds(
    words: Int[Tensor, "occurrence *member"],
    folds: int,
    seed: int,
) -> Int[Tensor, "occurrence *member"]:
    """Fold of each occurrence: words assigned in random order, so that folds hold equally many.

    Parameters
    ----------
    words
        The word of each occurrence; or all that must not be split, such as the word and its head
        noun, in one numbering. Each member gets a fold of its own, and `Splits.of` makes of them a
        split in which neither a tested word nor a tested head noun has been seen.
    folds, seed
        The assignment depends on these and on the set of words only.

    Returns
    -------
    Int[Tensor, "occurrence *member"]
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
class Fit:
    """One training set, and the sets it is tested on.

    Attributes
    ----------
    train
        Cells.
    tests
        Of each test, the fold it counts for and its cells.
    """

    train: Cells
    tests: tuple[tuple[int, Cells], ...]

    @property
    def tested(self) -> list[int]:
        """All cells that are tested."""
        return [cell for _, cells in self.tests for cell in cells]


@dataclass(frozen=True)
class Splits:
    """Which occurrences train and which test: of cross-validation, or of a split that is given.

    Attributes
    ----------
    cell
        The number of each occurrence's cell; occurrences of one cell train and test together.
    n_cells
        How many cells there are.
    outer
        The fits that are scored, one a fold.
    inner
        The fits that choose the penalties: what each tests counts for a fold whose own tests it has
        not seen.
    """

    cell: Int[Tensor, "occurrence"]
    n_cells: int
    outer: tuple[Fit, ...]
    inner: tuple[Fit, ...]

    @classmethod
    def of(cls, fold: Int[Tensor, "occurrence *member"], n_folds: int) -> Splits:
        """Cross-validate, with penalties chosen by leaving out a second fold.

        An occurrence with several members (two words; a word and its head noun) belongs to the
        folds of all. It tests fold f if all its members are in f, and trains it if none is; the
        others are left out. So no member is ever on both sides.

        Parameters
        ----------
        fold
            [occurrence], or [occurrence, member]; each in 0..n_folds-1.
        """
        rows = fold.reshape(len(fold), -1).sort(dim=1).values
        cells, cell = torch.unique(rows, dim=0, return_inverse=True)
        members = [frozenset(row) for row in cells.tolist()]

        def find_train(*excluded: int) -> Cells:
            return tuple(n for n, folds in enumerate(members) if not folds & set(excluded))

        tests = [
            tuple(n for n, folds in enumerate(members) if folds == {fold})
            for fold in range(n_folds)
        ]
        return cls(
            cell,
            len(members),
            outer=tuple(Fit(find_train(f), ((f, tests[f]),)) for f in range(n_folds)),
            inner=tuple(
                Fit(find_train(f, g), ((f, tests[g]), (g, tests[f])))
                for f, g in combinations(range(n_folds), 2)
            ),
        )

    @classmethod
    def given(cls, split: Sequence[str]) -> Splits:
        """Fit on ``train``, choose the penalty on ``dev``, score on ``test``, as a treebank does.

        Words may be on both sides, as they do in treebanks; control tasks say how much of a
        score that explains. Other names are left out.

        Parameters
        ----------
        split
            The name of each occurrence's split.

        Raises
        ------
        UsageError
            If there is nothing to train on, or nothing to test.
        """
        names = [name if name in SPLITS else "" for name in split]
        missing = {"train", "test"} - set(names)
        if missing:
            raise UsageError(
                f"No occurrence is in the split {' or '.join(sorted(missing))}; the splits are "
                f"{sorted(set(split))}."
            )
        numbers = {"train": 0, "dev": 1, "test": 2, "": 3}
        return cls(
            torch.tensor([numbers[name] for name in names]),
            len(numbers),
            outer=(Fit((0,), ((0, (2,)),)),),
            inner=(Fit((0,), ((0, (1,)),)),) if "dev" in names else (),
        )

    @property
    def n_folds(self) -> int:
        """How many folds are scored."""
        return len(self.outer)

    def rows(self, cells: Collection[int]) -> Bool[Tensor, "occurrence"]:
        """Mark the occurrences of some cells."""
        marked = torch.zeros(self.n_cells, dtype=torch.bool, device=self.cell.device)
        marked[list(cells)] = True
        return marked[self.cell]

    def tested(self) -> Bool[Tensor, "occurrence"]:
        """Mark the occurrences that some fold tests; those of pairs across folds are not."""
        return self.rows([cell for fit in self.outer for cell in fit.tested])

    @property
    def can_choose(self) -> bool:
        """Whether there are fits to choose penalties by, each with something to train on."""
        return bool(self.inner) and not self._lack_training(self.inner)

    def require_training(self, *, choose: bool) -> None:
        """Refuse splits some of whose tests have nothing to train on.

        Parameters
        ----------
        choose
            Whether penalties are to be chosen, so that the inner fits count as well.

        Raises
        ------
        UsageError
            If there is nothing to train on, to test, or to choose by.
        """
        if self._lack_training((*self.outer, *(self.inner if choose else ()))):
            raise UsageError(
                "A fold is tested that leaves nothing to train on; give more folds, more words, or "
                "a single penalty."
            )
        if not bool(self.tested().any()):
            raise UsageError("No occurrence is tested: none has all its members in one fold.")
        if choose and not self.inner:
            raise UsageError(
                "The split has no dev set to choose a penalty by; give one, or a single penalty."
            )

    def _lack_training(self, fits: Sequence[Fit]) -> bool:
        held = set(torch.unique(self.cell).tolist())
        return any(held & set(fit.tested) and not held & set(fit.train) for fit in fits)
