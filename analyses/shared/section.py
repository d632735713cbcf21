"""A part of the report as data: what a question's tables show, with figures and caveats.

Every question's ``section.py`` has ``describe(tables, settings) -> Section``; the report renders
them all in one way, and escapes every word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Parameters
    ----------
    answer
        Sentences composed by rule from the numbers, whatever they say.
    explanation
        What was measured, and how to read it.
    caveats
        What the figures do not say.
    captions
        Figure -> its caption and its alternative text, in the order of the report.
    verdict, rule
        One sentence that judges what was claimed, and by what rule it judges; empty for most
        questions.
    """

    title: str
    explanation: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    captions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    tables: tuple[ShownTable, ...] = ()
    verdict: str = ""
    rule: str = ""


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
