"""What the report says of relations between words: composed by rule from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.relations.tables import NAMES, RANDOM
from analyses.shared.numbers import CLEAR, Quantity, join, show, show_interval, tell, tell_groups
from analyses.shared.section import (
    Entry,
    Section,
    ShownTable,
    count_heads,
    describe_intervals,
    show_first,
)
from analyses.shared.tables import select
from probes.similarity.catalogue import TRAINED, name_difference


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the ranking of the relations, and what it rests on."""
    ranking = tables["ranking"]
    rows: list[tuple[Entry, ...]] = []
    for place in range(len(ranking)):
        row = ranking.iloc[place]
        rows.append(
            (
                _name(row["relation"]),
                str(row["pairs"]),
                show_first(ranking.iloc[place:], decimals=1, signed=True),
                f"{row['rank']} ({row['rank_low']} to {row['rank_high']})",
            )
        )
    return Section(
        title="Which relation between words dissociates keys from values?",
        explanation=(
            "The founding pair stands for one relation: two modifiers of one head. Here all "
            "relations are ranked. For each pair the percentile of key similarity among random "
            "pairs is compared with the percentile of value similarity. The difference counts as "
            "far as it is above that of a matched control: the first word with an unrelated word "
            "of the second's frequency and length. Of large relations a run captures a sample of "
            "pairs (`--full`: all).",
        ),
        answer=tuple(answer_relations(tables)),
        captions=caption_relations(tables, settings),
        tables=(
            ShownTable(
                "Dissociation beyond the control, in percentile points, functional space.",
                "Intervals: 95 %, words resampled. Bold: the interval excludes 0. The interval of "
                "a rank is somewhat too wide.",
                ("relation", "pairs", "beyond the control", "rank"),
                tuple(rows),
            ),
        ),
    )


