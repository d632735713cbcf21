"""Properties of pairs of captured words: of two modifiers of a head, or of two single words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from probes.capture.located import LocatedPairs
from probes.errors import TableError
from probes.linear.properties import MIN_WORDS, Property, number_groups, require_single_cells
from probes.words.tables import require_columns


def label_pairs(
    name: str,
    pairs: LocatedPairs,
    column: str,
    *,
    occurrences: pd.DataFrame,
    min_pairs: int = MIN_WORDS,
) -> Property:
    """Make a property of the two words of each pair, a row for every template.

    A pair is tested where both its words are in the fold, and trains where neither is. Where the
    words have seen the pair's head noun, that counts as a third.

    Parameters
    ----------
    pairs
        Of a capture; pairs with a lost word, or of a word with itself, are left out.
    column
        The labels, in the pairs' table.
    occurrences
        The capture's table.

    Raises
    ------
    TableError
        If fewer than 2 classes of `min_pairs` pairs, or fewer such pairs with numbers, remain.
    """
    require_columns("the pairs", pairs.table, (column,))
    label = pairs.table[column]
    require_single_cells(name, label)
    members = torch.stack([pairs.left, pairs.right], -1).numpy()
    found = (members >= 0).all(-1) & (members[..., 0] != members[..., 1])
    is_number = pd.api.types.is_float_dtype(label)
    good = label.notna() & (label.astype(str) != "") & found.any(1)
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
