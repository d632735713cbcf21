"""Which pairs are related how, and the matched control and random pairs of each.

The relations come from the capture of single words, with the control of their table. Two modifiers
of one head come from the main capture, where a control is another modifier, of similar frequency
and length, which no head of the table has together with the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from analyses.shared.word_pairs import FEWEST_PAIRS
from probes.capture.located import LocatedPairs
from probes.errors import TableError
from probes.words.relations import CONTROL

if TYPE_CHECKING:
    from probes.capture.store import Store

SHARED_HEAD = "shared head"
NEAR_FREQUENCY, NEAR_LENGTH = 0.1, 2
"""How far a control's log10 frequency, and its number of letters, may be from the word's."""


@dataclass(frozen=True)
class RelatedPairs:
    """The related pairs of one capture, in the order of their relations.

    Attributes
    ----------
    table
        A row per pair: ``relation, pos, w1, w2, control``, and ``head`` where they share one.
    related, control
        The pairs, and row by row w1 with its control word.
    stratum
        The kind of words of each pair.
    references
        Kind of words -> random pairs of such words.
    """

    store: Store
    table: pd.DataFrame
    related: LocatedPairs
    control: LocatedPairs
    stratum: NDArray[Any]
    references: dict[str, LocatedPairs]


def find_relations(store: Store, *, references: int, seed: int) -> RelatedPairs:
    """Find the relations' pairs in the capture of words; each is ranked among its part of speech.

    Left out are pairs without a control, or with a word that was lost, and relations of which
    fewer than `FEWEST_PAIRS` are left.

    Raises
    ------
    TableError
        If no relation is left.
    """
    related = LocatedPairs.of(store)
    control = LocatedPairs.of(store, sides=("w1", CONTROL))
    names = related.table["relation"]
    counted = related.whole & control.whole
    counted &= related.first_of_same(names) & control.first_of_same(names)
    keep = _keep_relations(names, counted.numpy())
    if not len(keep):
        raise TableError(
            f"no relation has {FEWEST_PAIRS} pairs with controls in {store.folder}; give more "
            "pairs (--limit is of each relation)."
        )
    related, control = (pairs.take(torch.from_numpy(keep)) for pairs in (related, control))
    table = related.table.rename(columns={CONTROL: "control"})
    templates, captured = store.table("templates"), related.captured
    kinds = {}
    for number, kind in enumerate(sorted(set(table["pos"]))):
        own = list(templates.loc[templates["pos"] == kind, "template_id"])
        words = captured.whole_words(own)
        kinds[kind] = LocatedPairs.draw_from(captured, *words, count=references, seed=seed + number)
    return RelatedPairs(
        store,
        table[["relation", "pos", "w1", "w2", "control"]],
        related,
        control,
        table["pos"].to_numpy(dtype=object),
        kinds,
    )


def find_shared_heads(store: Store, *, references: int, seed: int) -> RelatedPairs | None:
    """Find the main capture's pairs of two modifiers of one head, and a control for each.

    With a column ``relatedness`` they are a relation for each of its values. None where fewer than
    `FEWEST_PAIRS` have a control.
    """
    pairs = LocatedPairs.of(store)
    numbers, rows = pairs.captured.whole_words()
    words = np.array(pairs.captured.names, dtype=object)[numbers.numpy()]
    control = choose_controls(pairs.table, words, seed=seed)
    relation = name_shared_heads(pairs.table)
    counted = (pairs.whole & pairs.first_of_same(relation)).numpy() & (control >= 0)
    keep = _keep_relations(relation, counted)
    if not len(keep):
        return None
    kept, chosen = pairs.take(torch.from_numpy(keep)), torch.from_numpy(control[keep])
    table = pd.DataFrame(
        {
            "relation": relation.to_numpy()[keep],
            "pos": "",
            "w1": kept.left_name,
            "w2": kept.right_name,
            "control": words[control[keep]],
            "head": kept.table["head"],
        }
    )
    return RelatedPairs(
        store,
        table,
        kept,
        replace(kept, right=rows[chosen], right_word=numbers[chosen], right_query=None),
        np.full(len(table), SHARED_HEAD, dtype=object),
        {
            SHARED_HEAD: LocatedPairs.draw_from(
                pairs.captured, numbers, rows, count=references, seed=seed
            )
        },
    )


def name_shared_heads(pairs: pd.DataFrame) -> pd.Series[str]:
    """Name the relation of each pair of modifiers, by their ``relatedness`` where it is told."""
    if "relatedness" in pairs and (pairs["relatedness"] != "").all():
        return SHARED_HEAD + ", " + pairs["relatedness"]
    return pd.Series(SHARED_HEAD, index=pairs.index)


def choose_controls(pairs: pd.DataFrame, words: NDArray[Any], *, seed: int) -> NDArray[Any]:
    """Choose for each pair of modifiers another one, to be in the place of the second.

    It is of similar frequency (where ``z_m1`` and ``z_m2`` are given) and length, is neither of the
    two, no head of the table has it together with the first, and it is its control only once. Of
    those that fit, `seed` decides.

    Returns
    -------
    The control's place in `words`, -1 where none fits.
    """
    known = {str(word): place for place, word in enumerate(words)}
    heads: dict[str, set[str]] = {str(word): set() for word in words}
    frequency = np.full(len(words), np.nan)
    for side in ("m1", "m2"):
        scores = pairs[f"z_{side}"] if f"z_{side}" in pairs else [np.nan] * len(pairs)
        for head, word, z in zip(pairs["head"], pairs[side], scores, strict=True):
            if word in known:
                heads[word].add(head)
                frequency[known[word]] = z
    length = np.array([len(word) for word in words])
    order = np.random.default_rng(seed).permutation(len(words))
    starts = np.random.default_rng(seed + 1).integers(max(1, len(words)), size=len(pairs))
    chosen = np.full(len(pairs), -1)
    taken: set[frozenset[str]] = set()  # a pair of words is a control once
    for row, (m1, m2, start) in enumerate(zip(pairs["m1"], pairs["m2"], starts, strict=True)):
        if m1 not in known or m2 not in known:
            continue
        place = known[m2]
        gap = np.abs(frequency - frequency[place])
        near = (np.nan_to_num(gap) <= NEAR_FREQUENCY + 1e-9) & (
            np.abs(length - length[place]) <= NEAR_LENGTH
        )
        turned = np.roll(order, -start)
        for candidate in turned[near[turned]]:
            word = str(words[candidate])
            both = frozenset((str(m1), word))
            if word not in (m1, m2) and not heads[word] & heads[m1] and both not in taken:
                taken.add(both)
                chosen[row] = candidate
                break
    return chosen


def _keep_relations(relation: pd.Series[str], whole: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of relations that are large enough, one relation behind the other."""
    names = relation.to_numpy(dtype=object)
    counts = pd.Series(names[whole]).value_counts()
    kept = np.flatnonzero(whole & np.isin(names, list(counts.index[counts >= FEWEST_PAIRS])))
    return kept[np.argsort(names[kept], kind="stable")]
