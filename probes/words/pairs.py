"""Word pairs: two modifiers of one head, as in "neural network" and "social network"."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probes.files import hash_json
from probes.words.founding import FOUNDING_PAIRS
from probes.words.tables import (
    Problem,
    Skip,
    find_repeated,
    leave_out,
    load_table,
    require_limit,
)

SHIPPED = ("compound_pairs", "compound_pairs_zh", "seed_pairs")
NEEDED = ("head", "m1", "m2")
NUMERIC = (
    *("glove_cos", "wup", "lin", "z_m1", "z_m2", "z_head", "pmi1", "pmi2"),
    "human_similarity",
)
APOSTROPHES = "'\u2019"
HYPHENS = "-\u2010\u2011"
LONGEST = 100
JOINERS = "\u200c\u200d\u00b7\u05f3\u05f4\u30fb"
"""Signs inside words: zero-width (non-)joiner, middle dots, geresh and gershayim."""


def load_pairs(
    source: str | Path | pd.DataFrame = "compound_pairs",
    *,
    limit: int | None = None,
    seed: int = 0,
    skip: Skip | None = None,
) -> pd.DataFrame:
    """Load a table of word pairs and check it.

    Parameters
    ----------
    source
        The name of a shipped table ("compound_pairs", "compound_pairs_zh", "seed_pairs"), the path
        of a TSV, CSV or parquet file, or a frame. Columns `head`, `m1` and `m2` are needed;
        `pair_id` is made up where it is absent; all others are kept, as text unless the shipped
        tables have them as numbers. `human_similarity` is a number as well.
    limit
        At most this many pairs, drawn with `seed`; the founding pair (network: neural, social; in
        Chinese 网络: 神经, 社交) is always among them where the table has it. The table's order is
        kept.
    skip
        Leaves out rows with faults, and gets them; see `probes.words.tables.read_table`.

    Returns
    -------
    DataFrame
        `pair_id`, `head`, `m1`, `m2`, then the table's other columns; its index counts from 0.

    Raises
    ------
    TableError
        If the table cannot be read or breaks the schema: words of letters of any script (with
        hyphens, apostrophes and single inner spaces; composed and decomposed letters are the
        same), two different modifiers, no pair and no `pair_id` twice. Up to ten faults are
        reported at once, each with its row.
    UsageError
        If `limit` is not a positive whole number.
    """
    require_limit(limit)
    name, frame = load_table(source, SHIPPED, NEEDED, numeric=NUMERIC, skip=skip)
    frame = frame.assign(**{column: frame[column].map(compose) for column in NEEDED})
    if "pair_id" not in frame.columns:
        frame = frame.assign(pair_id=[f"p{row:05d}" for row in frame.index])
    problems = [*_find_problems(frame), *find_repeated("pair_id", frame["pair_id"])]
    frame = leave_out(name, frame, problems, skip).reset_index(drop=True)
    first = ["pair_id", *NEEDED]
    frame = frame[first + [column for column in frame.columns if column not in first]]
    return frame if limit is None else sample_pairs(frame, limit, seed=seed)


def hash_pairs(frame: pd.DataFrame) -> str:
    """Return the sha256 of what identifies pairs: `pair_id`, `head`, `m1`, `m2`, in their order."""
    columns = ["pair_id", *NEEDED]
    rows = [[str(row[column]) for column in columns] for row in frame[columns].to_dict("records")]
    return hash_json({"columns": columns, "rows": rows})


def is_founding(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which pairs of a table are the founding pair, in either order its modifiers are."""
    founding = {(head, frozenset(modifiers)) for head, *modifiers in FOUNDING_PAIRS}
    words = zip(frame["head"], frame["m1"], frame["m2"], strict=True)
    return np.array([(head, frozenset((m1, m2))) in founding for head, m1, m2 in words], dtype=bool)


def compose(word: Any) -> Any:
    """Put a word's letters and marks together (NFC), so that a word is the same however typed."""
    return unicodedata.normalize("NFC", word) if isinstance(word, str) else word


def find_fault(word: object) -> str | None:
    """Return why `word` cannot be in a sentence as one unit, or None if it can."""
    if not isinstance(word, str):
        return f"is a {type(word).__name__}, not text"
    if not word:
        return "is empty"
    if len(word) > LONGEST:
        return f"has {len(word)} letters: at most {LONGEST} are allowed"
    if word != word.strip():
        return "begins or ends with white space"
    for here, after in zip(word, word[1:] + " ", strict=True):
        kind = unicodedata.category(here)[0]
        if kind not in "LM" and here not in APOSTROPHES + HYPHENS + JOINERS + " ":
            return f"holds {here!r}: letters, hyphens, apostrophes and single spaces are allowed"
        if here == after == " ":
            return "holds two spaces in a row"
    if unicodedata.category(word[0])[0] != "L" or word[-1] in HYPHENS + JOINERS:
        return "begins or ends with something other than a letter"
    return None


def _find_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    pairs: dict[tuple[str, frozenset[str]], int] = {}
    columns = [frame[column] for column in NEEDED]
    for row, head, m1, m2 in zip(frame.index + 2, *columns, strict=True):
        faults = 0
        for column, word in zip(NEEDED, (head, m1, m2), strict=True):
            if fault := find_fault(word):
                faults += 1
                yield Problem(row, column, word, fault)
        if faults:
            continue
        if m1 == m2:
            yield Problem(row, "m2", m2, "is the same word as m1")
            continue
        pair = (head, frozenset((m1, m2)))
        if pair in pairs:
            told = f"{m1} / {m2} | {head}"
            yield Problem(row, "m1", told, f"repeats the pair of row {pairs[pair]}")
        pairs.setdefault(pair, row)


def sample_pairs(frame: pd.DataFrame, limit: int, *, seed: int) -> pd.DataFrame:
    """Draw at most `limit` pairs, the founding pair among them; see `load_pairs`."""
    if limit >= len(frame):
        return frame
    founding = is_founding(frame)
    kept = np.flatnonzero(founding)[:limit]
    others = np.random.default_rng(seed).permutation(np.flatnonzero(~founding))
    rows = np.sort(np.concatenate([kept, others[: limit - len(kept)]]))
    return frame.iloc[rows].reset_index(drop=True)
