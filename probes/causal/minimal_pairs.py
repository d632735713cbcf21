"""Minimal pairs: two sentences that differ in the modifier's tokens alone, as many in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from probes.capture.plan import AlignedSentence, align_sentences
from probes.errors import TableError
from probes.words.align import Tokenizer


@dataclass(frozen=True)
class MinimalPair:
    """Two token sequences that end at the head word and differ at the modifier's positions.

    Parameters
    ----------
    row
        Which pair of the table.
    first, last
        The modifier's tokens, both included.
    """

    row: int
    template_id: str
    left: tuple[int, ...]
    right: tuple[int, ...]
    first: int
    last: int


def find_minimal_pairs(
    tokenizer: Tokenizer,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    prefix: str = "",
) -> tuple[list[MinimalPair], pd.DataFrame]:
    """Find the pairs whose two sentences have equal token counts and equal positions.

    Parameters
    ----------
    pairs
        With ``head``, ``m1``, ``m2``.
    templates
        With ``template_id``, ``text``.

    Returns
    -------
    found, losses
        Sorted so that those of equal length and positions are together; and the rest:
        ``row, template_id, reason``.

    Raises
    ------
    TableError
        If there is none.
    """
    aligned, _ = align_sentences(tokenizer, pairs, templates, prefix=prefix)
    known = {(s.sentence.template_id, s.sentence.head, s.sentence.modifier): s for s in aligned}
    found: list[MinimalPair] = []
    losses: list[dict[str, object]] = []
    for template_id in templates["template_id"]:
        for row, (head, m1, m2) in enumerate(
            zip(pairs["head"], pairs["m1"], pairs["m2"], strict=True)
        ):
            sides = [known.get((template_id, head, word)) for word in (m1, m2)]
            pair = _match(row, template_id, sides)
            if isinstance(pair, MinimalPair):
                found.append(pair)
            else:
                losses.append({"row": row, "template_id": template_id, "reason": pair})
    if not found:
        raise TableError(
            f"none of the {len(pairs)} pairs has two modifiers of equally many tokens in any of "
            f"the {len(templates)} templates. Give more pairs."
        )
    found.sort(key=lambda pair: (len(pair.left), pair.first, pair.last))
    return found, pd.DataFrame(losses, columns=["row", "template_id", "reason"])


def _match(
    row: int, template_id: str, sides: Sequence[AlignedSentence | None]
) -> MinimalPair | str:
    """Return the minimal pair, or why there is none."""
    left, right = sides
    if left is None or right is None:
        return "a compound could not be aligned with its tokens"
    if (left.modifier, left.head) != (right.modifier, right.head):
        return "the two modifiers have different numbers of tokens"
    first, last, end = left.modifier.first, left.modifier.last, left.head.last + 1
    ids = left.ids[:end], right.ids[:end]
    if ids[0][:first] != ids[1][:first] or ids[0][last + 1 :] != ids[1][last + 1 :]:
        return "the sentences differ outside the modifier (a / an)"
    return MinimalPair(row, template_id, *ids, first=first, last=last)


def batch_pairs(found: Sequence[MinimalPair], size: int) -> Iterator[list[MinimalPair]]:
    """Cut pairs of equal length and positions into batches of at most `size`."""
    for _, group in groupby(found, key=lambda pair: (len(pair.left), pair.first, pair.last)):
        alike = list(group)
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def draw_matched_pairs(tokenizer: Tokenizer, pairs: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Put another modifier in the place of each pair's second: random, of as many tokens.

    Parameters
    ----------
    pairs
        With ``head``, ``m1``, ``m2``.

    Returns
    -------
    The same columns and order. The word comes from another pair's modifiers; it is neither m1 nor
    m2, nor a modifier that the table has before this head. Pairs for which there is none are left
    out, and those that were drawn already.
    """
    words = sorted(set(pairs["m1"]) | set(pairs["m2"]))
    lengths = {
        word: len(ids)
        for word, ids in zip(
            words,
            tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"],
            strict=True,
        )
    }
    own: dict[str, set[str]] = {}
    for head, m1, m2 in zip(pairs["head"], pairs["m1"], pairs["m2"], strict=True):
        own.setdefault(head, set()).update((m1, m2))
    random = np.random.default_rng(seed)
    rows, drawn = [], set()
    for record in pairs.to_dict("records"):
        fitting = [
            word
            for word in words
            if lengths[word] == lengths[record["m1"]] and word not in own[record["head"]]
        ]
        if fitting:
            chosen = record | {"m2": fitting[random.integers(len(fitting))]}
            pair = (chosen["head"], frozenset((chosen["m1"], chosen["m2"])))
            if pair not in drawn:
                drawn.add(pair)
                rows.append(chosen)
    return pd.DataFrame(rows, columns=pairs.columns)
