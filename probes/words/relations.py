"""Related words of WordNet with a matched control: synonyms, antonyms, hypernyms and so on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from probes.words.pairs import compose, find_fault
from probes.words.tables import Problem, load_table, raise_problems, require_limit
from probes.words.word_templates import PARTS_OF_SPEECH

SHIPPED = ("relations",)
NEEDED = ("relation", "pos", "w1", "w2")
CONTROL = "unrelated_control_for_w2"
NUMERIC = ("zlm1", "zlm2", "zlm_ctl", "path", "wup")


def load_relations(
    source: str | Path | pd.DataFrame = "relations", *, limit: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Load a table of related words and check it.

    Parameters
    ----------
    source
        "relations", a path or a frame, with the columns ``relation``, ``pos`` (n, v or a), ``w1``,
        ``w2``; ``unrelated_control_for_w2`` is added, empty, where it is absent.
    limit
        At most this many pairs of each relation, drawn with `seed`; the table's order is kept.

    Raises
    ------
    TableError
        If the table cannot be read or breaks the schema: known parts of speech, words of letters,
        two different words, a control other than both, no pair of a relation twice.
    UsageError
        If `limit` is not a positive whole number.
    """
    require_limit(limit)
    name, frame = load_table(source, SHIPPED, NEEDED, numeric=NUMERIC)
    if CONTROL not in frame:
        frame[CONTROL] = ""
    words = (*NEEDED[2:], CONTROL)
    frame = frame.assign(**{column: frame[column].map(compose) for column in words})
    raise_problems(name, _find_problems(frame))
    if limit is None:
        return frame
    return sample_groups(frame, frame["relation"], limit=limit, seed=seed)


def sample_groups(
    frame: pd.DataFrame, groups: pd.Series[str], *, limit: int, seed: int
) -> pd.DataFrame:
    """Keep at most `limit` rows of each group, drawn with `seed`, in the order they are in."""
    order = np.random.default_rng(seed).permutation(len(frame))
    place = groups.iloc[order].groupby(groups.iloc[order]).cumcount()
    kept = np.sort(order[(place < limit).to_numpy()])
    return frame.iloc[kept].reset_index(drop=True)


def _find_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    columns = [frame[column] for column in (*NEEDED, CONTROL)]
    first: dict[tuple[str, str, frozenset[str]], int] = {}
    for row, (relation, pos, w1, w2, control) in enumerate(zip(*columns, strict=True), start=2):
        if relation == "":
            yield Problem(row, "relation", relation, "is empty")
        if pos not in PARTS_OF_SPEECH:
            yield Problem(row, "pos", pos, f"is none of {', '.join(PARTS_OF_SPEECH)}")
        words = {"w1": w1, "w2": w2} | ({CONTROL: control} if control != "" else {})
        for column, word in words.items():
            if fault := find_fault(word):
                yield Problem(row, column, word, fault)
        if w1 == w2:
            yield Problem(row, "w2", w2, "is the same word as w1")
        elif control in (w1, w2):
            yield Problem(row, CONTROL, control, "is the same word as w1 or w2")
        pair = (relation, pos, frozenset((w1, w2)))
        if pair in first:
            yield Problem(row, "w1", f"{w1} / {w2}", f"repeats the pair of row {first[pair]}")
        first.setdefault(pair, row)
