"""What the report says of a running text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import Quantity, show, tell
from analyses.shared.section import Entry, Section, ShownTable, show_first
from analyses.shared.tables import select
from probes.similarity.catalogue import TRAINED, find_condition, name_difference

SHOWN = {
    "tieability": "held-out tieability",
    "linear_cka": "linear CKA",
    "canonical_correlation": "canonical correlations",
}
TOLD = {
    "mismatched_heads": "the keys of another head",
    "random_slice": "a random slice of x as wide as a key",
}


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.running_text.compute`."""
    summary, text = tables["summary"], tables["text"].iloc[0]
    nulls = [null for null in TOLD if (summary["condition"] == null).any()]
    labels = [find_condition(null).label for null in nulls]
    conditions = (TRAINED, *nulls, *map(name_difference, nulls))
    rows: list[tuple[Entry, ...]] = []
    for space in ("functional", "centred"):
        for place, (measure, shown) in enumerate(SHOWN.items()):
            cells = [
                show_first(
                    select(summary, space=space, measure=measure, condition=condition),
                    signed=" - " in condition,
                )
                for condition in conditions
            ]
            rows.append(("" if place else space, shown, *cells))
    return Section(
        title="Every token of a running text",
        explanation=(
            f"This asks over all {int(text['tokens']):,} tokens of a text, without word pairs, "
            "templates or any choice of words, how far a head's values follow from its keys. "
            f"Tieability is held out by {int(text['folds'])} stretches of the text. CKA and "
            "canonical correlations (mean square) are of the whole text, and not held out.",
        ),
        answer=tuple(_answer(summary, null) for null in nulls) or (_answer_alone(summary),),
        caveats=(
            "Neighbouring tokens are alike, and a frequent token counts each time it occurs. A "
            "linear map may therefore memorise the most frequent words. Folds are stretches of the "
            "text, not words, so some of this tieability may be of words that the map was fitted "
            "on. The tieability of the word pairs is held out by word.",
            "A random slice of x can predict values well because values are a linear map of x.",
        ),
        captions={
            "layers": (
                "Keys and values over all tokens of a running text, by layer, functional space: a "
                "dot per kv head, lines the means over the heads of a layer; dashed: keys beside "
                "values of another head; dotted: a random slice of x in the place of the keys.",
                "Dots by layer of tieability, linear CKA and canonical correlations of every head, "
                "with lines for trained heads, mismatched heads and random slices.",
            )
        },
        tables=(
            ShownTable(
                "Keys and values of a running text, means over heads.",
                "Intervals: 95 %, by leaving out one stretch of the text at a time. Bold "
                "differences exclude 0.",
                (
                    "space",
                    "measure",
                    *(TRAINED, *labels),
                    *(f"trained, less {label}" for label in labels),
                ),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def _answer(summary: pd.DataFrame, null: str) -> str:
    """Say by rule whether a head's own keys explain more of its values than a null does."""
    gap = _find(summary, name_difference(null))
    versus = {1: "more than", -1: "less than", 0: "neither clearly more nor less than"}[gap.sign]
    return (
        f"On running text a linear map of a head's own keys explains {_state(summary, TRAINED)} of "
        f"the variance of its values, {versus} {TOLD[null]} ({_state(summary, null)}; difference "
        f"{tell(gap, 3)})."
    )


def _answer_alone(summary: pd.DataFrame) -> str:
    return (
        f"On running text a linear map of a head's keys explains {_state(summary, TRAINED)} of the "
        "variance of its values. There is nothing to compare this with: a layer has one kv head, "
        "and the moments hold no x."
    )


def _state(summary: pd.DataFrame, condition: str) -> str:
    return show(_find(summary, condition).value)


def _find(summary: pd.DataFrame, condition: str) -> Quantity:
    rows = select(summary, space="functional", measure="tieability", condition=condition)
    return Quantity.of(rows.iloc[0])
