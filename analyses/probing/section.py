"""What the report says of the linear probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.probing.tables import GAP, KEYS, SLICE, UNTRAINED, VALUES
from analyses.shared.numbers import Quantity, join, tell, tell_groups
from analyses.shared.section import Entry, Section, ShownTable, show_first, show_number
from analyses.shared.tables import select

EFFORTS = (
    *((KEYS, "selectivity"), (VALUES, "selectivity")),
    *((KEYS, "compression"), (VALUES, "compression"), (SLICE, "compression")),
    *((KEYS, "refit_sd"), (VALUES, "refit_sd"), (GAP, "refit_sd")),
)
"""Part and column of each column of the second table."""


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe what keys know that values do not, and the reverse."""
    summary = tables["summary"]
    rows: list[tuple[Entry, ...]] = []
    efforts: list[tuple[Entry, ...]] = []
    untrained = [part for part in UNTRAINED if part in set(summary["part"])]
    for name in summary["property"].unique():
        own = select(summary, property=str(name))
        keys = select(own, part=KEYS).iloc[0]
        cells = [
            show_first(select(own, part=part), decimals=3, signed=part == GAP)
            for part in (KEYS, VALUES, GAP, SLICE)
        ]
        cells += [_show(own, part, "value") for part in untrained]
        beside = [show_number(float(keys[c]), decimals=3) for c in ("majority", "control")]
        score = "R²" if keys["score"] == "r2" else str(keys["score"])
        rows.append((str(name), score, *cells, *beside))
        efforts.append((str(name), *(_show(own, part, column) for part, column in EFFORTS)))
    return Section(
        title="Linear probes: what keys know that values do not, and the reverse",
        explanation=(
            "There is one linear probe for each head, property and input. The inputs have one "
            "width: the keys, the values, and as many random directions of x. Folds are split by "
            "word, so no probe is scored on a word that it was fitted on. The control task gives "
            "every word a random label. What a probe scores there, it has memorised.",
            *(
                (
                    "The untrained model is the same architecture as its code initialises it, and "
                    "reads the same sentences. What it knows needs no training.",
                )
                if untrained
                else ()
            ),
        ),
        answer=tuple(_answer(summary)),
        captions={
            "headline": (
                "What keys and values know, means over all heads, with 95 % intervals from "
                "resampled words, beside an equally wide random slice of x and the control task.",
                "Scores of keys, values and a random slice of x for every property, and the "
                "difference of values and keys, with intervals.",
            ),
            "maps": (
                "Score of values less that of keys in every head: red, values know more; blue, "
                "keys do.",
                "Heat maps over layers and kv heads, one per property, of the value score less the "
                "key score.",
            ),
            "learning": (
                "Accuracy on the words that come next, by how many words the probe was trained "
                "on: the online code whose length the tables hold in bits.",
                "Learning curves of keys, values and a random slice of x for every property.",
            ),
        },
        tables=(
            ShownTable(
                "Scores of linear probes, means over heads.",
                "Intervals: 95 %, words resampled; the spread over refits is in the next table. "
                "Bold: the difference excludes 0.",
                (
                    *("property", "score", "keys", "values", "values, less keys"),
                    *("random slice of x", *untrained),
                    *("majority", "control (keys)"),
                ),
                tuple(rows),
                n_words=2,
            ),
            ShownTable(
                "Selectivity, description length and the spread over refits, means over heads.",
                "Selectivity: the score less that of the control task. Compression: how many times "
                "shorter the labels' online code is than without a probe; 1 if nothing is learned. "
                "Spread over refits: standard deviation of the mean over heads with other folds, "
                "which the intervals do not hold.",
                (
                    *("property", "selectivity of keys", "selectivity of values"),
                    *("compression by keys", "compression by values", "compression by slice"),
                    *("spread of keys", "spread of values", "spread of values, less keys"),
                ),
                tuple(efforts),
            ),
        ),
    )


def _show(own: pd.DataFrame, part: str, column: str) -> Entry:
    """Print a column of one property's row; None where it has none."""
    rows = select(own, part=part)
    decimals = 4 if column == "refit_sd" else 3
    return show_number(float(rows[column].iloc[0]), decimals=decimals) if len(rows) else None


def _answer(summary: pd.DataFrame) -> list[str]:
    """Sort the properties by who knows more, and say what a random slice of x knows."""
    groups: dict[int, list[str]] = {-1: [], 1: [], 0: []}
    beaten = []
    for name in summary["property"].unique():
        own = select(summary, property=str(name))
        gap = Quantity.of(select(own, part=GAP).iloc[0])
        groups[gap.sign].append(f"{name} ({tell(gap, 3)})")
        keys, values, blind = (
            float(select(own, part=part)["value"].iloc[0]) for part in (KEYS, VALUES, SLICE)
        )
        if blind > max(keys, values):
            beaten.append(str(name))
    words = {
        -1: "Keys know more of {}.",
        1: "Values know more of {}.",
        0: "Neither keys nor values clearly know more of {}.",
    }
    sentences = tell_groups(words, groups)
    sentences[0] += " Numbers: the score of values minus that of keys, with 95 % intervals."
    if beaten:
        sentences.append(
            f"A random slice of x, as wide as a key, knows more of {join(beaten)} than keys or "
            "values do. What can be read there was therefore not made by W_K or W_V."
        )
    return sentences
