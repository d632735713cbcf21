"""Which pairs are compared: those given, and random pairs of the captured words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probes.capture.plan import locate_pairs
from probes.errors import TableError

if TYPE_CHECKING:
    from probes.capture.store import Store


FEWEST_PAIRS = 20


@dataclass(frozen=True)
class Population:
    """A list of pairs: their rows in the capture and their words, as numbers from 0."""

    name: str
    left: Tensor
    right: Tensor
    left_word: Tensor
    right_word: Tensor


def populate(
    store: Store, pairs: pd.DataFrame, template_ids: Sequence[str], *, all_pairs: int, seed: int
) -> tuple[pd.DataFrame, list[Population], dict[str, int]]:
    """Find the rows of the given pairs, and of `all_pairs` random pairs of the captured words.

    Returns
    -------
    The pairs that have all their words in all templates, the two populations (those pairs first),
    and the number of each word.

    Raises
    ------
    TableError
        If fewer than `FEWEST_PAIRS` are left.
    """
    occurrences = store.table("occurrences")
    word_numbers = {word: n for n, word in enumerate(sorted(occurrences["word"].unique()))}
    left, right = locate_pairs(pairs, store.table("queries"), template_ids)
    whole = np.flatnonzero(((left >= 0) & (right >= 0)).all(axis=1))
    if len(whole) < FEWEST_PAIRS:
        raise TableError(
            f"only {len(whole)} of {len(pairs)} pairs can be compared in all of the templates "
            f"{', '.join(template_ids)}; ranks need at least {FEWEST_PAIRS} to mean anything. See "
            f"{store.folder / 'losses.parquet'} for what was lost, or give more pairs."
        )
    kept = pairs.iloc[whole].reset_index(drop=True)
    given = Population(
        "word pairs",
        torch.tensor(left[whole]),
        torch.tensor(right[whole]),
        torch.tensor(kept["m1"].map(word_numbers).to_numpy()),
        torch.tensor(kept["m2"].map(word_numbers).to_numpy()),
    )
    # One row per word and template: in a bidirectional model a word has one for each of its heads.
    rows = occurrences.drop_duplicates(["word", "template_id"]).pivot(  # noqa: PD010
        index="word", columns="template_id", values="occurrence"
    )
    rows = rows[template_ids].dropna().astype(int)
    random = np.random.default_rng(seed)
    first = random.integers(len(rows), size=all_pairs)
    second = (first + random.integers(1, len(rows), size=all_pairs)) % len(rows)
    numbers = torch.tensor([word_numbers[word] for word in rows.index])
    drawn = Population(
        "all pairs",
        torch.tensor(rows.to_numpy()[first]),
        torch.tensor(rows.to_numpy()[second]),
        numbers[first],
        numbers[second],
    )
    return kept, [given, drawn], word_numbers
