"""Properties of the captured words, from the shipped tables or from a table of the user's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from probes.capture.plan import locate_pairs
from probes.errors import TableError
from probes.words.lexicon import load_lexicon
from probes.words.tables import require_columns

MIN_WORDS = 20
MAX_CLASSES = 12
N_IDENTITIES = 100
SPEECH = {"n": "noun", "v": "verb", "a": "adjective", "r": "adverb"}


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
        What no fold may split, for each row (and member): the word, as a rule.
    units
        What intervals resample, numbered from 0: the word, or the pair.
    unit_words
        For pairs, the two words of each unit; intervals resample the words.
    classes
        Their names; empty for numbers.
    split_by
        What `groups` are, in a word.
    """

    name: str
    occurrences: Int[Tensor, "row *member"]
    labels: Shaped[Tensor, "row"]
    groups: Int[Tensor, "row *member"]
    units: Int[Tensor, "row"]
    classes: tuple[str, ...] = ()
    split_by: str = "word"
    unit_words: Int[Tensor, "unit member"] | None = None

    @property
    def is_number(self) -> bool:
        """Whether the labels are numbers, not classes."""
        return bool(self.labels.is_floating_point())

    @property
    def of_pairs(self) -> bool:
        """Whether the property is one of two words."""
        return self.occurrences.ndim == 2


