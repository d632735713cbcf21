"""What the report says of substitutions and swaps: what happens when keys or values are changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import show
from analyses.shared.section import Entry, Section, ShownTable, show_first, show_number
from analyses.shared.tables import select

KINDS = {
    "keys": "v := M k + b, own keys",
    "other keys": "the same from another head's keys",
    "slice": "the same from a random slice of x",
    "mean": "v := its mean (ablation)",
    "clamp": "v := k as it is",
    "reverse": "k := M v + b",
}


def describe_substitution(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.substitution.compute`."""
    summary = tables["summary"]
    rows: list[tuple[Entry, ...]] = []
    for scope in ("head", "layer", "all"):
        for row in select(summary, scope=scope).to_dict("records"):
            rows.append(
                (
                    scope,
                    f"{KINDS.get(str(row['kind']), row['kind'])}, {row['fit']}",
                    _show(row, "rise", "ci", 4 if scope == "head" else 3),
                    _show(row, "recovered", "recovered", 2),
                )
            )
    return Section(
        anchor="substitution",
        title="What a model loses when values are made from keys",
        explanation=(
            "Values are replaced while the model reads text it was not fitted on: by the best "
            "linear map of the head's own keys, of another head's keys, of a random slice of x, by "
            "their mean, and by the keys as they are. The rise is that of the cross-entropy, in "
            "nats a token; recovered is the share of the loss by mean ablation that comes back.",
        ),
        answer=tuple(_answer_substitution(tables)),
        captions={
            "summary": (
                "What comes back when values are made from keys, for each kind of substitution "
                "and scope, and how much of the keys is needed; 95 % intervals over documents.",
                "Points with intervals of the rise in cross-entropy by kind of substitution, and a "
                "curve over the number of directions used.",
            ),
            "heads": (
                "The rise in every head and layer, own keys beside mean ablation.",
                "Heat maps and lines of the rise in cross-entropy by layer and kv head.",
            ),
            "geometry": (
                "Does the cheap measure mean anything: tieability of each head against the cost of "
                "replacing its values.",
                "Scatter of tieability against the rise in cross-entropy over heads, with rank "
                "correlations.",
            ),
        },
        tables=(
            ShownTable(
                "Rise of the cross-entropy, nats a token, and the share recovered.",
                "Single heads and layers: the mean over them. Intervals: 95 %, documents "
                "resampled.",
                ("scope", "substitution", "rise", "recovered"),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def _show(row: Mapping[Any, Any], name: str, bounds: str, decimals: int) -> Entry:
    numbers = (float(row[column]) for column in (name, f"{bounds}_low", f"{bounds}_high"))
    return show_number(*numbers, decimals=decimals)


def _answer_substitution(tables: dict[str, pd.DataFrame]) -> list[str]:
    everywhere = select(tables["summary"], scope="all", fit="at once")

    def tell(kind: str) -> str:
        row = select(everywhere, kind=kind).iloc[0]
        rise, low, high = (show(float(row[c])) for c in ("rise", "ci_low", "ci_high"))
        return f"{rise} nats a token ({low} to {high})"

    own = select(everywhere, kind="keys").iloc[0]
    sentences = [
        "With every value in the model made from its head's own keys by a linear map, the loss "
        f"rises by {tell('keys')}; without values (their mean) by {tell('mean')}, so that "
        f"{show(100 * float(own['recovered']), 0)} % comes back. From another head's keys it "
        f"rises by {tell('other keys')}, from a random slice of x by {tell('slice')}, with v := k "
        f"by {tell('clamp')}."
    ]
    geometry = select(
        tables["geometry"], measure="tieability", cost="rise, mean ablation held constant"
    )
    if not geometry.empty:
        row = geometry.iloc[0]
        value, low, high = (float(row[c]) for c in ("value", "ci_low", "ci_high"))
        verdict = (
            "predicts"
            if high < 0
            else "does not predict"
            if low > 0
            else "cannot be shown to predict"
        )
        sentences.append(
            f"The tieability of a head {verdict} what replacing its values costs, given what they "
            f"are worth: rank correlation {show(value)} ({show(low)} to {show(high)}) over "
            f"{int(row['heads'])} heads, where below 0 means that more tieable heads cost less."
        )
    return sentences


def describe_swaps(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.swaps.compute`."""
    summary, indices = tables["summary"], tables["indices"]
    rows: list[tuple[Entry, ...]] = []
    for scope in ("head", "layer", "all"):
        for part in ("key", "value", "both"):
            own = select(summary, population="word pairs", scope=scope, part=part)
            other = select(summary, population="random pairs", scope=scope, part=part)
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
        anchor="swaps",
        title="Swapping only keys, or only values, between two words",
        explanation=(
            "Two sentences that differ in one word, neural network and social network. At that "
            "word only its keys, only its values, or both are taken from the other sentence; what "
            "changes at the head word is the distribution of the next token (total variation: 0 "
            "nothing, 1 everything) and how far it moves to the other sentence's (transfer: 1). "
            "The usual answer predicts that swapped keys change little and swapped values much. "
            "Random pairs: two words matched in frequency and tokens, before the same head word.",
        ),
        answer=tuple(_answer_swaps(summary, indices)),
        captions={
            "summary": (
                "What swaps change in the next token's distribution, in one head, one layer and "
                "everywhere, on the word pairs and on random matched pairs; 95 % intervals, words "
                "resampled.",
                "Points with intervals of the change by swapped part and scope, and the index of "
                "values against keys.",
            ),
            "heads": (
                "The index (values less keys, over their sum) in every head: red, its values "
                "carry more; blue, its keys.",
                "Heat maps over layers and kv heads of the swap index.",
            ),
        },
        tables=(
            ShownTable(
                "What a swap changes at the head word.",
                "Means over pairs, and over heads or layers. Intervals: 95 %, words resampled.",
                (
                    *("scope", "swapped", "total variation"),
                    *("the same, random pairs", "transfer"),
                ),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def _answer_swaps(summary: pd.DataFrame, indices: pd.DataFrame) -> list[str]:
    def tell(part: str) -> str:
        row = select(
            summary, population="word pairs", scope="all", part=part, measure="total_variation"
        ).iloc[0]
        value, low, high = (show(float(row[c])) for c in ("value", "ci_low", "ci_high"))
        return f"{value} ({low} to {high})"

    text = (
        f"Swapped everywhere, keys change {tell('key')} of the next token's distribution and "
        f"values {tell('value')}, both {tell('both')}"
    )
    own, gap = (
        select(indices, population=population, scope="all", measure="total_variation")
        for population in ("word pairs", "word pairs - random pairs")
    )
    index = own.iloc[0]
    if index["ci_low"] > 0:
        text += ": values carry more, as the usual answer says"
    elif index["ci_high"] < 0:
        text += ": keys carry more, against the usual answer"
    else:
        text += ": the two cannot be told apart"
    sentences = [f"{text}."]
    if not gap.empty:
        row = gap.iloc[0]
        value, low, high = (float(row[c]) for c in ("value", "ci_low", "ci_high"))
        versus = "more than" if low > 0 else "less than" if high < 0 else "not distinguishably from"
        sentences.append(
            f"In that the word pairs differ {versus} random matched words (difference of the "
            f"index {show(value, 3)}, {show(low, 3)} to {show(high, 3)})."
            if versus != "not distinguishably from"
            else "Random matched words cannot be told from them in that: the index differs by "
            f"{show(value, 3)} ({show(low, 3)} to {show(high, 3)})."
        )
    return sentences
