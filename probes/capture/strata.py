"""Reference classes: with which other events two words that a query attends to are compared."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

FEWEST_IN_STRATUM = 20
"""A percentile among fewer means nothing."""

UNKNOWN = "unknown"

Key = tuple[Hashable, ...]


def find_strata(
    table: pd.DataFrame,
    occurrences: pd.DataFrame,
    *,
    one_query: bool = True,
    fewest: int = FEWEST_IN_STRATUM,
) -> Int[Tensor, " event"]:
    """Give each event the number of its reference class.

    Events of other templates or places are never in one class. Within these, classes are parted
    step by step for as long as at least `fewest` events are in each part: by the words' groups (a
    user's labels), the tokens between them, their position (both in powers of two), the number of
    tokens of each, and the frequency of each (in thirds of the words' ``z_left`` and ``z_right``;
    unknown ones are a class of their own). What is left over in parts that are too small stays
    together; if that is too small as well, the smallest of its neighbours takes it in.
    """
    left, right = (occurrences.iloc[table[side]] for side in ("left", "right"))
    last = [side["last_token"].to_numpy(dtype=np.int64) for side in (left, right)]
    zeros = np.zeros(len(table), dtype=np.int64)
    n_pieces = [
        (side["last_token"] - side["first_token"] + 1).to_numpy(dtype=np.int64)
        for side in (left, right)
    ]
    groups = [side.get("group", side["template_id"]).to_numpy() for side in (left, right)]
    steps = [
        _join(table["template_id"], left["slot"], right["slot"]),
        _join(*groups),
        _join(_by_powers(abs(last[0] - last[1])) if one_query else zeros),
        _join(_by_powers(np.minimum(*last))),
        _join(*n_pieces),
        _join(*_class_frequencies(table)),
    ]
    numbers: NDArray[np.int64] = np.full(len(table), -1, dtype=np.int64)
    following = 0
    for part in _part_by(np.arange(len(table)), steps[0]):
        for stratum in _refine(part, steps[1:], fewest):
            numbers[stratum] = following
            following += 1
    return torch.tensor(numbers)


def _refine(
    rows: NDArray[np.int64], steps: Sequence[Sequence[Key]], fewest: int
) -> list[NDArray[np.int64]]:
    """Part rows by one step after the other, as far as each part has enough."""
    if not steps:
        return [rows]
    parts = merge_small(_part_by(rows, steps[0]), fewest)
    if len(parts) == 1:
        return _refine(rows, steps[1:], fewest)
    return [stratum for part in parts for stratum in _refine(part, steps[1:], fewest)]


def merge_small(parts: Sequence[NDArray[np.int64]], fewest: int) -> list[NDArray[np.int64]]:
    """Put parts of fewer than `fewest` rows together.

    If even these are too few, the smallest of the other parts takes them in. Only where there is
    nothing else does a part stay too small.
    """
    kept = [part for part in parts if len(part) >= fewest]
    small = [part for part in parts if len(part) < fewest]
    if not small:
        return kept
    rest = np.sort(np.concatenate(small))
    if len(rest) < fewest and kept:
        place = min(range(len(kept)), key=lambda number: len(kept[number]))
        kept[place] = np.sort(np.concatenate([kept[place], rest]))
        return kept
    return [*kept, rest]


def _part_by(rows: NDArray[np.int64], keys: Sequence[Key]) -> list[NDArray[np.int64]]:
    """Part rows by their key, in the order in which keys come first."""
    parts: dict[Key, list[int]] = {}
    for row in rows.tolist():
        parts.setdefault(keys[row], []).append(row)
    return [np.array(part, dtype=np.int64) for part in parts.values()]


def _join(*columns: Any) -> list[Key]:
    return list(zip(*columns, strict=True))


def _by_powers(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class numbers as 0, 1, 2 to 3, 4 to 7, and on in powers of two."""
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)


def _class_frequencies(table: pd.DataFrame) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the third of all words' frequencies that each word is in."""
    missing = pd.Series(np.nan, index=table.index)
    sides = [table.get(name, missing).to_numpy(dtype=np.float64) for name in ("z_left", "z_right")]
    named = zip((*table["left_word"], *table["right_word"]), np.concatenate(sides), strict=True)
    known = np.array(list({word: z for word, z in named if not np.isnan(z)}.values()))
    if not len(known):
        return tuple(np.full(len(table), UNKNOWN, dtype=object) for _ in sides)  # type: ignore[return-value]
    marks = np.quantile(known, [1 / 3, 2 / 3])
    return tuple(  # type: ignore[return-value]
        np.where(np.isnan(z), UNKNOWN, np.searchsorted(marks, z).astype(str)) for z in sides
    )
