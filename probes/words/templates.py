"""Carrier sentences: a template, a modifier and a head make a sentence with known spans."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from probes.errors import TableError
from probes.words.fields import (
    FIELD,
    fill_fields,
    find_field_fault,
    joins_a_word,
    load_carriers,
)

SHIPPED = ("templates", "templates_zh")
FIELDS = ("a", "modifier", "head")

# Written with a consonant, spoken with a vowel; written with a vowel, spoken with a consonant.
AN = re.compile(r"hour|honest|honou?r|heir|[fhlmnrsx](?:-|$)")
A = re.compile(
    r"uni(?:c|f|l(?!l)|on|p(?!e)|q|s[eo]|t(?!a[lr]ic)|v)|unanim|u[bkrstv][aeiou]|ufo|ugand|ukr|"
    r"eu|ewe|once|one(?:$|[-s\s])|ouija|u(?:-|$)"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A filled template; spans are (start, end) character offsets into `text`."""

    text: str
    modifier: str
    head: str
    modifier_span: tuple[int, int]
    head_span: tuple[int, int]
    template_id: str

    def after(self, prefix: str) -> Sentence:
        """Return the sentence behind `prefix`, its spans shifted."""
        shift = len(prefix)
        spans = ((a + shift, b + shift) for a, b in (self.modifier_span, self.head_span))
        modifier_span, head_span = spans
        return replace(
            self, text=prefix + self.text, modifier_span=modifier_span, head_span=head_span
        )


def load_templates(
    source: str | Path | pd.DataFrame = "templates",
    *,
    names: Sequence[str] | None = None,
    count: int | None = None,
) -> pd.DataFrame:
    """Load a table of carrier sentences and check it.

    Parameters
    ----------
    source
        The name of a shipped table ("templates", "templates_zh"), a path or a frame, with the
        columns `template_id` and `text`; `position` and `note` are added, empty, where absent.
    names
        The `template_id` of those wanted, in the order wanted.
    count
        How many, from the table's top; `names` and `count` exclude each other.

    Raises
    ------
    TableError
        If the table cannot be read or breaks the schema: exactly one ``{modifier}`` and one
        ``{head}``, with ``{a}`` only directly before ``{modifier}``, and no other field; fields
        apart from letters and from each other, except in scripts that put no space between words.
    UsageError
        If a name is unknown, or `count` is below 1 or above the number of templates.
    """
    return load_carriers(
        source,
        SHIPPED,
        find_template_fault,
        added=("position", "note"),
        names=names,
        count=count,
    )


def choose_templates(source: str) -> pd.DataFrame:
    """Load the templates that a user names: a path, a shipped table, a number of templates, or ids.

    Numbers (``5``) and ids (``t00,t03``) are of "templates", or of the table named before a colon
    (``templates_zh:3``).

    Raises
    ------
    TableError, UsageError
        As `load_templates`.
    """
    if source in SHIPPED or Path(source).suffix:
        return load_templates(source)
    table, colon, chosen = source.partition(":")
    if not colon or table not in SHIPPED:
        table, chosen = "templates", source
    if chosen.isdecimal():
        return load_templates(table, count=int(chosen))
    return load_templates(table, names=chosen.split(","))


def fill_template(text: str, modifier: str, head: str, template_id: str = "") -> Sentence:
    """Put a modifier and a head into a template.

    ``{a}`` becomes the article that agrees with the modifier. Whatever begins the sentence gets a
    capital, so there ``text[slice(*span)]`` is the word with a capital, and the word elsewhere.

    Raises
    ------
    TableError
        If the template breaks the schema (see `load_templates`), or joins two words that need a
        space between them ("neural" and "network" in a Chinese template).
    """
    if fault := find_template_fault(text):
        raise TableError(f"the template {text!r} {fault}.")
    words = {"a": indefinite_article(modifier), "modifier": modifier, "head": head}
    filled, spans = fill_fields(text, words)
    return Sentence(filled, modifier, head, spans["modifier"], spans["head"], template_id)


def indefinite_article(word: str) -> str:
    """Return "a" or "an", by the sound that `word` begins with in American English.

    >>> [indefinite_article(word) for word in ("social", "artistic", "honest", "unique")]
    ['a', 'an', 'an', 'a']
    """
    plain = unicodedata.normalize("NFKD", word).casefold()
    if AN.match(plain):
        return "an"
    return "an" if plain[:1] in tuple("aeiou") and not A.match(plain) else "a"


def find_template_fault(text: str) -> str | None:
    """Return why `text` is no template, or None if it is one."""
    if fault := find_field_fault(text, FIELDS, ("modifier", "head")):
        return fault
    fields = FIELD.findall(text)
    if "a" in fields and (fields.count("a") > 1 or "{a} {modifier}" not in text):
        return "has {a} elsewhere than once, directly before {modifier}"
    if joins_a_word(text, unspaced="a" not in fields):  # with an article it is English
        return "joins a field to a letter or to another field"
    return None
