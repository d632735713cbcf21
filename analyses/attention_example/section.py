"""What the report says of one example: its figures, and where it is among all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import show
from analyses.shared.section import TIMES, Entry, Section, ShownTable, show_number
from analyses.shared.tables import select
from probes.similarity.catalogue import WORD_PAIRS

_WORDS = ("measure", "word", "space", "population")
_DECIMALS = {"value": 3, "expected": 3, "percentile": 1, "others": 0}


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the example of `analyses.attention_example.compute` that the tables are about."""
    summary = tables["summary"]
    head, (first, second) = summary["head_word"].iloc[0], summary["word"].dropna().unique()
    rows = summary.to_dict("records")
    return Section(
        title=f"The founding example: {head}, {first} and {second}",
        answer=(_answer(summary, head, f"{first} and {second}"),),
        captions=_caption(tables),
        tables=(
            ShownTable(
                "The example among all others.",
                "“expected” is the mean of the others, “percentile” the share of them below the "
                "example, “pattern share” the share of heads with keys above the middle and "
                "values below. One example has no interval.",
                (*_WORDS, *_DECIMALS),
                tuple(_print_row(row) for row in rows),
                n_words=len(_WORDS),
            ),
        ),
    )


def _answer(summary: pd.DataFrame, head: str, words: str) -> str:
    """Say where the example is, and in how many heads it does what the claim wants."""
    rows = select(summary, space="functional", population=WORD_PAIRS).set_index("measure")
    keys, values = (show(rows["value"][f"{part}_percentile"], 0) for part in ("key", "value"))
    own, other = (show(100 * rows[name]["pattern_share"], 0) for name in ("value", "expected"))
    return (
        f"Before {head}, the keys of {words} are at percentile {keys} of the word pairs, and "
        f"their values at percentile {values} (means over heads; 50 is the middle). Keys above the "
        f"middle and values below it: in {own} % of the heads for this pair, in {other} % for the "
        "other pairs."
    )


def _print_row(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    """Print a row of the summary, what it is about before its numbers."""
    words = ["" if pd.isna(row[name]) else str(row[name]).replace("_", " ") for name in _WORDS]
    is_percentile = str(row["measure"]).endswith("_percentile")
    numbers = [
        show_number(float(row[name]), decimals=min(decimals, 1) if is_percentile else decimals)
        for name, decimals in _DECIMALS.items()
    ]
    return (*words, *numbers)


def _caption(tables: dict[str, pd.DataFrame]) -> dict[str, tuple[str, str]]:
    def count(table: str, head: str) -> str:
        if table not in tables:
            return ""
        layers, heads = (float(tables[table][name].max()) + 1 for name in ("layer", head))
        return f" ({show(layers, 0)} layers {TIMES} {show(heads, 0)} heads)"

    return {
        "attention": (
            "How much the head word attends to each of the two words, in every query head"
            f"{count('attention', 'head')}, means over templates. Dashed: the mean of all other "
            "compounds at the same place. One example: nothing is resampled.",
            "Heat maps over layers and query heads of the attention weight on each of the two "
            "words, beside a line plot of the means over heads.",
        ),
        "similarity": (
            "How alike the keys, and the values, of the two words are among the word pairs, as a "
            f"percentile in each kv head{count('similarity', 'kv_head')}, functional space. The "
            "claim wants heads in the shaded quadrant; how many heads other pairs have there is "
            "its null. One example: nothing is resampled.",
            "Heat maps over layers and kv heads of the percentile of key and of value similarity, "
            "beside a scatter of the two with a quadrant shaded.",
        ),
    }
