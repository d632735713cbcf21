"""Numbers as they are told: with an interval, a true minus sign, in lists of words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

CLEAR = 0.05
"""Corrected p below which a single head counts as other than 0, in words and figures."""


@dataclass(frozen=True)
class Quantity:
    """A number of a table and its 95 % interval, NaN where the table has none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, row: pd.Series[Any]) -> Quantity:
        """Read ``value``, ``ci_low`` and ``ci_high``; without the last two there is no interval."""
        low, high = (float(row.get(name, math.nan)) for name in ("ci_low", "ci_high"))
        return cls(float(row["value"]), low, high)

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval excludes 0, 0 where it does not or is missing."""
        if not self.bounded or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1

    def lies_within(self, margin: float) -> bool:
        """Whether the whole 95 % interval lies inside +-margin.

        A difference of which that is true is none (two one-sided tests, at 2.5 % each; see
        docs/inference.md); one whose interval merely holds 0 may be anything.
        """
        return self.bounded and -margin < self.low and self.high < margin


def show(number: float, decimals: int = 2) -> str:
    """Write a number with a true minus sign, and never as minus nothing."""
    text = f"{number:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def show_interval(quantity: Quantity, decimals: int = 2) -> str:
    """Write the two ends of an interval; nothing where there is none."""
    if not quantity.bounded:
        return ""
    return f"{show(quantity.low, decimals)} to {show(quantity.high, decimals)}"


def tell(quantity: Quantity, decimals: int = 2) -> str:
    """Write a number, and its interval after a comma where it has one."""
    interval = show_interval(quantity, decimals)
    number = show(quantity.value, decimals)
    return f"{number}, {interval}" if interval else number


def tell_groups(sentences: Mapping[int, str], groups: Mapping[int, list[str]]) -> list[str]:
    """Fill a sentence with ``{}`` for each sign of a difference that something has."""
    return [sentences[sign].format(join(told)) for sign, told in groups.items() if told]


def join(parts: list[str]) -> str:
    """Join with commas and an `and`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