def answer_relations(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Answer which relation dissociates keys from values most, in four parts.

    1. Which is first, with its interval, and whether it is clearly above every other.
    2. Whether the claim holds for any relation: its keys are more alike than the controls' *and*
       its dissociation is above the controls', both intervals above 0. A relation whose keys are no
       more alike than the controls' can be first, but dissociates nothing.
    3. Whether trained heads dissociate each relation more or less than random heads do, and where
       the centred space says the opposite.
    4. How many single heads dissociate some relation more than its control, or less (max-T over all
       relations and heads), and the strongest of those that do.
    """
    ranking, summary = tables["ranking"], tables["summary"]
    return [
        _answer_first(ranking, tables["contrasts"]),
        _answer_claim(ranking, summary),
        _answer_training(ranking, summary),
        _answer_heads(tables["heads"]),
    ]


def _answer_first(ranking: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    first = ranking.iloc[0]
    gap = Quantity.of(first)
    clear = [_name(name) for name in ranking.loc[ranking["ci_low"] > 0, "relation"]]
    start = f"Of {len(ranking)} relations, {_name(first['relation'])} come first:"
    if gap.sign <= 0:
        told = f"only {join(clear)}" if clear else "none"
        start = (
            f"Of {len(ranking)} relations, {told} are clearly above their controls. The largest "
            f"number is that of {_name(first['relation'])}:"
        )
    text = (
        f"{start} the percentile of their keys minus that of their values differs from that of "
        f"matched controls by {_signed(gap.value)} points ({show_interval(gap, 1)})."
    )
    if contrasts.empty:
        return text
    beside = contrasts[(contrasts["relation"] == first["relation"]) & (contrasts["ci_low"] <= 0)]
    if beside.empty:
        return f"{text} This is clearly more than for every other relation."
    others = join([_name(name) for name in beside["minus"]])
    return f"{text} It cannot be distinguished from that of {others}."


def _answer_claim(ranking: pd.DataFrame, summary: pd.DataFrame) -> str:
    kept, level, leading, unlike = [], [], [], []
    for relation in ranking["relation"]:
        keys = _find(summary, relation, "key_percentile")
        gap = _find(summary, relation, "dissociation")
        if keys.sign <= 0:
            unlike.append(_name(relation))
        elif gap.sign > 0:
            kept.append(f"{_name(relation)} ({tell(gap, 1)})")
        elif gap.sign < 0:
            values = _find(summary, relation, "value_percentile")
            numbers = f"keys {_signed(keys.value)}, values {_signed(values.value)}"
            leading.append(f"{_name(relation)} ({numbers})")
        else:
            level.append(_name(relation))
    sentences = [
        f"Similar keys with less similar values are found in {join(kept)}."
        if kept
        else "No relation has keys more alike than its controls' and values that lag behind."
    ]
    if level:
        sentences.append(f"Values neither lag behind nor lead clearly in {join(level)}.")
    if leading:
        sentences.append(
            "Values lead, in percentiles above the controls': they are even more alike than the "
            f"keys in {join(leading)}."
        )
    if unlike:
        sentences.append(f"The keys of {join(unlike)} are no more alike than the controls'.")
    return " ".join(sentences)


def _answer_training(ranking: pd.DataFrame, summary: pd.DataFrame) -> str:
    groups: dict[int, list[str]] = {1: [], -1: [], 0: []}
    turned = []
    difference = name_difference(RANDOM)
    for relation in ranking["relation"]:
        here, there = (
            _find(summary, relation, "dissociation", difference, space)
            for space in ("functional", "centred")
        )
        told = f" ({tell(here, 1)})" if here.sign else ""
        groups[here.sign].append(_name(relation) + told)
        if here.sign * there.sign < 0:
            turned.append(f"{_name(relation)} ({tell(there, 1)})")
    sentences = {
        1: "Trained heads dissociate {} more than random heads on the same input.",
        -1: "Trained heads dissociate {} less than random heads on the same input.",
        0: "Trained heads cannot be distinguished from random heads on the same input for {}.",
    }
    text = " ".join(tell_groups(sentences, groups))
    if turned:
        text += (
            " In the centred space, where every direction of a key counts alike, the opposite is "
            f"true of {join(turned)}."
        )
    return text


def _answer_heads(heads: pd.DataFrame) -> str:
    total = len(heads[["layer", "kv_head"]].drop_duplicates())
    clear = heads[heads["p_max_t"] < CLEAR]
    above, below = clear[clear["value"] > 0], clear[clear["value"] < 0]
    more, less = (len(side[["layer", "kv_head"]].drop_duplicates()) for side in (above, below))
    text = (
        f"After correction over all relations and heads, {more} of {total} heads dissociate some "
        f"relation more than its control, and {less} less."
    )
    if len(above):
        most = above.sort_values("value").iloc[-1]
        text += (
            f" The largest excess is that of layer {most['layer']}, kv head {most['kv_head']}, for "
            f"{_name(most['relation'])}: keys {_signed(most['key_excess'])}, values "
            f"{_signed(most['value_excess'])} percentiles from the controls'."
        )
    return text


def caption_relations(
    tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return figure name -> (caption, alternative text)."""
    references = settings.get("references") or "random"
    return {
        "relations": (
            "Related pairs of words, and controls (hollow): the first word with an unrelated one "
            "that matches the second in frequency and length. (a) Where the similarity of their "
            f"keys and of their values is among {references} random pairs of words of the same "
            "part of speech; 50: as alike as two random words. (b) The percentile of keys less "
            "that of values, beyond the controls'. Above 0, keys are alike and values lag behind. "
            "The interval of each relation's rank is beside it. (c) The reference dissociation "
            "ratio. Of the related pairs whose keys are among the 5 % most alike of random pairs, "
            "it counts how many have values less alike than the median random pair's, over "
            "chance; the controls' are in the tables. Means over "
            f"{count_heads(tables['heads'])}, functional space; {describe_intervals(settings)}. A "
            "modifier's pair is ranked among random modifiers in compound sentences. The other "
            "words are in sentences of their own, and the query is that of the word that "
            "follows. Random heads: Gaussian weights on the trained input. Mismatched heads: keys "
            "of one head, values of another of its layer (in a and b their mean is that of the "
            "trained heads).",
            "Three panels with a row per relation: percentiles of key and value similarity of "
            "related and control pairs, dissociation beyond the control for trained and random "
            "heads, and the reference dissociation ratio with both nulls.",
        ),
        "relation_heads": (
            "Dissociation beyond the control in every head. Red: keys of related words are alike "
            "and their values lag behind; blue: the values lead. Dots: clear of 0 (p below .05, "
            "corrected by max-T over all relations and heads, words resampled). The random heads "
            "of each layer are in the table relations.heads.",
            "Heat maps over layers and kv heads, one per relation, of how much more the percentile "
            "of key similarity exceeds that of value similarity than in the controls.",
        ),
    }


def _find(
    summary: pd.DataFrame,
    relation: str,
    measure: str,
    condition: str = TRAINED,
    space: str = "functional",
) -> Quantity:
    """Find what a relation has more than its control."""
    rows = select(
        summary,
        relation=relation,
        measure=measure,
        condition=condition,
        space=space,
        of="related - control",
    )
    return Quantity.of(rows.iloc[0])


def _name(relation: Any) -> str:
    return NAMES.get(str(relation), str(relation))


def _signed(number: float) -> str:
    return ("+" if number > 0 else "") + show(number, 1)
