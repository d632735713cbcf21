"""Carrier sentences for single words, such as "They talked about the {word} [for] a while".

The word in brackets, the one that follows, is what attends: the first to see the word as context,
as a head noun is to its modifier. It must be there so that every occurrence has a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from probes.errors import TableError, UsageError
from probes.words.tables import Problem, find_repeated, load_table, raise_problems
from probes.words.templates import Sentence, fill_template

SHIPPED = ("templates_words",)
PARTS_OF_SPEECH = ("n", "v", "a")
"""Noun, verb, adjective."""

UNKNOWN = "x"
"""Words of any kind, or of an unknown one."""

ATTENDING = re.compile(r"\{word\} \[([^\[\]{}\s]+)\]")


def load_word_templates(
    source: str | Path | pd.DataFrame = "templates_words", *, count: int | None = None
) -> pd.DataFrame:
    """Load a table of carrier sentences for single words and check it.

    Parameters
    ----------
    source
        "templates_words", a path or a frame, with the columns ``template_id``, ``pos`` (n, v, a,
        or x for words of any kind) and ``text``.
    count
        How many for each part of speech, from the table's top; all parts must have as many.

    Raises
    ------
    TableError
        If the table cannot be read or breaks the schema: one ``{word}``, followed by a space and
        the attending word in brackets, with no other field or bracket; no ``template_id`` twice;
        as many templates for every part of speech.
    UsageError
        If `count` is below 1 or above what a part of speech has.
    """
    name, frame = load_table(source, SHIPPED, ("template_id", "pos", "text"))
    repeated = find_repeated("template_id", frame["template_id"])
    raise_problems(name, [*repeated, *_find_problems(frame)])
    sizes = frame.groupby("pos").size()
    if count is not None:
        if not 1 <= count <= sizes.min():
            raise UsageError(
                f"count is {count}: {name} has {sizes.min()} templates for some part of speech; "
                "choose 1 or more, up to that."
            )
        frame = frame.groupby("pos", sort=False).head(count).reset_index(drop=True)
    elif sizes.min() < sizes.max():
        told = ", ".join(f"{size} of {pos}" for pos, size in sizes.items())
        raise TableError(f"{name} has {told}: give every part of speech as many templates.")
    return frame


def fill_word_template(text: str, word: str, template_id: str = "") -> Sentence:
    """Put a word into a template for single words.

    Returns
    -------
    A sentence whose ``modifier`` is the word and whose ``head`` is the attending word, so that all
    that is done with compounds can be done with it.

    Raises
    ------
    TableError
        If the template breaks the schema (see `load_word_templates`).
    """
    if fault := find_word_template_fault(text):
        raise TableError(f"the template {text!r} {fault}.")
    attending = ATTENDING.findall(text)[0]
    return fill_template(ATTENDING.sub("{modifier} {head}", text), word, attending, template_id)


def find_word_template_fault(text: str) -> str | None:
    """Return why `text` is no template for single words, or None if it is one."""
    if len(ATTENDING.findall(text)) != 1:
        return "has not exactly one {word} followed by the attending word, as in {word} [for]"
    if set("{}[]") & set(ATTENDING.sub("", text)):
        return "has another field or bracket than {word} and the attending word's"
    return None


def _find_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    for row, (pos, text) in enumerate(zip(frame["pos"], frame["text"], strict=True), start=2):
        if pos not in (*PARTS_OF_SPEECH, UNKNOWN):
            yield Problem(row, "pos", pos, f"is none of {', '.join((*PARTS_OF_SPEECH, UNKNOWN))}")
        if fault := find_word_template_fault(str(text)):
            yield Problem(row, "text", text, fault)
