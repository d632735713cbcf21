"""Carrier sentences: reading their tables, filling their fields, and what may touch a field.

A field is in braces: ``{modifier}``. Words may touch a field, or each other, only in scripts
that put no space between words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from probes.errors import TableError, UsageError
from probes.words.tables import Problem, find_repeated, load_table, raise_problems

POSITIONS = ("early", "middle", "late")
FIELD = re.compile(r"\{([^{}]*)\}")

# How the Unicode names of letters begin whose scripts put no space between words. Hangul does.
UNSPACED = (
    "CJK ",
    "IDEOGRAPHIC ",
    "HIRAGANA ",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
    "TIBETAN ",
)

Span = tuple[int, int]


def is_unspaced(letter: str) -> bool:
    """Return whether `letter` is of a script that puts no space between words.

    >>> [is_unspaced(letter) for letter in ("网", "の", "ไ", "a", "한", "3", "")]
    [True, True, True, False, False, False, False]
    """
    return letter.isalpha() and unicodedata.name(letter, "").startswith(UNSPACED)


def joins_words(outside: str, inside: str) -> bool:
    """Return whether a sign beside a word makes it part of a longer one.

    Letters, digits and marks do, except in scripts that put no space between words.

    >>> [joins_words(sign, "t") for sign in ("a", "3", "\N{COMBINING TILDE}", ".", "网", "")]
    [True, True, True, False, False, False]
    """
    return all(
        sign != ""
        and (unicodedata.category(sign)[0] == "M" or bool(re.match(r"\w", sign)))
        and not is_unspaced(sign)
        for sign in (outside, inside)
    )


def fill_fields(text: str, words: Mapping[str, str]) -> tuple[str, dict[str, Span]]:
    """Put words into the fields of a template.

    Whatever begins the sentence gets a capital.

    Returns
    -------
    The sentence, and the (start, end) characters of every field's word.

    >>> fill_fields("{head} of {modifier}", {"head": "law", "modifier": "gravity"})
    ('Law of gravity', {'head': (0, 3), 'modifier': (7, 14)})

    Raises
    ------
    TableError
        If it joins two words that need a space between them ("neural" and "network" in a Chinese
        template).
    """
    spans: dict[str, Span] = {}
    filled, end, before = "", 0, ""
    for field in FIELD.finditer(text):
        between = text[end : field.start()]
        word = words[field[1]]
        if before and not between:
            _check_joined_words(text, before, word)
        filled += between
        shown = word if filled.strip() else word[:1].upper() + word[1:]
        spans[field[1]] = (len(filled), len(filled) + len(shown))
        filled += shown
        end, before = field.end(), word
    return filled + text[end:], spans


def find_field_fault(text: str, known: Sequence[str], needed: Sequence[str]) -> str | None:
    """Return why the fields of `text` are no template's, or None if they are.

    Parameters
    ----------
    known
        The fields that may be in it.
    needed
        Those that must, once each.
    """
    fields = FIELD.findall(text)
    for field in needed:
        if fields.count(field) != 1:
            return f"has {fields.count(field)} {{{field}}}, not exactly one"
    if unknown := [field for field in fields if field not in known]:
        names = ", ".join(f"{{{field}}}" for field in known)
        return f"has the unknown field {{{unknown[0]}}}: {names} are known"
    if "{" in FIELD.sub("", text) or "}" in FIELD.sub("", text):
        return "has a brace that belongs to no field"
    return None


def joins_a_word(text: str, *, unspaced: bool = True) -> bool:
    """Return whether a field of `text` touches what would run into the word put there.

    A letter may touch a field if its script puts no space between words; another field may if the
    letters nearest to the two are of such scripts. Where `unspaced` is false, neither may.
    """
    return any(_joins(text, field, unspaced=unspaced) for field in FIELD.finditer(text))


def load_carriers(
    source: str | Path | pd.DataFrame,
    shipped: Sequence[str],
    find_fault: Callable[[str], str | None],
    *,
    added: Sequence[str],
    names: Sequence[str] | None,
    count: int | None,
) -> pd.DataFrame:
    """Load a table of carrier sentences and check it.

    Parameters
    ----------
    source
        The name of a shipped table, a path or a frame, with ``template_id`` and ``text``.
    shipped
        The names of the shipped tables.
    find_fault
        Says what is wrong with a text, or returns None.
    added
        Columns of text that are added, empty, where they are absent.
    names
        The ``template_id`` of those wanted, in the order wanted.
    count
        How many, from the table's top; `names` and `count` exclude each other.

    Raises
    ------
    TableError
        If the table cannot be read, a text has a fault, a ``template_id`` is empty or comes twice,
        or a ``position`` is none of `POSITIONS`.
    UsageError
        If a name is unknown, or `count` is below 1 or above the number of templates.
    """
    if names is not None and count is not None:
        raise UsageError("names and count were both given: choose templates by one of the two.")
    name, frame = load_table(source, shipped, ("template_id", "text"))
    for column in added:
        if column not in frame.columns:
            frame[column] = ""
    problems = list(find_repeated("template_id", frame["template_id"]))
    rows = zip(frame["text"], frame["position"], strict=True)
    for row, (text, position) in enumerate(rows, start=2):
        if fault := find_fault(str(text)):
            problems.append(Problem(row, "text", text, fault))
        if position not in ("", *POSITIONS):
            problems.append(
                Problem(row, "position", position, f"is none of {', '.join(POSITIONS)}")
            )
    raise_problems(name, problems)
    if names is not None:
        return _pick(frame, names)
    if count is not None and not 1 <= count <= len(frame):
        raise UsageError(f"count is {count}: {name} has {len(frame)} templates; choose 1 or more.")
    return frame if count is None else frame.head(count)


def _pick(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    known = list(frame["template_id"])
    wrong = [name for name in names if name not in known]
    if wrong or not names or len(set(names)) < len(names):
        raise UsageError(
            f"templates {', '.join(names) or '(none)'} were asked for: name each wanted one once, "
            f"out of {', '.join(map(str, known))}."
        )
    return frame.iloc[[known.index(name) for name in names]].reset_index(drop=True)


def _joins(text: str, field: re.Match[str], *, unspaced: bool) -> bool:
    before, after = text[: field.start()], text[field.end() :]
    if after and unicodedata.category(after[0])[0] == "M":  # a mark would change the word
        return True
    left = next((sign for sign in reversed(before) if unicodedata.category(sign)[0] != "M"), "")
    for sign in (left, after[:1]):
        if re.match(r"\w", sign) and not (unspaced and is_unspaced(sign)):
            return True
    nearest = _letters(before)[-1:] + _letters(after)[:1]
    may_touch = unspaced and nearest != "" and all(map(is_unspaced, nearest))
    return after.startswith("{") and not may_touch


def _check_joined_words(text: str, first: str, second: str) -> None:
    """Refuse two words side by side if the scripts of both put spaces between words."""
    touching = (_letters(first)[-1:], _letters(second)[:1])
    if not any(map(is_unspaced, touching)):
        raise TableError(
            f"the template {text!r} joins {first!r} and {second!r}, which need a space between "
            "them. Give templates in the language of the words."
        )


def _letters(text: str) -> str:
    return "".join(sign for sign in FIELD.sub("", text) if sign.isalpha())
