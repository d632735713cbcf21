"""What the report says of swaps: what changes when one word gets another word's keys or values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import Quantity, show, show_interval
from analyses.shared.section import Entry, Section, ShownTable, show_first
from analyses.shared.tables import select
from analyses.swaps.tables import MATCHED_PAIRS, PARTS, POPULATIONS, SCOPES
from probes.similarity.catalogue import WORD_PAIRS


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.swaps.compute`."""
    summary = tables["summary"]
    rows: list[tuple[Entry, ...]] = []
    for scope in reversed(SCOPES):
        for part in PARTS:
            own, other = (
                select(summary, population=population, scope=scope, part=part)
                for population in POPULATIONS
            )
            if own.empty:
                continue
            rows.append(
                (
                    scope,
                    part,
                    show_first(select(own, measure="total_variation"), decimals=3),
                    show_first(select(other, measure="total_variation"), decimals=3),
                    show_first(select(own, measure="transfer")),
                )
            )
    return Section(
        title="Swapping only keys, or only values, between two words",
        explanation=(
            "Two sentences differ in one word: neural network and social network. At that word "
            "only the keys, only the values, or both are taken from the other sentence. At the "
            "head word the distribution of the next token then changes (total variation: 0 "
            "nothing, 1 everything), and moves towards that of the other sentence (transfer: 1 if "
            "it becomes the other). The usual answer predicts that swapped keys change little and "
            "swapped values much. In matched random pairs the second word is a random one of as "
            "many tokens, before the same head word.",
        ),
        answer=(_answer_parts(summary, tables["indices"]), *_answer_gap(tables["indices"])),
        captions={
            "summary": (
                "What swaps change in the next token's distribution, in one head, one layer and "
                "everywhere, on the word pairs and on matched random pairs; 95 % intervals, words "
                "resampled.",
                "Points with intervals of the change by swapped part and scope, and the index of "
                "values against keys.",
            ),
            "heads": (
                "The index (values less keys, over their sum) in every head. Red: its values "
                "carry more; blue: its keys.",
                "Heat maps over layers and kv heads of the swap index.",
            ),
        },
        tables=(
            ShownTable(
                "What a swap changes at the head word.",
                "Means over pairs, and over heads or layers. Intervals: 95 %, words resampled.",
                (
                    *("scope", "swapped", "total variation"),
                    *("the same, matched random pairs", "transfer"),
                ),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def _answer_parts(summary: pd.DataFrame, indices: pd.DataFrame) -> str:
    """Say what swapped keys and values change, and which change more."""
    everywhere = select(summary, population=WORD_PAIRS, scope="all", measure="total_variation")
    changes = []
    for part in PARTS:
        change = Quantity.of(select(everywhere, part=part).iloc[0])
        changes.append(f"{show(change.value)} ({show_interval(change)})")
    keys, values, both = changes
    verdict = {
        1: "Values carry more, as the usual answer says",
        -1: "Keys carry more, against the usual answer",
        0: "It is undetermined which of the two carries more",
    }[_find_index(indices, WORD_PAIRS).sign]
    return (
        f"Swapped everywhere, keys change {keys} of the next token's distribution, values {values} "
        f"and both together {both}. {verdict}."
    )


def _answer_gap(indices: pd.DataFrame) -> list[str]:
    """Say whether the word pairs differ in that from random words."""
    gap = _find_index(indices, " - ".join(POPULATIONS))
    told = f"(difference of the index {show(gap.value, 3)}, {show_interval(gap, 3)})"
    if not gap.sign:
        return [f"The word pairs do not clearly differ in that from {MATCHED_PAIRS} {told}."]
    amount = "more" if gap.sign > 0 else "less"
    return [f"Values carry {amount} in the word pairs than in {MATCHED_PAIRS} {told}."]


def _find_index(indices: pd.DataFrame, population: str) -> Quantity:
    rows = select(indices, population=population, scope="all", measure="total_variation")
    return Quantity.of(rows.iloc[0])
