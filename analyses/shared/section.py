"""A part of the report as data: what a question's tables show, with figures and caveats.

Every question's ``section.py`` has ``describe(tables, settings) -> Section``; the report renders
them all in one way, and escapes every word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from analyses.shared.numbers import show

if TYPE_CHECKING:
    import pandas as pd


TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Shown:
    """A number as it is printed, its interval below it, and whether it stands out in bold."""

    value: str
    interval: str = ""
    clear: bool = False


Entry = str | Shown | None
"""A cell: words, a number, or nothing."""


@dataclass(frozen=True)
class ShownTable:
    """A table as it is printed.

    Parameters
    ----------
    title, note
        Its caption: what it shows in bold, how to read it after that.
    n_words
        How many of the first columns hold words; the others hold numbers.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    n_words: int = 1


Verdict = Literal["yes", "no", "undetermined"]


@dataclass(frozen=True)
class Mark:
    """One answer for the head of the page: the question in plain words, and the number behind it.

    Parameters
    ----------
    number
        Such as "percentile 54.2 (51.0 to 57.4); 50 is chance"; empty where there is none.
    """

    asks: str
    verdict: Verdict
    number: str = ""


@dataclass(frozen=True)
class HeadMap:
    """A number of every head, for a map that tells each of them.

    Parameters
    ----------
    rows
        ``layer, head, value`` and what is said of the head.
    middle
        The number that means nothing: colours differ on its two sides. None: from 0 on.
    """

    title: str
    rows: tuple[tuple[int, int, float, str], ...]
    middle: float | None = None


@dataclass(frozen=True)
class Scatter:
    """Named points: pairs of words, say.

    Parameters
    ----------
    points
        ``x, y`` and the name of each.
    """

    title: str
    x_label: str
    y_label: str
    points: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Parameters
    ----------
    answer
        Sentences composed by rule from the numbers, for any numbers.
    explanation
        What was measured, and how to read it.
    caveats
        What the figures do not say.
    captions
        Figure -> its caption and its alternative text, in the order of the report.
    verdict, rule
        One sentence that judges what was claimed, and by what rule it judges; empty for most
        questions.
    marks
        The answers as they are at the head of the page; most questions have none.
    maps, scatters
        What can be asked head by head, or pair by pair, on the page itself.
    """

    title: str
    explanation: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    captions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    tables: tuple[ShownTable, ...] = ()
    verdict: str = ""
    rule: str = ""
    marks: tuple[Mark, ...] = ()
    maps: tuple[HeadMap, ...] = ()
    scatters: tuple[Scatter, ...] = ()


def map_heads(
    heads: pd.DataFrame,
    title: str,
    *,
    head: str = "kv_head",
    middle: float | None = None,
    decimals: int = 2,
) -> HeadMap:
    """Make a map of a table ``layer, value`` (``ci_low, ci_high``) with a row per head.

    Parameters
    ----------
    head
        The column that names the head: ``kv_head``, or ``head`` for query heads.
    """
    rows = []
    for row in heads.to_dict("records"):
        numbers = (float(row.get(name, math.nan)) for name in ("ci_low", "ci_high"))
        low, high = numbers
        told = f"layer {row['layer']}, head {row[head]}: {show(float(row['value']), decimals)}"
        if not (math.isnan(low) or math.isnan(high)):
            told += f" ({show(low, decimals)} to {show(high, decimals)})"
        rows.append((int(row["layer"]), int(row[head]), float(row["value"]), told))
    return HeadMap(title, tuple(rows), middle)


def show_number(
    value: float,
    low: float = math.nan,
    high: float = math.nan,
    *,
    decimals: int = 2,
    signed: bool = False,
) -> Entry:
    """Print a number with its interval; None for NaN.

    A `signed` number is one whose interval should exclude 0 to mean anything: it is bold then.
    """
    if math.isnan(value):
        return None
    if math.isnan(low) or math.isnan(high):
        return Shown(show(value, decimals))
    interval = f"{show(low, decimals)} to {show(high, decimals)}"
    return Shown(show(value, decimals), interval, clear=signed and not low <= 0 <= high)


def print_table(title: str, table: pd.DataFrame) -> ShownTable:
    """Print any table: words first, then numbers, ``value`` with its interval if it has one."""
    from pandas.api.types import is_numeric_dtype

    ends = ("ci_low", "ci_high")
    with_ends = {"value", *ends} <= {*map(str, table)}
    names = [str(name) for name in table if not (with_ends and name in ends)]
    words = [name for name in names if not is_numeric_dtype(table[name])]
    numbers = [name for name in names if name not in words]

    def show_cell(row: Mapping[Any, Any], name: str) -> Entry:
        interval = [float(row[end]) for end in ends] if with_ends and name == "value" else []
        decimals = 0 if float(row[name]).is_integer() and not interval else 3
        return show_number(float(row[name]), *interval, decimals=decimals)

    rows = (
        (*(str(row[name]) for name in words), *(show_cell(row, name) for name in numbers))
        for row in table.to_dict("records")
    )
    return ShownTable(title, "", (*words, *numbers), tuple(rows), n_words=len(words))


def show_first(rows: pd.DataFrame, *, decimals: int = 2, signed: bool = False) -> Entry:
    """Print ``value`` of the first row with its interval, as `show_number`; None of no rows."""
    if rows.empty:
        return None
    row = rows.iloc[0]
    numbers = (float(row[name]) for name in ("value", "ci_low", "ci_high"))
    return show_number(*numbers, decimals=decimals, signed=signed)


def count_heads(heads: pd.DataFrame) -> str:
    """Say how many layers and kv heads a table of heads has."""
    layers, kv_heads = (int(heads[name].max()) + 1 for name in ("layer", "kv_head"))
    return f"{layers} layers {TIMES} {kv_heads} kv heads"


def describe_intervals(settings: Mapping[str, Any]) -> str:
    """Say what was resampled, and how often."""
    resamples = settings.get("resamples")
    times = f"{resamples} resamples of" if resamples else "resampling"
    return f"95 % intervals from {times} the words (pairs that share a word are not independent)"
