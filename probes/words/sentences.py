"""A user's own sentences: which words in each are looked at, and what attends to them.

A row marks one word. Rows of the same sentence (and the same query) belong together: every two of
their words are an event. A word may come any number of times, and one more often than another.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from probes.errors import TableError
from probes.files import parse_json
from probes.words.fields import Span, joins_words
from probes.words.pairs import compose
from probes.words.tables import (
    Problem,
    name_source,
    raise_problems,
    read_table,
    require_columns,
)

SUFFIXES = (".jsonl", ".ndjson")
NUMERIC = ("start", "end", "query_start", "query_end")
COLUMNS = ("sentence", "word", "start", "end", "label", "query", "query_start", "query_end")
CONTENT = ("NOUN", "PROPN", "ADJ", "VERB", "ADV")
"""Parts of speech (Universal Dependencies) of words with a content of their own."""


def load_sentences(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Load a table of marked words and check it.

    Parameters
    ----------
    source
        A file, whose suffix says the format (.tsv, .csv, .parquet, or .jsonl with an object a
        line), or a frame. Columns:

        - ``sentence``: the whole text; rows of the same text belong together.
        - ``word``, or ``start`` and ``end``: what is marked, as it is in the text, or its
          characters (counted from 0, the end excluded). A word that occurs once needs no
          characters.
        - ``label`` (may be absent): what the occurrence is, such as a sense or a class. Occurrences
          are centred together by it.
        - ``query``, or ``query_start`` and ``query_end`` (may be absent): what attends to the
          marked words. Rows of one sentence may name different ones: those of the same belong
          together. Without it, what attends is the token that follows the last marked word.

        Capitals count: "Neural" and "neural" are two words. Composed and decomposed letters do not:
        ``word`` comes back composed, and characters count in the text as it is.

    Returns
    -------
    All of these columns, every span filled in; where there is no query, ``query`` is empty and its
    characters are -1. Other columns of the source are kept behind.

    Raises
    ------
    TableError
        If the table cannot be read or breaks the schema: a word must be in its sentence, once or
        with its characters, as a whole word; no word may be marked twice, have two labels, or be
        its own query; two words or more belong together. Up to ten faults are reported at once,
        each with its row.
    """
    name, frame = name_source(source), _read(source)
    require_columns(name, frame, ("sentence",))
    if "word" not in frame and not {"start", "end"} <= set(frame.columns):
        raise TableError(
            f"{name} has neither a column 'word' nor the columns 'start' and 'end': it has "
            f"{', '.join(map(str, frame.columns))}. Say in one of these ways what is marked."
        )
    for column in COLUMNS:
        if column not in frame:
            frame[column] = float("nan") if column in NUMERIC else ""
    problems: list[Problem] = []
    marked = _find_spans(frame, ("word", "start", "end"), problems, optional=False)
    asked = _find_spans(frame, ("query", "query_start", "query_end"), problems, optional=True)
    if not problems:
        problems += _find_problems(frame, marked, asked)
    raise_problems(name, problems)
    spans = {
        **{"start": [start for start, _ in marked], "end": [end for _, end in marked]},
        **{"query_start": [start for start, _ in asked], "query_end": [end for _, end in asked]},
    }
    texts = frame["sentence"]
    asked_texts = list(zip(texts, asked, strict=True))
    frame = frame.assign(
        **spans,
        word=[compose(text[slice(*span)]) for text, span in zip(texts, marked, strict=True)],
        query=[compose(text[max(0, a) : b]) if b > 0 else "" for text, (a, b) in asked_texts],
    )
    return frame[[*COLUMNS, *(column for column in frame if column not in COLUMNS)]]


def mark_treebank(words: pd.DataFrame, *, before_head: bool = True) -> pd.DataFrame:
    """Turn a treebank into a table of marked words: content words that depend on the same head.

    The head, whatever its part of speech, is what attends to them; the label of each word is its
    part of speech.

    Parameters
    ----------
    words
        Of `probes.words.treebank.read_treebank`.
    before_head
        Keep only words that are before their head, since a causal model's head sees no others.

    Returns
    -------
    As `load_sentences`, with ``sentence_id`` and ``deprel`` behind.

    Raises
    ------
    TableError
        If no head has two such words.
    """
    first = words.groupby("text")["sentence"].transform("min")
    words = words[words["sentence"] == first]  # what comes twice counts once
    words = words[words["lost"] == ""]
    heads = words.set_index(["sentence", "word_number"])[["start", "end"]]
    marked = words[words["upos"].isin(CONTENT) & (words["head_number"] > 0)]
    if before_head:
        marked = marked[marked["word_number"] < marked["head_number"]]
    asking = pd.MultiIndex.from_frame(marked[["sentence", "head_number"]])
    marked = marked[asking.isin(heads.index)]  # a head in a contraction has no characters
    together = marked.groupby(["sentence", "head_number"])["word"].transform("size")
    marked = marked[together >= 2]
    if marked.empty:
        raise TableError(
            "the treebank has no head on which two content words depend. Give a longer one."
        )
    of_head = heads.loc[pd.MultiIndex.from_frame(marked[["sentence", "head_number"]])]
    return load_sentences(
        pd.DataFrame(
            {
                "sentence": marked["text"].to_numpy(),
                "start": marked["start"].to_numpy(),
                "end": marked["end"].to_numpy(),
                "label": marked["upos"].to_numpy(),
                "query_start": of_head["start"].to_numpy(),
                "query_end": of_head["end"].to_numpy(),
                "sentence_id": marked["sentence_id"].to_numpy(),
                "deprel": marked["deprel"].to_numpy(),
            }
        )
    )


