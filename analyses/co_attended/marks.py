"""The four answers as they are at the head of the page, and maps of the heads behind them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analyses.shared.numbers import Quantity, show, show_interval
from analyses.shared.section import HeadMap, Mark, map_heads
from analyses.shared.tables import select

MEASURES = {
    "keys alike": ("Percentile of the keys: {}; 50 is chance", "key_percentile"),
    "values less alike": ("Keys less values, percentile points: {}", "difference"),
    "values dissimilar": ("Percentile of the values: {}; 50 is chance", "value_percentile"),
}
"""Answer -> the number that is beside it."""

BY_ITSELF = "trained"

SHOWN = {
    "key_percentile": ("Keys: percentile of co-attended pairs", 50.0),
    "value_percentile": ("Values: percentile of co-attended pairs", 50.0),
    "difference": ("Keys less values, percentile points", 0.0),
}


def mark_answers(tables: dict[str, pd.DataFrame]) -> Iterator[Mark]:
    """Yield the four answers of the main source, each with its number and interval."""
    answers, summary = tables["answers"], tables["summary"]
    main = str(answers["source"].iloc[0])
    for row in select(answers, source=main).to_dict("records"):
        told = [str(row["reason"])] if row["reason"] else []
        if row["name"] in MEASURES:
            text, measure = MEASURES[row["name"]]
            told.insert(0, text.format(_tell(summary, main, measure, BY_ITSELF)))
        if row["name"] == "values dissimilar":
            own, matched = (
                _tell(summary, main, "quadrant", name, 3) for name in (BY_ITSELF, "matched_pairs")
            )
            told.insert(
                1, f"share with keys above and values below the median: {own}, by chance {matched}"
            )
        yield Mark(str(row["question"]), row["verdict"], "; ".join(filter(None, told)))


def find_mean(
    summary: pd.DataFrame, source: str, measure: str, condition: str = BY_ITSELF
) -> Quantity | None:
    """Return a mean over heads, each counted alike; None where it was not measured."""
    rows = select(summary, source=source, measure=measure, condition=condition, weighting="plain")
    return None if rows.empty else Quantity.of(rows.iloc[0])


def _tell(
    summary: pd.DataFrame, source: str, measure: str, condition: str, decimals: int = 1
) -> str:
    """Tell a number and its interval; nothing where it was not measured."""
    told = find_mean(summary, source, measure, condition)
    if told is None:
        return "not measured"
    return f"{show(told.value, decimals)} ({show_interval(told, decimals)})"


def map_measures(heads: pd.DataFrame) -> Iterator[HeadMap]:
    """Yield a map of every measure of single query heads, in the main source."""
    main = str(heads["source"].iloc[0])
    for measure, (title, middle) in SHOWN.items():
        rows = select(heads, source=main, measure=measure)
        if len(rows):
            yield map_heads(rows, f"{title} ({main})", head="head", middle=middle, decimals=1)
