"""Human judgements of how similar or related two words are, from the user's own files.

kvprobes ships none. Read are SimLex-999 (Hill, Reichart & Korhonen 2015), WordSim-353 (Finkelstein
et al. 2002), MEN (Bruni, Tran & Baroni 2014), and any table with two words and a score.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from probes.errors import TableError
from probes.words.pairs import find_fault
from probes.words.tables import Problem, raise_problems, read_text

FROM_GENSIM = {"simlex999": "simlex999.txt", "wordsim353": "wordsim353.tsv"}
"""Name -> the file in ``gensim/test/test_data``."""

FIRST, SECOND = ("word1", "w1"), ("word2", "w2")
SCORES = ("score", "simlex999", "humanmean", "mean", "rating", "similarity", "relatedness")
POS = {"n": "n", "v": "v", "a": "a", "j": "a"}
"""How tables name the parts of speech, by their first letter."""

SUFFIX = re.compile(r"-([nvaj])$")  # MEN's lemma form: "sun-n"


def read_human_scores(path: Path, vocabulary: pd.DataFrame) -> pd.DataFrame:
    """Read a table of word pairs with human scores.

    Cells are separated by tabs, commas, semicolons or spaces, whichever the first row has; a cell
    that holds such a sign stands in double quotes. Lines that begin with "#" are passed over. With
    a header (a first row whose third cell is no number) columns are found by name: ``word1`` (or
    ``w1``), ``word2``, ``score`` (or ``SimLex999``, ``Human (mean)``, ``mean``, ``rating``,
    ``similarity``), and ``pos`` if there is one. Without, the first three cells are the two words
    and the score.

    A pair without a part of speech gets the first of noun, verb, adjective in which `vocabulary`
    has most of its two words, and is a noun if it has neither.

    Parameters
    ----------
    vocabulary
        Columns ``pos`` and ``word``: which words are known as what.

    Returns
    -------
    ``pos, w1, w2, score``, in the table's order; a word with itself is left out, and a pair that
    comes twice (in either order) has its mean score.

    Raises
    ------
    TableError
        If the file cannot be read, lacks a column, has rows of different lengths, or holds a word
        or a score that is none.
    """
    rows = _read_rows(path)
    frame = _find_columns(path, rows)
    raise_problems(str(path), _find_problems(frame))
    frame["score"] = frame["score"].astype(float)
    frame = frame[frame["w1"] != frame["w2"]]
    one_order = [" ".join(sorted(pair)) for pair in zip(frame["w1"], frame["w2"], strict=True)]
    groups = frame.groupby(pd.Series(one_order, index=frame.index), sort=False)
    merged = groups.agg({"pos": "first", "w1": "first", "w2": "first", "score": "mean"})
    if merged.empty:
        raise TableError(f"{path} holds no pair of two different words. Give at least one.")
    return merged.assign(pos=_guess_pos(merged, vocabulary)).reset_index(drop=True)


def find_gensim_tables() -> dict[str, Path]:
    """Find the tables that come with the user's gensim: none where it is not installed."""
    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(next(iter(spec.submodule_search_locations))) / "test" / "test_data"
    return {name: folder / file for name, file in FROM_GENSIM.items() if (folder / file).is_file()}


def name_human_table(path: Path) -> str:
    """Return a short name for a table: its file's, in small letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "scores"


def _read_rows(path: Path) -> list[list[str]]:
    lines = [
        line for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise TableError(f"{path} is empty: two words and a score in every row were expected.")
    separator = next((sign for sign in "\t,;" if sign in lines[0]), None)
    if separator is None:
        rows = [line.split() for line in lines]
    else:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(lines, delimiter=separator, skipinitialspace=True)
        ]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise TableError(
                f"row {number} of {path} has too {'few' if len(row) < len(rows[0]) else 'many'} "
                f"cells, {len(row)} where the first row has {len(rows[0])}: {row}. Put a cell that "
                "holds a separator in double quotes."
            )
    return rows


def _find_columns(path: Path, rows: list[list[str]]) -> pd.DataFrame:
    """Return ``row, pos, w1, w2, score`` as text; ``row`` counts the rows read, from 1."""
    places: dict[str, int] = {"w1": 0, "w2": 1, "score": 2}
    first = 0
    if len(rows[0]) < 3 or not _is_number(rows[0][2]):
        names = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in rows[0]]
        known = {"w1": FIRST, "w2": SECOND, "score": SCORES, "pos": ("pos",)}
        found = {
            column: next((names.index(name) for name in choices if name in names), None)
            for column, choices in known.items()
        }
        places = {column: place for column, place in found.items() if place is not None}
        if missing := {"w1", "w2", "score"} - places.keys():
            raise TableError(
                f"{path} has the columns {', '.join(rows[0])}; {', '.join(sorted(missing))} cannot "
                "be found among them. Name them word1, word2 and score."
            )
        first = 1
    table = pd.DataFrame(
        [{column: row[place] for column, place in places.items()} for row in rows[first:]],
        columns=["w1", "w2", "score", "pos"],
    )
    table.insert(0, "row", range(first + 1, len(rows) + 1))
    table["pos"] = [
        POS.get(str(pos)[:1].lower() if isinstance(pos, str) else _find_suffix(word), "")
        for pos, word in zip(table["pos"], table["w1"], strict=True)
    ]
    for column in ("w1", "w2"):
        table[column] = table[column].str.replace(SUFFIX, "", regex=True)
    return table


def _find_suffix(word: str) -> str:
    """Return the part of speech that MEN puts behind a word, or nothing."""
    found = SUFFIX.search(word)
    return found[1] if found else ""


def _guess_pos(pairs: pd.DataFrame, vocabulary: pd.DataFrame) -> list[str]:
    known = {pos: set(words) for pos, words in vocabulary.groupby("pos")["word"]}
    order = ("n", "v", "a")

    def guess(w1: str, w2: str) -> str:
        votes = [sum(w in known.get(pos, ()) for w in (w1, w2)) for pos in order]
        return order[votes.index(max(votes))]

    return [
        pos or guess(w1, w2)
        for pos, w1, w2 in zip(pairs["pos"], pairs["w1"], pairs["w2"], strict=True)
    ]


def _find_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    columns = [frame[column] for column in ("row", "w1", "w2", "score")]
    for row, w1, w2, score in zip(*columns, strict=True):
        for column, word in (("word1", w1), ("word2", w2)):
            if fault := find_fault(word):
                yield Problem(row, column, word, fault)
        if not _is_number(score):
            yield Problem(row, "score", score, "is not a finite number")


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < float("inf")
    except ValueError:
        return False
