"""Carrier sentences in which a head noun follows two modifiers: "the neural or the social network".

The head is the query: it attends to both modifiers in the same sentence. Each pair of modifiers is
put into a template in both orders, so that each word is in each place equally often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from probes.errors import TableError
from probes.words.fields import (
    FIELD,
    Span,
    fill_fields,
    find_field_fault,
    joins_a_word,
    load_carriers,
)

SHIPPED = ("templates_coordination", "templates_coordination_zh")
FIELDS = ("first", "second", "head")
ADDED = ("position", "joined", "note")


@dataclass(frozen=True)
class Coordination:
    """A filled template; spans are (start, end) character offsets into `text`."""

    text: str
    first: str
    second: str
    head: str
    first_span: Span
    second_span: Span
    head_span: Span
    template_id: str

    def after(self, prefix: str) -> Coordination:
        """Return the sentence behind `prefix`, its spans shifted."""

        def shift(span: Span) -> Span:
            return (span[0] + len(prefix), span[1] + len(prefix))

        return replace(
            self,
            text=prefix + self.text,
            first_span=shift(self.first_span),
            second_span=shift(self.second_span),
            head_span=shift(self.head_span),
        )


def load_coordinations(
    source: str | Path | pd.DataFrame = "templates_coordination",
    *,
    names: Sequence[str] | None = None,
    count: int | None = None,
) -> pd.DataFrame:
    """Load a table of coordinations and check it.

    Parameters
    ----------
    source
        The name of a shipped table ("templates_coordination", "templates_coordination_zh"), a path
        or a frame, with the columns ``template_id`` and ``text``; ``position``, ``joined`` (the
        joining words) and ``note`` are added, empty, where absent.
    names
        The ``template_id`` of those wanted, in the order wanted.
    count
        How many, from the table's top; `names` and `count` exclude each other.

    Raises
    ------
    TableError
        If the table cannot be read or breaks the schema: one ``{first}``, one ``{second}`` and one
        ``{head}``, in this order, and no other field; fields apart from letters and from each
        other, except in scripts that put no space between words; no ``template_id`` twice.
    UsageError
        If a name is unknown, or `count` is below 1 or above the number of templates.
    """
    return load_carriers(
        source, SHIPPED, find_coordination_fault, added=ADDED, names=names, count=count
    )


def fill_coordination(
    text: str, first: str, second: str, head: str, template_id: str = ""
) -> Coordination:
    """Put two modifiers and their head into a template.

    Whatever begins the sentence gets a capital, so there ``text[slice(*span)]`` is the word with a
    capital, and the word elsewhere.

    Raises
    ------
    TableError
        If the template breaks the schema (see `load_coordinations`), or joins two words that need
        a space between them.
    """
    if fault := find_coordination_fault(text):
        raise TableError(f"the template {text!r} {fault}.")
    filled, spans = fill_fields(text, {"first": first, "second": second, "head": head})
    return Coordination(
        text=filled,
        first=first,
        second=second,
        head=head,
        first_span=spans["first"],
        second_span=spans["second"],
        head_span=spans["head"],
        template_id=template_id,
    )


def find_coordination_fault(text: str) -> str | None:
    """Return why `text` is no coordination, or None if it is one."""
    if fault := find_field_fault(text, FIELDS, FIELDS):
        return fault
    if tuple(FIELD.findall(text)) != FIELDS:
        return "has its fields in another order than {first}, {second}, {head}"
    if joins_a_word(text):
        return "joins a field to a letter or to another field"
    return None
