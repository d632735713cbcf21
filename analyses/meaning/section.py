"""What the report says of meaning: composed by rule from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.meaning.tables import GAP, KEYS, RANDOM, SCORES, VALUES
from analyses.shared.numbers import CLEAR, Quantity, join, show, tell, tell_groups
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
    """Describe how well keys and values go with each score of meaning."""
    here = select(tables["summary"], space="functional", condition=TRAINED, measure="plain")
    rows: list[tuple[Entry, ...]] = []
    for (dataset, score), own in here.groupby(["dataset", "score"], sort=False):
        cells = [
            show_first(select(own, part=part), decimals=3, signed=part == GAP)
            for part in (KEYS, VALUES, GAP)
        ]
        rows.append((str(dataset), SCORES.get(str(score), str(score)), *cells))
    return Section(
        title="Is meaning closer to values than to keys?",
        explanation=(
            "Scores say how alike two words are in meaning. Their rank correlation with the "
            "similarity of the words' keys is compared with their rank correlation with the "
            "similarity of the words' values, over the same pairs.",
        ),
        answer=tuple(answer_meaning(tables)),
        captions=caption_meaning(tables, settings),
        tables=(
            ShownTable(
                "Spearman correlation with each score, functional space, means over heads.",
                "Intervals: 95 %, words resampled. Bold: the difference excludes 0.",
                ("pairs", "score", "keys", "values", "values, less keys"),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def answer_meaning(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Answer whether meaning is closer to values than to keys, in four parts.

    1. By which scores the values' rank correlation is above the keys', and by which below: whether
       the interval of the difference excludes 0, and that of trained less random heads too.
    2. Whether that is given frequency and length, and whether the centred space says the same.
    3. Whether the difference is larger or smaller than in random heads.
    4. In how many heads, corrected over the heads of each score.
    """
    summary = tables["summary"]
    return [
        _answer_difference(summary),
        _answer_robustness(summary),
        _answer_random(summary),
        _answer_heads(tables["heads"]),
    ]


def _answer_difference(summary: pd.DataFrame) -> str:
    groups: dict[int, list[str]] = {1: [], -1: [], 2: [], -2: [], 0: []}
    for dataset, score in _list_scores(summary):
        keys, values, gap = (
            _find(summary, dataset, score, part=part) for part in (KEYS, VALUES, GAP)
        )
        beyond = _find(summary, dataset, score, condition=name_difference(RANDOM))
        # What random heads show as well is no property of what was trained.
        groups[gap.sign * (1 if beyond.sign == gap.sign else 2)].append(
            f"{_name(dataset, score)} (values {show(values.value)}, keys {show(keys.value)}; "
            f"difference {tell(gap, 3)})"
        )
    sentences = {
        1: "Meaning is closer to values than to keys by {}.",
        -1: "Meaning is closer to keys than to values by {}.",
        2: "Values follow meaning more closely than keys do by {}; but random heads on the same "
        "input may show as much.",
        -2: "Keys follow meaning more closely than values do by {}; but random heads on the same "
        "input may show as much.",
        0: "Neither keys nor values are clearly closer to meaning by {}.",
    }
    return " ".join(tell_groups(sentences, groups))


def _answer_robustness(summary: pd.DataFrame) -> str:
    places = {
        "Given frequency and length": {"measure": "partial"},
        "In the centred space": {"space": "centred"},
    }
    sentences = []
    for place, where in places.items():
        changed = []
        for dataset, score in _list_scores(summary):
            other = _find(summary, dataset, score, **where)
            if other.sign != _find(summary, dataset, score).sign:
                changed.append(f"{_name(dataset, score)} ({tell(other, 3)})")
        sentences.append(
            f"{place}, the result is another for {join(changed)}."
            if changed
            else f"{place}, the result is the same for every score."
        )
    return " ".join(sentences)


def _answer_random(summary: pd.DataFrame) -> str:
    groups: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for dataset, score in _list_scores(summary):
        gap = _find(summary, dataset, score, condition=name_difference(RANDOM))
        told = f" ({tell(gap, 3)})" if gap.sign else ""
        groups[gap.sign].append(_name(dataset, score) + told)
    sentences = {
        1: "Values lead keys by more than in random heads for {}.",
        -1: "Values lead keys by less than in random heads for {}.",
        0: "The lead of values over keys cannot be distinguished from that in random heads for {}.",
    }
    return " ".join(tell_groups(sentences, groups))


def _answer_heads(heads: pd.DataFrame) -> str:
    plain = select(heads, measure="plain")
    parts = []
    for (dataset, score), rows in plain.groupby(["dataset", "score"], sort=False):
        clear = rows[rows["p_max_t"] < CLEAR]
        above, below = int((clear["value"] > 0).sum()), int((clear["value"] < 0).sum())
        parts.append(f"{above} and {below} by {_name(str(dataset), str(score))}")
    total = len(plain[["layer", "kv_head"]].drop_duplicates())
    return (
        "Number of heads whose values are clearly closer to meaning, and of heads whose keys are, "
        f"after correction over all {total}: {join(parts)}."
    )


def caption_meaning(
    tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return figure name -> (caption, alternative text)."""
    return {
        "meaning": (
            "Spearman correlation of key similarity, and of value similarity, with scores of "
            f"meaning, means over {count_heads(tables['heads'])}. (a to c) In each space; hollow: "
            "random heads on the same input. (d) Values less keys: above 0, meaning is closer to "
            "values. Hollow there: given the frequency, letters and tokens of both words (sums and "
            "differences), by linear regression of ranks. "
            f"{describe_intervals(settings).capitalize()}. WordNet relates the words of all pairs "
            "of related nouns. Their scores therefore span a small range, and correlations are "
            "small.",
            "Four panels with a row per score: rank correlations with keys and values in the "
            "functional, centred and raw space, and their difference beside random heads.",
        ),
        "meaning_heads": (
            "The difference in every head, functional space. Red: values are closer to the score; "
            "blue: keys are. Dots: clear of 0 (p below .05, corrected by max-T over the heads, "
            "words resampled). Mismatched and random heads are in the table meaning.heads.",
            "Heat maps over layers and kv heads, one per score, of the rank correlation with value "
            "similarity less that with key similarity.",
        ),
    }


def _list_scores(summary: pd.DataFrame) -> list[tuple[str, str]]:
    scores = summary[["dataset", "score"]].drop_duplicates()
    return [(str(dataset), str(score)) for dataset, score in scores.itertuples(index=False)]


def _name(dataset: str, score: str) -> str:
    return f"{SCORES.get(score, score)} of {dataset}"


def _find(
    summary: pd.DataFrame,
    dataset: str,
    score: str,
    *,
    part: str = GAP,
    space: str = "functional",
    condition: str = TRAINED,
    measure: str = "plain",
) -> Quantity:
    rows = select(
        summary,
        dataset=dataset,
        score=score,
        part=part,
        space=space,
        condition=condition,
        measure=measure,
    )
    return Quantity.of(rows.iloc[0])
