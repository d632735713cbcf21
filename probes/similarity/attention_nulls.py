"""Nulls of attention: whose query chooses which pairs are compared."""

from __future__ import annotations

from probes.similarity.condition import Condition

CONDITIONS = (
    Condition(
        "shuffled_attention",
        "shuffled attention",
        "#AA4499",
        "8",
        keeps="which words are attended to, and how much",
        breaks="that one query attends to both: the second word is that of another query",
        meaning=(
            "Pairs of words that are attended to, but by two different queries of the same kind of "
            "sentence: what is left is which words draw attention at all."
        ),
    ),
    Condition(
        "matched_pairs",
        "matched pairs",
        "#44AA99",
        "P",
        keeps="places, distance, frequency and number of tokens of both words",
        breaks="that they are attended to",
        meaning="All pairs of the same kind, whether attended to or not.",
    ),
)
