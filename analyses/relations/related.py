"""Which pairs are related how, and the matched control and random pairs of each.

The relations come from the capture of single words, with the control of their table. Two modifiers
of one head come from the main capture, where a control is another modifier, of like frequency and
length, that is with the first before no head of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from analyses.shared.word_pairs import PairRows, draw_pairs
from probes.capture.plan import locate_pairs
from probes.capture.plan_words import locate_words
from probes.errors import TableError
from probes.words.relations import CONTROL

if TYPE_CHECKING:
    from probes.capture.store import Store

FEWEST_PAIRS = 30
SHARED_HEAD = "shared head"
NEAR_FREQUENCY, NEAR_LENGTH = 0.1, 2
"""How far a control's log10 frequency, and its number of letters, may be from the word's."""


@dataclass(frozen=True)
class RelatedPairs:
    """The related pairs of one capture, in the order of their relations.

    ``table`` has ``relation, pos, w1, w2, control``; ``control`` is w1 with its control word, row
    by row; ``references`` are random pairs of words of one kind (``stratum``, one a pair).
    """

    store: Store
    table: pd.DataFrame
    related: PairRows
    control: PairRows
    stratum: NDArray[Any]
    references: dict[str, PairRows]


def find_relations(store: Store, *, references: int, seed: int) -> RelatedPairs:
    """Find the relations' pairs in the capture of words; each is ranked among its part of speech.

    Left out are pairs without a control, or with a word that was lost, and relations of which
    fewer than `FEWEST_PAIRS` are left.

    Raises
    ------
    TableError
        If no relation is left.
    """
    pairs, templates = store.table("pairs"), store.table("templates")
    queries = store.table("queries")
    rows = [
        locate_words(pairs["pos"], pairs[side], queries, templates)
        for side in ("w1", "w2", CONTROL)
    ]
    whole = np.all(np.stack(rows) >= 0, axis=(0, 2))
    keep = _keep_relations(pairs["relation"], whole)
    if not len(keep):
        raise TableError(
            f"no relation has {FEWEST_PAIRS} pairs with controls in {store.folder}; give more "
            "pairs (--limit is of each relation)."
        )
    table = pairs.iloc[keep].rename(columns={CONTROL: "control"}).reset_index(drop=True)
    left, right, control = (part[keep] for part in rows)
    kinds = {}
    for number, kind in enumerate(sorted(set(table["pos"]))):
        names = templates.loc[templates["pos"] == kind, "template_id"]
        words = np.array(sorted(set(queries.loc[queries["template_id"].isin(names), "modifier"])))
        found = locate_words([kind] * len(words), words, queries, templates)
        there = (found >= 0).all(axis=1)
        kinds[kind] = draw_pairs(
            found[there], words[there].astype(object), count=references, seed=seed + number
        )
    return _make(store, table, left, right, control, table["pos"].to_numpy(dtype=object), kinds)


def find_shared_heads(
    store: Store, pairs: pd.DataFrame, *, references: int, seed: int
) -> RelatedPairs | None:
    """Find the main capture's pairs of two modifiers of one head, and a control for each.

    With a column ``relatedness`` they are a relation for each of its values. None where fewer than
    `FEWEST_PAIRS` have a control.
    """
    queries = store.table("queries")
    template_ids = list(dict.fromkeys(queries["template_id"]))
    left, right = locate_pairs(pairs, queries, template_ids)
    rows = queries.drop_duplicates(["modifier", "template_id"]).pivot(  # noqa: PD010
        index="modifier", columns="template_id", values="occurrence"
    )
    rows = rows[template_ids].dropna().astype(int)
    control = choose_controls(pairs, np.array(rows.index), seed=seed)
    whole = (left >= 0).all(axis=1) & (right >= 0).all(axis=1) & (control >= 0)
    relation = name_shared_heads(pairs)
    keep = _keep_relations(relation, whole)
    if not len(keep):
        return None
    words = np.array(rows.index).astype(object)
    chosen = control[keep]
    table = pd.DataFrame(
        {
            "relation": relation.to_numpy()[keep],
            "pos": "",
            "w1": pairs["m1"].to_numpy()[keep],
            "w2": pairs["m2"].to_numpy()[keep],
            "control": words[chosen],
            "head": pairs["head"].to_numpy()[keep],
        }
    )
    drawn = {SHARED_HEAD: draw_pairs(rows.to_numpy(), words, count=references, seed=seed)}
    stratum = np.full(len(table), SHARED_HEAD, dtype=object)
    return _make(store, table, left[keep], right[keep], rows.to_numpy()[chosen], stratum, drawn)


def name_shared_heads(pairs: pd.DataFrame) -> pd.Series[str]:
    """Name the relation of each pair of modifiers, by their ``relatedness`` where it is told."""
    if "relatedness" in pairs and (pairs["relatedness"] != "").all():
        return SHARED_HEAD + ", " + pairs["relatedness"]
    return pd.Series(SHARED_HEAD, index=pairs.index)


def choose_controls(pairs: pd.DataFrame, words: NDArray[Any], *, seed: int) -> NDArray[Any]:
    """Choose for each pair of modifiers another one, to stand in the place of the second.

    It is of like frequency (where ``z_m1`` and ``z_m2`` are given) and length, is neither of the
    two, and stands with the first before no head of the table. Of those that fit, `seed` decides.

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
            if word not in (m1, m2) and not heads[word] & heads[m1]:
                chosen[row] = candidate
                break
    return chosen


def _keep_relations(relation: pd.Series[str], whole: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of relations that are large enough, one relation behind the other."""
    names = relation.to_numpy(dtype=object)
    counts = pd.Series(names[whole]).value_counts()
    kept = np.flatnonzero(whole & np.isin(names, list(counts.index[counts >= FEWEST_PAIRS])))
    return kept[np.argsort(names[kept], kind="stable")]


def _make(
    store: Store,
    table: pd.DataFrame,
    left: NDArray[Any],
    right: NDArray[Any],
    control: NDArray[Any],
    stratum: NDArray[Any],
    references: dict[str, PairRows],
) -> RelatedPairs:
    w1, w2, other = (table[name].to_numpy(dtype=object) for name in ("w1", "w2", "control"))
    rows = [torch.tensor(part) for part in (left, right, control)]
    columns = [name for name in ("relation", "pos", "w1", "w2", "control", "head") if name in table]
    return RelatedPairs(
        store,
        table[columns],
        PairRows(rows[0], rows[1], w1, w2),
        PairRows(rows[0], rows[2], w1, other),
        stratum,
        references,
    )
