"""Properties of the captured words: labels, and what no fold may split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from probes.errors import TableError
from probes.words.tables import require_columns

MIN_WORDS = 20
MAX_CLASSES = 12
TEMPLATE = "template_id"
NAMES = {"word": "word", "head": "head noun", TEMPLATE: TEMPLATE}


@dataclass(frozen=True)
class Property:
    """Something to be known of the captured words: labels, and what must not be split.

    Attributes
    ----------
    occurrences
        Rows of the capture: [row], or [row, member] for a property of pairs.
    labels
        Classes 0, 1, ... or floating-point numbers.
    groups
        What no fold may split, for each row (and member): the word, as a rule, and beside it the
        head noun where the word has seen it.
    units
        What intervals resample, numbered from 0: the word, or the pair.
    unit_words
        For pairs, the two words of each unit; intervals resample the words.
    classes
        Their names; empty for numbers.
    split_by
        What `groups` are, in words.
    split
        The split that each row is in by the corpus itself ("train", "dev", "test"); it takes the
        place of folds.
    """

    name: str
    occurrences: Int[Tensor, "row *member"]
    labels: Shaped[Tensor, "row"]
    groups: Int[Tensor, "row *group"]
    units: Int[Tensor, "row"]
    classes: tuple[str, ...] = ()
    split_by: str = "word"
    unit_words: Int[Tensor, "unit member"] | None = None
    split: tuple[str, ...] | None = None

    @property
    def is_number(self) -> bool:
        """Whether the labels are numbers, not classes."""
        return bool(self.labels.is_floating_point())

    @property
    def splits_words(self) -> bool:
        """Whether folds split words, so that the tested ones have been seen (in other places)."""
        return self.split_by == TEMPLATE

    @property
    def of_pairs(self) -> bool:
        """Whether the property is one of two words."""
        return self.occurrences.ndim == 2


def label_occurrences(
    name: str,
    occurrences: pd.DataFrame,
    labels: pd.Series | NDArray[Any],
    *,
    split_by: Sequence[str] = ("word", "head"),
    min_words: int = MIN_WORDS,
    max_classes: int = MAX_CLASSES,
) -> Property:
    """Make a property of one label for each occurrence, missing where it does not apply.

    Parameters
    ----------
    occurrences
        A capture's table. Where it has a column ``split`` with a train and a test set, these take
        the place of folds.
    split_by
        Columns that no fold may split; those that are missing or empty do not count, as the head
        noun in a causal model, whose words do not see it.
    labels
        A column or an array, in the order of `occurrences`. Floating-point numbers are predicted as
        numbers, anything else as classes; missing values and "" are left out.
    min_words, max_classes
        Classes of fewer words are left out, and of the rest all but the most frequent.

    Raises
    ------
    TableError
        If fewer than 2 classes, or fewer than `min_words` words with numbers that differ, remain.
    """
    labels = pd.Series(labels)
    if len(labels) != len(occurrences):
        raise TableError(
            f"{name}: {len(labels)} labels for {len(occurrences)} occurrences; give one for each."
        )
    require_single_cells(name, labels)
    labels = labels.reset_index(drop=True)
    words = occurrences["word"].reset_index(drop=True)
    known = labels.notna() & (labels.astype(str) != "")
    classes: tuple[str, ...] = ()
    if pd.api.types.is_float_dtype(labels):
        if words[known].nunique() < min_words or labels[known].nunique() < 2:
            raise TableError(
                f"{name}: {words[known].nunique()} words with {labels[known].nunique()} different "
                f"numbers; at least {min_words} words that differ are needed."
            )
    else:
        n_words = words[known].groupby(labels[known].astype(str)).nunique()
        n_words = n_words[n_words >= min_words].sort_index()
        kept = n_words.sort_values(ascending=False, kind="stable").index[:max_classes]
        classes = tuple(sorted(kept))
        if len(classes) < 2:
            raise TableError(
                f"{name}: {len(classes)} classes have at least {min_words} words each; 2 are "
                "needed."
            )
        known &= labels.astype(str).isin(classes)
    rows = np.flatnonzero(known)
    chosen = labels[rows]
    columns = [name for name in split_by if name in occurrences and occurrences[name].notna().any()]
    split = _find_split(occurrences.iloc[rows])
    values = (
        torch.tensor([classes.index(str(label)) for label in chosen])
        if classes
        else torch.tensor(chosen.to_numpy(dtype=np.float64))
    )
    return Property(
        name=name,
        occurrences=torch.tensor(rows),
        labels=values,
        groups=number_groups(*(occurrences[column].iloc[rows] for column in columns)),
        units=number_groups(words[rows]),
        classes=classes,
        split_by="train, dev, test"
        if split
        else " and ".join(NAMES.get(name, name) for name in columns),
        split=split,
    )


def label_words(
    name: str,
    occurrences: pd.DataFrame,
    table: pd.DataFrame,
    column: str,
    *,
    min_words: int = MIN_WORDS,
    max_classes: int = MAX_CLASSES,
) -> Property:
    """Make a property from a table with the columns ``word`` and `column`.

    Raises
    ------
    TableError
        If a column is missing, a word has two labels, or too little remains (see
        `label_occurrences`).
    """
    require_columns("the table of labels", table, ("word", column))
    require_single_cells(name, table[column])
    rows = table[["word", column]].drop_duplicates()
    twice = rows["word"][rows["word"].duplicated()]
    if len(twice):
        raise TableError(f"{name}: {twice.iloc[0]!r} has two labels; give each word one.")
    labels = occurrences["word"].map(rows.set_index("word")[column])
    return label_occurrences(
        name, occurrences, labels, min_words=min_words, max_classes=max_classes
    )


def require_single_cells(name: str, labels: pd.Series) -> None:
    """Raise a TableError if a label is a list, an array or the like."""
    if labels.map(pd.api.types.is_list_like).any():
        raise TableError(f"{name}: a label is a list of several. Give each row a single label.")


def number_groups(*columns: pd.Series) -> Int[Tensor, "row *column"]:
    """Give the values of all columns numbers from 0; a missing one has the first column's."""
    names = [column.where(column.notna(), columns[0]).astype(str) for column in columns]
    stacked = np.stack(names, 1)
    numbers = torch.tensor(np.unique(stacked, return_inverse=True)[1]).reshape(stacked.shape)
    return numbers if len(columns) > 1 else numbers[:, 0]


def _find_split(occurrences: pd.DataFrame) -> tuple[str, ...] | None:
    """Return the corpus' own split, if it has one to train on and one to test."""
    if "split" not in occurrences or not {"train", "test"} <= set(occurrences["split"]):
        return None
    return tuple(occurrences["split"].astype(str))
