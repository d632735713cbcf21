"""Properties of pairs of captured words: of two modifiers of a head, or of two single words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from probes.capture.plan import locate_pairs
from probes.capture.plan_words import locate_words
from probes.errors import TableError
from probes.linear.properties import MIN_WORDS, Property, number_groups
from probes.words.tables import require_columns


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
    return _label_members(name, np.stack([left, right], -1), pairs[column], occurrences, min_pairs)


def label_word_pairs(
    name: str,
    pairs: pd.DataFrame,
    column: str,
    *,
    occurrences: pd.DataFrame,
    queries: pd.DataFrame,
    templates: pd.DataFrame,
    min_pairs: int = MIN_WORDS,
) -> Property:
    """Make a property of pairs of single words (`probes.capture.plan_words`), as `label_pairs`.

    Parameters
    ----------
    pairs
        With ``pos``, ``w1``, ``w2`` and `column`.

    Raises
    ------
    TableError
        If fewer than 2 classes of `min_pairs` pairs, or fewer such pairs with numbers, remain.
    """
    require_columns("the pairs", pairs, ("pos", "w1", "w2", column))
    sides = [locate_words(pairs["pos"], pairs[side], queries, templates) for side in ("w1", "w2")]
    return _label_members(name, np.stack(sides, -1), pairs[column], occurrences, min_pairs)


def _label_members(
    name: str,
    members: Int[np.ndarray, "pair template member"],
    label: pd.Series,
    occurrences: pd.DataFrame,
    min_pairs: int,
) -> Property:
    """Make a property of located pairs (-1 where a word was lost)."""
    found = (members >= 0).all(-1) & (members[..., 0] != members[..., 1])
    is_number = pd.api.types.is_float_dtype(label)
    good = label.notna() & (label.astype(str) != "") & found.any(1)
    classes: tuple[str, ...] = ()
    if not is_number:
        sizes = label[good].astype(str).value_counts()
        classes = tuple(sorted(sizes[sizes >= min_pairs].index))
        good &= label.astype(str).isin(classes)
    if len(classes) < 2 and not (is_number and good.sum() >= min_pairs):
        raise TableError(f"{name}: too few pairs have a label in the column {label.name!r}.")
    found &= good.to_numpy()[:, None]
    pair, _template = np.nonzero(found)
    kept, unit = np.unique(pair, return_inverse=True)
    rows = members[found]
    one, other = (occurrences["word"].iloc[side].reset_index(drop=True) for side in rows.T)
    number_of = number_groups(one, other)
    unit_words = torch.zeros(len(kept), 2, dtype=torch.int64)
    unit_words[torch.tensor(unit)] = number_of
    heads = occurrences["head"].iloc[rows[:, 0]].reset_index(drop=True)
    sees_head = bool(heads.notna().any())
    chosen = label.iloc[pair]
    return Property(
        name=name,
        occurrences=torch.tensor(rows),
        labels=torch.tensor(chosen.to_numpy(dtype=np.float64))
        if is_number
        else torch.tensor([classes.index(str(value)) for value in chosen]),
        groups=number_groups(one, other, heads) if sees_head else number_of,
        units=torch.tensor(unit),
        classes=classes,
        split_by="both words and head noun" if sees_head else "both words",
        unit_words=unit_words,
    )
