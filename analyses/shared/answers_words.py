"""What relations and meaning say, in words composed by rule from the numbers of their tables."""

from __future__ import annotations

import pandas as pd

from analyses.shared.numbers import Quantity, join, show, show_interval

NAMES = {
    "synonym": "synonyms",
    "antonym": "antonyms",
    "hypernym": "hypernyms",
    "cohyponym": "co-hyponyms",
    "meronym": "meronyms",
    "similar": "similar adjectives",
    "shared head": "modifiers of one head",
    "shared head, related": "related modifiers of one head",
    "shared head, mid": "middling modifiers of one head",
    "shared head, unrelated": "unrelated modifiers of one head",
}
SCORES = {
    "glove_cos": "GloVe cosine",
    "wup": "Wu-Palmer similarity",
    "lin": "Lin similarity",
    "path": "path similarity",
    "score": "human scores",
}
CLEAR = 0.05
"""Corrected p below which a single head is named."""


def answer_relations(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Answer which relation dissociates keys from values most, in four sentences.

    1. Which stands first, with its interval and rank, and whether anything is clearly above it.
    2. Whether the claim holds for any relation: its keys are more alike than the controls' *and*
       its dissociation is above the controls', both intervals above 0. A relation whose keys are no
       more alike than the controls' can stand first, but dissociates nothing.
    3. Whether trained heads dissociate each relation more or less than random heads do, and where
       that turns round in the centred space.
    4. How many single heads dissociate some relation more than its control, or less (max-T over all
       relations and heads), and the strongest of those that do.

    Parameters
    ----------
    tables
        Of `analyses.relations.compute`.
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
    text = (
        f"Of {len(ranking)} relations, {_name(first['relation'])} come first: the percentile of "
        f"their keys less that of their values is {_tell(Quantity.of(first), 1)} percentage points "
        "above that of matched controls"
    )
    if contrasts.empty:
        return text + "."
    beside = contrasts[(contrasts["relation"] == first["relation"]) & (contrasts["ci_low"] <= 0)]
    if beside.empty:
        return text + ", clearly above all others."
    return f"{text}, not distinguishable from {join([_name(n) for n in beside['minus']])}."


def _answer_claim(ranking: pd.DataFrame, summary: pd.DataFrame) -> str:
    kept, unlike, reverse = [], [], []
    for relation in ranking["relation"]:
        keys = _find_relation(summary, relation, "key_percentile")
        gap = _find_relation(summary, relation, "dissociation")
        if keys.sign <= 0:
            unlike.append(_name(relation))
        elif gap.sign > 0:
            kept.append(f"{_name(relation)} ({_tell(gap, 1)})")
        elif gap.sign < 0:
            values = _find_relation(summary, relation, "value_percentile")
            reverse.append(
                f"{_name(relation)} (keys {_signed(keys.value)}, values {_signed(values.value)})"
            )
    text = (
        f"Similar keys with less similar values are found in {join(kept)}"
        if kept
        else "No relation has keys more alike than its controls' with values that lag behind"
    )
    if reverse:
        text += (
            "; the values of related words are more alike still than their keys, in percentiles "
            f"above the controls', in {join(reverse)}"
        )
    if unlike:
        text += f"; the keys of {join(unlike)} are no more alike than the controls' are"
    return text + "."


def _answer_training(ranking: pd.DataFrame, summary: pd.DataFrame) -> str:
    groups: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for relation in ranking["relation"]:
        gap = _find_relation(summary, relation, "dissociation", "trained - random")
        told = f" ({_tell(gap, 1)})" if gap.sign else ""
        groups[gap.sign].append(_name(relation) + told)
    words = {1: "more than", -1: "less than", 0: "not distinguishably from"}
    parts = [
        f"{words[sign]} random heads on the same input in {join(names)}"
        for sign, names in groups.items()
        if names
    ]
    turned = []
    for relation in ranking["relation"]:
        here, there = (
            _find_relation(summary, relation, "dissociation", "trained - random", space)
            for space in ("functional", "centred")
        )
        if here.sign * there.sign < 0:
            turned.append(f"{_name(relation)} ({_tell(there, 1)})")
    text = f"Trained heads dissociate related words {'; '.join(parts)}"
    if turned:
        text += (
            "; in the centred space, where every direction of a key counts alike, it is the other "
            f"way round for {join(turned)}"
        )
    return text + "."


def _answer_heads(heads: pd.DataFrame) -> str:
    total = len(heads[["layer", "kv_head"]].drop_duplicates())
    clear = heads[heads["p_max_t"] < CLEAR]
    above, below = clear[clear["value"] > 0], clear[clear["value"] < 0]
    counted = [len(side[["layer", "kv_head"]].drop_duplicates()) for side in (above, below)]
    text = (
        f"Corrected over all relations and heads, {counted[1]} of {total} heads dissociate some "
        f"relation less than its control, and {counted[0]} more"
    )
    if len(above):
        most = above.sort_values("value").iloc[-1]
        text += (
            f"; most of all layer {most['layer']}, kv head {most['kv_head']}, for "
            f"{_name(most['relation'])} (keys {_signed(most['key_excess'])}, values "
            f"{_signed(most['value_excess'])} percentiles from the controls')"
        )
    return text + "."


def answer_meaning(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Answer whether meaning is closer to values than to keys, in four sentences.

    1. For how many scores the values' rank correlation is above the keys', by whether the interval
       of the difference excludes 0, with the figures of each.
    2. Whether that stands given frequency and length, and whether the centred space says the same.
    3. Whether the difference is larger or smaller than in random heads.
    4. In how many heads, corrected over the heads of each score.

    Parameters
    ----------
    tables
        Of `analyses.meaning.compute`.
    """
    summary = tables["summary"]
    keys = summary[["dataset", "score"]].drop_duplicates()
    scores = [(str(dataset), str(score)) for dataset, score in keys.itertuples(index=False)]
    return [
        _answer_difference(summary, scores),
        _answer_robustness(summary, scores),
        _answer_random(summary, scores),
        _answer_meaning_heads(tables["heads"]),
    ]


Scores = list[tuple[str, str]]


def _answer_difference(summary: pd.DataFrame, scores: Scores) -> str:
    groups: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for dataset, score in scores:
        key, value, gap = (
            _find_meaning(summary, dataset, score, kind) for kind in ("key", "value", "value - key")
        )
        groups[gap.sign].append(
            f"{SCORES.get(score, score)} of {dataset} ({show(value.value)} against "
            f"{show(key.value)}; difference {_tell(gap, 3)})"
        )
    words = {
        1: "closer to values than to keys by",
        -1: "closer to keys than to values by",
        0: "not distinguishably closer to either by",
    }
    parts = [f"{words[sign]} {join(told)}" for sign, told in groups.items() if told]
    return f"Meaning is {'; '.join(parts)}."


def _answer_robustness(summary: pd.DataFrame, scores: Scores) -> str:
    changed: dict[str, list[str]] = {"partial": [], "centred": []}
    for dataset, score in scores:
        sign = _find_meaning(summary, dataset, score, "value - key").sign
        others = {
            "partial": _find_meaning(summary, dataset, score, "value - key", measure="partial"),
            "centred": _find_meaning(summary, dataset, score, "value - key", space="centred"),
        }
        for name, other in others.items():
            if other.sign != sign:
                changed[name].append(f"{SCORES.get(score, score)} of {dataset} ({_tell(other, 3)})")
    told = {"partial": "Given frequency and length", "centred": "in the centred space"}
    parts = [
        f"{told[name]} all of that stays the same"
        if not names
        else f"{told[name]} it is otherwise for {join(names)}"
        for name, names in changed.items()
    ]
    return f"{'; '.join(parts)}."


def _answer_random(summary: pd.DataFrame, scores: Scores) -> str:
    groups: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for dataset, score in scores:
        gap = _find_meaning(summary, dataset, score, "value - key", condition="trained - random")
        told = f" ({_tell(gap, 3)})" if gap.sign else ""
        groups[gap.sign].append(f"{SCORES.get(score, score)} of {dataset}{told}")
    words = {1: "larger than", -1: "smaller than", 0: "not distinguishable from that"}
    parts = [f"{words[sign]} in random heads for {join(n)}" for sign, n in groups.items() if n]
    return f"The lead of values over keys is {'; '.join(parts)}."


def _answer_meaning_heads(heads: pd.DataFrame) -> str:
    plain = heads[heads["measure"] == "plain"]
    parts = []
    for (dataset, score), rows in plain.groupby(["dataset", "score"], sort=False):
        clear = rows[rows["p_max_t"] < CLEAR]
        above, below = int((clear["value"] > 0).sum()), int((clear["value"] < 0).sum())
        parts.append(f"{above} and {below} for {SCORES.get(str(score), score)} of {dataset}")
    total = len(plain[["layer", "kv_head"]].drop_duplicates())
    return (
        f"Of {total} heads, corrected over the heads, so many have values closer to meaning than "
        f"keys, and so many keys closer than values: {join(parts)}."
    )


def _find_relation(
    summary: pd.DataFrame,
    relation: str,
    measure: str,
    condition: str = "trained",
    space: str = "functional",
) -> Quantity:
    rows = summary[
        (summary["relation"] == relation)
        & (summary["measure"] == measure)
        & (summary["condition"] == condition)
        & (summary["space"] == space)
        & (summary["of"] == "related - control")
    ]
    return Quantity.of(rows.iloc[0])


def _find_meaning(
    summary: pd.DataFrame,
    dataset: str,
    score: str,
    kind: str,
    *,
    space: str = "functional",
    condition: str = "trained",
    measure: str = "plain",
) -> Quantity:
    rows = summary[
        (summary["dataset"] == dataset)
        & (summary["score"] == score)
        & (summary["kind"] == kind)
        & (summary["space"] == space)
        & (summary["condition"] == condition)
        & (summary["measure"] == measure)
    ]
    return Quantity.of(rows.iloc[0])


def _name(relation: str) -> str:
    return NAMES.get(relation, relation)


def _tell(figure: Quantity, decimals: int) -> str:
    """Write a figure and its interval."""
    told = show_interval(figure, decimals)
    return f"{show(figure.value, decimals)}, {told}" if told else show(figure.value, decimals)


def _signed(number: float) -> str:
    return ("+" if number > 0 else "") + show(number, 1)
