"""What the report says of the linear probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import join, show
from analyses.shared.section import Entry, Section, ShownTable, show_first, show_number
from analyses.shared.tables import select

UNTRAINED = {"untrained k": "untrained keys", "untrained v": "untrained values"}
EFFORTS = (
    *(("k", "selectivity"), ("v", "selectivity")),
    *(("k", "compression"), ("v", "compression"), ("slice", "compression")),
    *(("k", "refit_sd"), ("v", "refit_sd"), ("v - k", "refit_sd")),
)


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe what keys know that values do not, and the reverse."""
    summary = tables["summary"]
    rows: list[tuple[Entry, ...]] = []
    efforts: list[tuple[Entry, ...]] = []
    untrained = [what for what in UNTRAINED if what in set(summary["what"])]
    for name in summary["property"].unique():
        own = select(summary, property=str(name))
        keys = select(own, what="k").iloc[0]
        cells = [
            show_first(select(own, what=what), decimals=3, signed=" - " in what)
            for what in ("k", "v", "v - k", "slice")
        ]
        cells += [_show(own, what, "value") for what in untrained]
        beside = [show_number(float(keys[c]), decimals=3) for c in ("majority", "control")]
        score = "R²" if keys["score"] == "r2" else str(keys["score"])
        rows.append((str(name), score, *cells, *beside))
        efforts.append((str(name), *(_show(own, what, column) for what, column in EFFORTS)))
    return Section(
        anchor="probing",
        title="Linear probes: what keys know that values do not, and the reverse",
        explanation=(
            "One linear probe a head, property and input, all of one width: the keys, the values, "
            "and as many random directions of x. Folds are split by word, so nothing is scored on "
            "a word that was fitted. The control task gives every word a random label: what a "
            "probe scores there it has learned by heart.",
            *(
                (
                    "The untrained model is the same architecture as its code initialises it, "
                    "reading the same sentences: what it knows needs no training.",
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
                "Heat maps over layers and kv heads, one a property, of the value score less the "
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
                    *("random slice of x", *(UNTRAINED[what] for what in untrained)),
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


def _show(own: pd.DataFrame, what: str, column: str) -> Entry:
    """Print a column of one property's row; None where it has none."""
    rows = select(own, what=what)
    decimals = 4 if column == "refit_sd" else 3
    return show_number(float(rows[column].iloc[0]), decimals=decimals) if len(rows) else None


def _answer(summary: pd.DataFrame) -> list[str]:
    """Sort the properties by who knows more, and say what a random slice of x knows."""
    groups: dict[int, list[str]] = {-1: [], 1: [], 0: []}
    beaten = []
    for name in summary["property"].unique():
        own = select(summary, property=str(name))
        gap = select(own, what="v - k").iloc[0]
        sign = 0 if gap["ci_low"] <= 0 <= gap["ci_high"] else (1 if gap["value"] > 0 else -1)
        values = (float(gap[column]) for column in ("value", "ci_low", "ci_high"))
        told = "{}, {} to {}".format(*(show(value, 3) for value in values))
        groups[sign].append(f"{name} ({told})")
        sides = [float(select(own, what=what)["value"].iloc[0]) for what in ("k", "v", "slice")]
        if sides[2] > max(sides[:2]):
            beaten.append(str(name))
    words = {
        -1: "Keys know more of {}",
        1: "Values know more of {}",
        0: "The two cannot be told apart in {}",
    }
    sentences = [f"{words[sign].format(join(names))}." for sign, names in groups.items() if names]
    sentences[0] = sentences[0].replace(" (", " (value score less key score ", 1)
    if beaten:
        sentences.append(
            f"A random slice of x, as wide as a key, knows more than either of {join(beaten)}: "
            "what is there to know was not made by W_K or W_V."
        )
    return sentences
