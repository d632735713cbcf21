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
TEMPLATE = "template_id"
TREEBANK = {
    "upos": "part of speech in the sentence",
    "deprel": "dependency relation",
    "head_distance": "distance to syntactic head",
}
NAMES = {"word": "word", "head": "head noun", TEMPLATE: TEMPLATE}
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
    labels: pd.Series,
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
        groups=_number(*(occurrences[column].iloc[rows] for column in columns)),
        units=_number(words[rows]),
        classes=classes,
        split_by="train, dev, test" if split else " and ".join(NAMES[name] for name in columns),
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
    is. Where the words have seen the pair's head noun, that counts as a third.

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
    one, other = (occurrences["word"].iloc[side].reset_index(drop=True) for side in members.T)
    number_of = _number(one, other)
    unit_words = torch.zeros(len(kept), 2, dtype=torch.int64)
    unit_words[torch.tensor(unit)] = number_of
    heads = occurrences["head"].iloc[members[:, 0]].reset_index(drop=True)
    sees_head = bool(heads.notna().any())
    chosen = label.iloc[pair]
    return Property(
        name=name,
        occurrences=torch.tensor(members),
        labels=torch.tensor(chosen.to_numpy(dtype=np.float64))
        if is_number
        else torch.tensor([classes.index(str(value)) for value in chosen]),
        groups=_number(one, other, heads) if sees_head else number_of,
        units=torch.tensor(unit),
        classes=classes,
        split_by="both words and head noun" if sees_head else "both words",
        unit_words=unit_words,
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
    it; of pairs, the columns of their table; of a treebank, what it says of each word.

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
    makers["head noun"] = partial(
        label_occurrences, "head noun", occurrences, heads, split_by=("word",)
    )
    for name, labels in numbers.items():
        makers[name] = partial(label_occurrences, name, occurrences, labels)
    for column, name in TREEBANK.items():
        if column in occurrences:
            makers[name] = partial(label_occurrences, name, occurrences, occurrences[column])
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
        "identity", occurrences, labels, split_by=(TEMPLATE,), min_words=1, max_classes=count
    )


def _number(*columns: pd.Series) -> Int[Tensor, "row *column"]:
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
