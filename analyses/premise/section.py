"""What the report says of the premise: whether it holds, and against which null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.premise.compute import CONDITIONS, DIFFERENCE, SPACES
from analyses.shared.numbers import Quantity, show, show_interval
from analyses.shared.section import Entry, Section, ShownTable, describe_intervals, show_first
from analyses.shared.tables import select
from probes.similarity.catalogue import TOPS, TRAINED


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe whether the premise holds, and against which null."""
    summary = tables["summary"]
    attended = f"{100 * settings['attended']:.0f} %"
    rows: list[tuple[Entry, ...]] = []
    for space in SPACES:
        for top in TOPS:
            cells = [
                show_first(_find(summary, space, top, condition), signed=condition == DIFFERENCE)
                for condition in (*CONDITIONS, DIFFERENCE)
            ]
            rows.append((space if top == TOPS[0] else "", f"top {top:.0%}", *cells))
    return Section(
        title="The premise",
        explanation=(
            "The usual answer begins with it: both words attract the query's attention, so their "
            "keys should be similar. The lift is the chance that the keys of a pair are among the "
            "most similar, given that the query gives both of its words high attention (each among "
            f"the highest {attended} of the weights of that query head), over the same chance for "
            "all pairs: 1 if attention says nothing about the similarity of keys. Mismatched: the "
            "keys of another head of the layer, which this query does not read.",
        ),
        answer=(_answer(summary),),
        captions={
            "lift": (
                "Premise lift by layer, functional space: a dot per kv head, lines the means over "
                "the heads of a layer; dashed at 1: attention says nothing about the similarity of "
                f"keys. Means over heads with {describe_intervals(settings)} are in the table.",
                "Dots by layer of the premise lift of every head, with lines for trained and "
                "mismatched heads.",
            )
        },
        tables=(
            ShownTable(
                "Premise lift, means over heads.",
                "Intervals: 95 %, words resampled. Bold differences exclude 0.",
                ("space", "keys", "trained", "mismatched", "trained, less mismatched"),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def _find(summary: pd.DataFrame, space: str, top: float, condition: str) -> pd.DataFrame:
    measure = f"premise_lift_{top:.0%}"
    return select(summary, space=space, measure=measure, condition=condition)


def _answer(summary: pd.DataFrame) -> str:
    """Say by rule whether the premise holds, and whether more than for another head's keys."""
    lift = Quantity.of(_find(summary, "functional", TOPS[1], TRAINED).iloc[0])
    if math.isnan(lift.value):
        return (
            "It cannot be said whether the premise holds: some head gives both words of no pair "
            "high attention."
        )
    if lift.low > 1:
        text = "The premise holds"
    elif lift.high < 1:
        text = "The opposite of the premise holds"
    else:
        text = "The premise cannot be distinguished from chance"
    bounds = f" ({show_interval(lift)})" if lift.bounded else ""
    text += (
        ": where the query attends to both words of a pair, their keys are among the 5 % most "
        f"similar {show(lift.value)} times as often{bounds} as among all pairs"
    )
    gaps = _find(summary, "functional", TOPS[1], DIFFERENCE)
    if gaps.empty:
        return f"{text}. A layer has a single kv head, so there is no mismatched one to compare."
    gap = Quantity.of(gaps.iloc[0])
    versus = {
        1: "more than for the keys of another head, which the query does not read",
        0: "no differently from the keys of another head, which the query does not read",
        -1: "less than for the keys of another head, which the query does not even read",
    }[gap.sign]
    bounds = f", {show_interval(gap)}" if gap.bounded else ""
    return f"{text}, {versus} (difference {show(gap.value)}{bounds})."
