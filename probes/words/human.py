"""Human judgements of how similar or related two words are, from the user's own files.

kvprobes ships none. Read are SimLex-999 (Hill, Reichart & Korhonen 2015), WordSim-353 (Finkelstein
et al. 2002), MEN (Bruni, Tran & Baroni 2014), and any table with two words and a score.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from probes.errors import TableError
from probes.words.pairs import compose, find_fault
from probes.words.tables import Problem, Skip, leave_out, read_text
from probes.words.word_templates import UNKNOWN

FROM_GENSIM = {"simlex999": "simlex999.txt", "wordsim353": "wordsim353.tsv"}
"""Name -> the file in ``gensim/test/test_data``."""

FIRST, SECOND = ("word1", "w1"), ("word2", "w2")
SCORES = ("score", "simlex999", "humanmean", "mean", "rating", "similarity", "relatedness")
LANGUAGES = ("language", "lang")
ENGLISH = ("en", "eng", "english")
POS = {"n": "n", "noun": "n", "v": "v", "verb": "v"} | dict.fromkeys(("a", "j", "adj"), "a")
POS |= {"adjective": "a"}
"""How tables name the parts of speech that have sentences; every other name is `UNKNOWN`."""

SUFFIX = re.compile(r"-([nvaj])$")  # MEN's lemma form: "sun-n"
COLUMNS = ("w1", "w2", "score", "pos", "language")


def read_human_scores(
    path: Path, *, say: Callable[[str], None] = lambda _: None, skip: Skip | None = None
) -> pd.DataFrame:
    """Read a table of word pairs with human scores.

    Cells are separated by tabs, commas, semicolons or spaces, whichever the first row has; a cell
    that holds such a sign is in double quotes. Lines that begin with "#" are passed over. With
    a header (a first row whose third cell is no number) columns are found by name: ``word1`` (or
    ``w1``), ``word2``, ``score`` (or ``SimLex999``, ``Human (mean)``, ``mean``, ``rating``,
    ``similarity``, ``relatedness``), and ``pos`` and ``language`` if they are there. Without, the
    first three cells are the two words and the score.

    Nothing is guessed. The part of speech is what the column ``pos`` says (n, v, a, or in full), or
    the suffixes if every word has one (``sun-n``); everything else is unknown ("x"), and such words
    are in sentences for words of any kind. The words must be English, since the sentences are:
    another language, or letters that are not Latin, are refused.

    Parameters
    ----------
    say
        Hears what the file does not say: of how many pairs the part of speech, and the language.
    skip
        Leaves out rows with faults, and gets them; without it they are refused.

    Returns
    -------
    ``pos, w1, w2, score``, in the table's order; a word with itself is left out, and a pair of one
    part of speech that comes twice (in either order) has its mean score.

    Raises
    ------
    TableError
        If the file cannot be read, lacks a column, has rows of different lengths, or holds a word
        or a score that is none, or a word that is not English.
    """
    frame = _find_columns(path, _read_rows(path, skip))
    frame = leave_out(str(path), frame, _find_problems(frame), skip)
    frame = frame.assign(score=frame["score"].astype(float))
    frame = frame[frame["w1"] != frame["w2"]]
    if frame.empty:
        raise TableError(f"{path} holds no pair of two different words. Give at least one.")
    pairs = zip(frame["pos"], frame["w1"], frame["w2"], strict=True)
    same = pd.Series([(pos, *sorted(words)) for pos, *words in pairs], index=frame.index)
    groups = frame.groupby(same, sort=False)
    merged = groups.agg({"pos": "first", "w1": "first", "w2": "first", "score": "mean"})
    unknown = int((merged["pos"] == UNKNOWN).sum())
    if unknown:
        say(
            f"{path} does not say the part of speech of {unknown} of its {len(merged)} pairs: they "
            "are in sentences for words of any kind. A column pos with n, v or a would say it."
        )
    if not (frame["language"] != "").any():
        say(f"{path} does not say its language: its words are put into English sentences.")
    return merged.reset_index(drop=True)


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


def _read_rows(path: Path, skip: Skip | None) -> list[tuple[int, list[str]]]:
    """Return the cells of every row with its number, which counts lines that hold something."""
    lines = [
        line for line in read_text(path).split("\n") if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise TableError(f"{path} is empty: two words and a score in every row were expected.")
    separator = next((sign for sign in "\t,;" if sign in lines[0]), None)
    if separator is None:
        rows = [line.split() for line in lines]
    else:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
        try:
            rows = [[cell.strip() for cell in row] for row in reader]
        except csv.Error as error:
            raise TableError(f"{path} is malformed near row {reader.line_num}: {error}.") from error
    numbered = list(enumerate(rows, start=1))
    ragged = [(number, row) for number, row in numbered if len(row) != len(rows[0])]
    for number, row in ragged:
        told = (
            f"row {number} of {path} has too {'few' if len(row) < len(rows[0]) else 'many'} "
            f"cells, {len(row)} where the first row has {len(rows[0])}: {row}. "
        )
        if skip is None:
            raise TableError(f"{told}Put a cell that holds a separator in double quotes.")
        skip(f"{told}It is left out.")
    return [(number, row) for number, row in numbered if len(row) == len(rows[0])]


def _find_columns(path: Path, rows: list[tuple[int, list[str]]]) -> pd.DataFrame:
    """Return `COLUMNS` as text; the index is the number of the row read, less 2."""
    places: dict[str, int] = {"w1": 0, "w2": 1, "score": 2}
    head = rows[0][1]
    if len(head) < 3 or not _is_number(head[2]):
        names = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in head]
        known = {"w1": FIRST, "w2": SECOND, "score": SCORES, "pos": ("pos",), "language": LANGUAGES}
        found = {
            column: next((names.index(name) for name in choices if name in names), None)
            for column, choices in known.items()
        }
        places = {column: place for column, place in found.items() if place is not None}
        if missing := {"w1", "w2", "score"} - places.keys():
            raise TableError(
                f"{path} has the columns {', '.join(head)}; {', '.join(sorted(missing))} cannot "
                "be found among them. Name them word1, word2 and score."
            )
        rows = rows[1:]
    table = pd.DataFrame(
        [{column: row[place] for column, place in places.items()} for _, row in rows],
        columns=list(COLUMNS),
        index=[number - 2 for number, _ in rows],
        dtype=object,
    )
    table["language"] = table["language"].fillna("")
    suffixes = [table[side].str.extract(SUFFIX, expand=False) for side in ("w1", "w2")]
    if "pos" in places or not all(side.notna().all() for side in suffixes):
        named = table["pos"].fillna("").astype(str).str.strip().str.lower()
    else:  # every word says what it is
        named = suffixes[0].where(suffixes[0].map(POS) == suffixes[1].map(POS), "")
        for side in ("w1", "w2"):
            table[side] = table[side].str.replace(SUFFIX, "", regex=True)
    table["pos"] = named.map(POS).fillna(UNKNOWN)
    for side in ("w1", "w2"):
        table[side] = table[side].map(compose)
    return table


def _find_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    columns = [frame[column] for column in ("w1", "w2", "score", "language")]
    for row, w1, w2, score, language in zip(frame.index + 2, *columns, strict=True):
        for column, word in (("word1", w1), ("word2", w2)):
            fault = find_fault(word)
            if fault is None and not all(map(_is_latin, word)):
                fault = "has letters that are not Latin, and the sentences are English"
            if fault:
                yield Problem(row, column, word, fault)
        if not _is_number(score):
            yield Problem(row, "score", score, "is not a finite number")
        if language and language.lower() not in ENGLISH:
            yield Problem(row, "language", language, "is not en: the sentences are English")


def _is_latin(letter: str) -> bool:
    return not letter.isalpha() or unicodedata.name(letter, "").startswith(("LATIN", "FULLWIDTH"))


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < float("inf")
    except ValueError:
        return False
