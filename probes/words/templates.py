"""Carrier sentences: a template, a modifier and a head make a sentence with known spans."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from probes.errors import TableError, UsageError
from probes.words.tables import Problem, find_repeated, load_table, raise_problems

SHIPPED = ("templates", "templates_zh")
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

# Written with a consonant, spoken with a vowel; written with a vowel, spoken with a consonant.
AN = re.compile(r"hour|honest|honou?r|heir|[fhlmnrsx](?:-|$)")
A = re.compile(
    r"uni(?:c|f|l(?!l)|on|p(?!e)|q|s[eo]|t(?!a[lr]ic)|v)|unanim|u[bkrstv][aeiou]|ufo|ugand|ukr|"
    r"eu|ewe|once|one(?:$|[-s\s])|ouija|u(?:-|$)"
)


@dataclass(frozen=True)
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
    if names is not None and count is not None:
        raise UsageError("names and count were both given: choose templates by one of the two.")
    name, frame = load_table(source, SHIPPED, ("template_id", "text"))
    for column in ("position", "note"):
        if column not in frame.columns:
            frame[column] = ""
    repeated = find_repeated("template_id", frame["template_id"])
    raise_problems(name, [*repeated, *_find_problems(frame)])
    if names is not None:
        return _pick(frame, names)
    if count is not None and not 1 <= count <= len(frame):
        raise UsageError(f"count is {count}: {name} has {len(frame)} templates; choose 1 or more.")
    return frame.head(count) if count is not None else frame


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
    _check_joined_words(text, modifier, head)
    words = {"a": indefinite_article(modifier), "modifier": modifier, "head": head}
    spans = {}
    filled = ""
    end = 0
    for field in FIELD.finditer(text):
        filled += text[end : field.start()]
        word = words[field[1]] if filled.strip() else _capitalise(words[field[1]])
        spans[field[1]] = (len(filled), len(filled) + len(word))
        filled += word
        end = field.end()
    filled += text[end:]
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
    fields = FIELD.findall(text)
    for field in ("modifier", "head"):
        if fields.count(field) != 1:
            return f"has {fields.count(field)} {{{field}}}, not exactly one"
    if unknown := [field for field in fields if field not in ("a", "modifier", "head")]:
        return f"has the unknown field {{{unknown[0]}}}: {{a}}, {{modifier}}, {{head}} are known"
    if "{" in FIELD.sub("", text) or "}" in FIELD.sub("", text):
        return "has a brace that belongs to no field"
    if "a" in fields and (fields.count("a") > 1 or "{a} {modifier}" not in text):
        return "has {a} elsewhere than once, directly before {modifier}"
    if any(_joins(text, field) for field in FIELD.finditer(text)):
        return "joins a field to a letter or to another field"
    return None


def is_unspaced(letter: str) -> bool:
    """Return whether `letter` is of a script that puts no space between words.

    >>> [is_unspaced(letter) for letter in ("网", "の", "ไ", "a", "한", "3", "")]
    [True, True, True, False, False, False, False]
    """
    return letter.isalpha() and unicodedata.name(letter, "").startswith(UNSPACED)


def _joins(text: str, field: re.Match[str]) -> bool:
    """Return whether what touches a field of `text` would run into the word put there.

    A letter may touch a field if its script puts no space between words; another field may if the
    letters nearest to the two are of such scripts. A template with ``{a}`` is English: neither may.
    """
    before, after = text[: field.start()], text[field.end() :]
    if after and unicodedata.category(after[0])[0] == "M":  # a mark would change the word
        return True
    unspaced = "{a}" not in text
    left = next((sign for sign in reversed(before) if unicodedata.category(sign)[0] != "M"), "")
    for sign in (left, after[:1]):
        if re.match(r"\w", sign) and not (unspaced and is_unspaced(sign)):
            return True
    nearest = _letters(before)[-1:] + _letters(after)[:1]
    may_touch = unspaced and nearest != "" and all(map(is_unspaced, nearest))
    return after.startswith("{") and not may_touch


def _check_joined_words(text: str, modifier: str, head: str) -> None:
    """Refuse two words side by side if the scripts of both put spaces between words."""
    for first, second, joined in (
        (modifier, head, "{modifier}{head}"),
        (head, modifier, "{head}{modifier}"),
    ):
        touching = (_letters(first)[-1:], _letters(second)[:1])
        if joined in text and not any(map(is_unspaced, touching)):
            raise TableError(
                f"the template {text!r} joins {first!r} and {second!r}, which need a space between "
                "them. Give templates in the language of the words."
            )


def _letters(text: str) -> str:
    return "".join(sign for sign in FIELD.sub("", text) if sign.isalpha())


def _find_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    columns = (frame["text"], frame["position"])
    for row, (text, position) in enumerate(zip(*columns, strict=True), start=2):
        if fault := find_template_fault(str(text)):
            yield Problem(row, "text", text, fault)
        if position not in ("", *POSITIONS):
            yield Problem(row, "position", position, f"is none of {', '.join(POSITIONS)}")


def _pick(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    known = list(frame["template_id"])
    wrong = [name for name in names if name not in known]
    if wrong or not names or len(set(names)) < len(names):
        raise UsageError(
            f"templates {', '.join(names) or '(none)'} were asked for: name each wanted one once, "
            f"out of {', '.join(map(str, known))}."
        )
    return frame.iloc[[known.index(name) for name in names]].reset_index(drop=True)


def _capitalise(word: str) -> str:
    return word[:1].upper() + word[1:]