def label_occurrences(
    name: str,
    occurrences: pd.DataFrame,
    labels: pd.Series,
    *,
    split_by: str = "word",
    min_words: int = MIN_WORDS,
    max_classes: int = MAX_CLASSES,
) -> Property:
    """Make a property of one label for each occurrence, missing where it does not apply.

    Parameters
    ----------
    occurrences
        A capture's table; its column `split_by` says what no fold may split.
    labels
        In the order of `occurrences`. Floating-point numbers are predicted as numbers, anything
        else as classes; missing values and "" are left out.
    min_words, max_classes
        Classes of fewer words are left out, and of the rest all but the commonest.

    Raises
    ------
    TableError
        If fewer than 2 classes, or fewer than `min_words` words with numbers that differ, remain.
    """
    if len(labels) != len(occurrences):
        raise TableError(
            f"{name}: {len(labels)} labels for {len(occurrences)} occurrences; give one for each."
        )
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
    values = (
        torch.tensor([classes.index(str(label)) for label in chosen])
        if classes
        else torch.tensor(chosen.to_numpy(dtype=np.float64))
    )
    return Property(
        name=name,
        occurrences=torch.tensor(rows),
        labels=values,
        groups=_number(occurrences[split_by].iloc[rows]),
        units=_number(words[rows]),
        classes=classes,
        split_by=split_by,
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
    rows = table[["word", column]].drop_duplicates()
    twice = rows["word"][rows["word"].duplicated()]
    if len(twice):
        raise TableError(f"{name}: {twice.iloc[0]!r} has two labels; give each word one.")
    labels = occurrences["word"].map(rows.set_index("word")[column])
    return label_occurrences(
        name, occurrences, labels, min_words=min_words, max_classes=max_classes
    )


def label_pairs(
    name: str,
    pairs: pd.DataFrame,
    column: str,
    *,
    occurrences: pd.DataFrame,
    queries: pd.DataFrame,
    min_pairs: int = MIN_WORDS,
) -> Property:
    """Make a property of the two words of each pair, a row for every template.

    Folds deal out the words: a pair is tested where both its words are, and trains where neither
    is.

    Raises
    ------
    TableError
        If fewer than 2 classes of `min_pairs` pairs, or fewer such pairs with numbers, remain.
    """
    require_columns("the pairs", pairs, ("head", "m1", "m2", column))
    template_ids = list(dict.fromkeys(queries["template_id"]))
    left, right = locate_pairs(pairs, queries, template_ids)
    # The same two words before another head are the same two vectors again in a causal model.
    found = (left >= 0) & (right >= 0) & (left != right)
    label = pairs[column]
    is_number = pd.api.types.is_float_dtype(label)
    good = label.notna() & (label.astype(str) != "")
    classes: tuple[str, ...] = ()
    if not is_number:
        sizes = label[good].astype(str).value_counts()
        classes = tuple(sorted(sizes[sizes >= min_pairs].index))
        good &= label.astype(str).isin(classes)
    if len(classes) < 2 and not (is_number and good.sum() >= min_pairs):
        raise TableError(f"{name}: too few pairs have a label in the column {column!r}.")
    found &= good.to_numpy()[:, None]
    pair, _template = np.nonzero(found)
    kept, unit = np.unique(pair, return_inverse=True)
    members = np.stack([left[found], right[found]], 1)
    words = occurrences["word"]
    numbers = {word: number for number, word in enumerate(sorted(set(words)))}
    number_of = words.map(numbers).to_numpy()
    groups = number_of[members]
    unit_words = np.zeros((len(kept), 2), dtype=np.int64)
    unit_words[unit] = groups
    chosen = label.iloc[pair]
    return Property(
        name=name,
        occurrences=torch.tensor(members),
        labels=torch.tensor(chosen.to_numpy(dtype=np.float64))
        if is_number
        else torch.tensor([classes.index(str(value)) for value in chosen]),
        groups=torch.tensor(groups),
        units=torch.tensor(unit),
        classes=classes,
        split_by="both words",
        unit_words=torch.tensor(unit_words),
    )


def list_properties(
    occurrences: pd.DataFrame,
    queries: pd.DataFrame,
    pairs: pd.DataFrame,
    *,
    pair_columns: Sequence[str] = ("relatedness", "glove_cos", "human_similarity"),
) -> tuple[list[Property], dict[str, str]]:
    """List what the shipped tables say of a capture's words, and what they do not, with reasons.

    Part of speech, semantic field (of the noun), frequency (log10), word identity (among
    `N_IDENTITIES` words, recognised in a template not trained on), position (tokens before the
    word), and of captures in which the word has seen its head, the head noun and the distance to
    it; of pairs, the columns of their table.

    Returns
    -------
    properties, left_out
    """
    lexicon = load_lexicon()
    lexicon["part_of_speech"] = lexicon["pos"].map(SPEECH).fillna("")
    found: list[Property] = []
    left_out: dict[str, str] = {}
    by_word = {"part of speech": "part_of_speech", "semantic field": "noun_lexname"}
    heads = occurrences["head"]
    distance = occurrences["occurrence"].map(queries.groupby("occurrence")["distance"].first())
    numbers = {
        "position": occurrences["first_token"].astype(float),
        "distance to head": distance.where(heads.notna()).astype(float),
    }
    makers: dict[str, Callable[[], Property]] = {
        name: partial(label_words, name, occurrences, lexicon, column)
        for name, column in {**by_word, "frequency": "z"}.items()
    }
    makers["identity"] = partial(label_identity, occurrences)
    makers["head noun"] = partial(label_occurrences, "head noun", occurrences, heads)
    for name, labels in numbers.items():
        makers[name] = partial(label_occurrences, name, occurrences, labels)
    names = {"relatedness": "relatedness of two", "glove_cos": "similarity of two"}
    for column in pair_columns:
        if column in pairs:
            name = names.get(column, column.replace("_", " "))
            makers[name] = partial(
                label_pairs, name, pairs, column, occurrences=occurrences, queries=queries
            )
    for name, make in makers.items():
        try:
            found.append(make())
        except TableError as error:
            left_out[name] = str(error)
    return found, left_out


def label_identity(occurrences: pd.DataFrame, *, count: int = N_IDENTITIES) -> Property:
    """Ask which of `count` words it is, in a template that was not trained on.

    Raises
    ------
    TableError
        If there is one template only, or fewer than 2 words are in all of them.
    """
    n_templates = occurrences["template_id"].nunique()
    seen = occurrences.groupby("word")["template_id"].nunique()
    words = sorted(seen.index[seen == n_templates])
    if n_templates < 2 or len(words) < 2:
        raise TableError("identity: words in at least 2 templates are needed.")
    order = np.random.default_rng(0).permutation(len(words))[:count]
    chosen = {words[place] for place in order}
    labels = occurrences["word"].where(occurrences["word"].isin(chosen))
    return label_occurrences(
        "identity", occurrences, labels, split_by="template_id", min_words=1, max_classes=count
    )


def _number(column: pd.Series) -> Int[Tensor, "row"]:
    """Give the values of a column numbers from 0, in their order."""
    return torch.tensor(np.unique(column.astype(str), return_inverse=True)[1])