def find_word(text: str, word: str) -> list[Span]:
    """Return the characters of every place where `word` is in `text` as a whole word.

    Letters and digits beside it make it part of another one, except in scripts that put no space
    between words.

    >>> find_word("The art of the cartoon art.", "art")
    [(4, 7), (23, 26)]
    """
    # Letters and marks may be together in the one and apart in the other.
    forms = {word, *(unicodedata.normalize(form, word) for form in ("NFC", "NFD"))}
    places = {
        (match.start(), match.start() + len(form))
        for form in forms
        for match in re.finditer(f"(?={re.escape(form)})", text)
    }
    return sorted(place for place in places if _is_whole(text, *place))


def _is_whole(text: str, start: int, end: int) -> bool:
    return not any(
        joins_words(outside, inside)
        for outside, inside in (
            (text[start - 1 : start], text[start : start + 1]),
            (text[end : end + 1], text[end - 1 : end]),
        )
    )


def _read(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read a table; a file with an object a line counts as one whose first row is row 2."""
    if isinstance(source, pd.DataFrame) or Path(source).suffix.lower() not in SUFFIXES:
        return read_table(source, numeric=NUMERIC)
    path = Path(source)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise TableError(f"there is no file {path}. Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise TableError(f"{path}, line {number}, is not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise TableError(
                f"{path}, line {number}, holds a {type(row).__name__}: an object with the keys "
                "sentence and word was expected."
            )
        rows.append(row)
    if not rows:
        raise TableError(f"{path} is empty: an object a line was expected.")
    return read_table(pd.DataFrame(rows, dtype=object), numeric=NUMERIC)


def _find_spans(
    frame: pd.DataFrame, names: tuple[str, str, str], problems: list[Problem], *, optional: bool
) -> list[Span]:
    """Find what each row names, by its word or its characters; (-1, -1) where it names nothing."""
    found: list[Span] = []
    columns = (frame["sentence"], *(frame[name] for name in names))
    for row, (text, word, start, end) in enumerate(zip(*columns, strict=True), start=2):
        span, fault = _find_span(str(text), str(word), float(start), float(end))
        if span is None and optional and not word and isnan(start) and isnan(end):
            fault = ""
        if fault:
            problems.append(Problem(row, names[0], word, fault))
        found.append(span or (-1, -1))
    return found


def _find_span(text: str, word: str, start: float, end: float) -> tuple[Span | None, str]:
    """Return a span, or why there is none."""
    if not text.strip():
        return None, "belongs to an empty sentence"
    if isnan(start) != isnan(end):
        return None, "has only one of start and end"
    if not isnan(start):
        if start != int(start) or end != int(end):
            return None, f"has the characters {start:g} to {end:g}, which are not whole numbers"
        span = (int(start), int(end))
        if not 0 <= span[0] < span[1] <= len(text):
            return None, (
                f"has the characters {span[0]} to {span[1]}, and its sentence {len(text)} of them"
            )
        there = text[slice(*span)]
        if word and compose(there) != compose(word):
            return None, f"is not what is at the characters {span[0]} to {span[1]}: {there!r}"
        if there != there.strip():
            return None, f"has characters that begin or end with white space: {there!r}"
        return span, ""
    if not word.strip():
        return None, "is empty"
    places = find_word(text, word)
    if not places:
        inside = "only inside another word of" if word in text else "not in"
        return None, f"is {inside} its sentence, {_shorten(text)!r}"
    if len(places) > 1:
        return None, f"occurs {len(places)} times in its sentence: give start and end, such as " + (
            " or ".join(f"{a} and {b}" for a, b in places[:2])
        )
    return places[0], ""


def _find_problems(frame: pd.DataFrame, marked: list[Span], asked: list[Span]) -> Iterator[Problem]:
    seen: dict[tuple[str, Span, Span], int] = {}
    labelled: dict[tuple[str, Span], tuple[str, int]] = {}
    together = Counter(zip(frame["sentence"], asked, strict=True))
    columns = (frame["sentence"], frame["word"], frame["label"])
    rows = zip(*columns, marked, asked, strict=True)
    for row, (text, word, label, span, query) in enumerate(rows, start=2):
        key = (text, span, query)
        if key in seen:
            yield Problem(row, "word", word, f"repeats row {seen[key]}")
        seen.setdefault(key, row)
        known, where = labelled.setdefault((text, span), (label, row))
        if known != label:
            yield Problem(row, "label", label, f"is {known!r} in row {where}, for the same word")
        if query[0] < span[1] and span[0] < query[1]:
            yield Problem(row, "query", text[slice(*query)], "is the marked word itself")
        if together[text, query] < 2:
            yield Problem(
                row, "sentence", _shorten(text), "has one marked word, and an event needs two"
            )


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
