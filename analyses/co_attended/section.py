"""What the report says of words that one query attends to: four answers, and what they rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.co_attended.marks import find_mean, map_measures, mark_answers
from analyses.co_attended.verdict import (
    ALIKE,
    ANSWERS,
    FEWEST_PAIRS,
    FEWEST_SELECTED,
    LARGE_GAP,
    LEVEL,
    MIDDLE,
    SAME_KEY,
)
from analyses.shared.numbers import Quantity, join, show, show_interval
from analyses.shared.section import Entry, Section, ShownTable, show_first, show_number
from analyses.shared.tables import select
from probes.capture.plan_sentences import FEWEST_IN_GROUP
from probes.similarity.catalogue import name_difference

SOURCES = {
    "coordination": "two modifiers and their head noun in one sentence: one query",
    "your sentences": "the words you marked, and what attends to them: one query",
    "treebank": "content words that depend on one head: one query",
    "running text": "all tokens that a query of running text attends to: one query",
    "content words": "the same, content words alone: one query",
    "two queries": "two compounds in two sentences, where each word has a query of its own",
}

TOLD = {
    "keys alike": (
        "Two words that one query attends to have similar keys.",
        "Two words that one query attends to do not have similar keys.",
        "It is undetermined whether two words that one query attends to have similar keys",
    ),
    "values less alike": (
        "Their values are less alike than their keys.",
        "Their values are as alike as their keys, or more.",
        "It is undetermined whether their values are less alike than their keys",
    ),
    "values dissimilar": (
        "Their values are dissimilar.",
        "Their values are not dissimilar.",
        "It is undetermined whether their values are dissimilar",
    ),
    "difference used": (
        "The model uses the difference: swapped values change the next token more than swapped "
        "keys, and more so than in random pairs.",
        "The model does not use the difference: swapped values do not change the next token more "
        "than swapped keys, or no more so than in random pairs.",
        "It is undetermined whether the model uses the difference",
    ),
}
"""Answer -> how it is told where it is yes, no and undetermined (a reason follows)."""

MECHANICAL = {
    1: "Training makes keys more alike than random heads on the same input: by {} points.",
    0: "Random heads on the same input may have keys as alike: trained less random is {} points.",
    -1: "Random heads on the same input have keys more alike: trained less random is {} points.",
}
"""How the mechanical part is told, by the sign of trained less random; attention is q.k, so even a
random head has alike keys where it attends."""

IN_SHARE_ONLY = (
    "More often than in matched pairs, their keys are similar and their values are not. But on "
    "average their values are no less alike than those of other pairs (percentile {}, where 50 is "
    "the middle)."
)
"""How dissimilar values are told whose mean percentile is not below 50: the share alone says so."""

SENTENCES = ("your sentences", "treebank")
"""Sources whose words occur with their natural frequency."""


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.co_attended.compute`."""
    summary, sizes = tables["summary"], tables["sizes"]
    left_out = tables.get("left_out", pd.DataFrame())
    return Section(
        title="Words that one query attends to: similar keys, dissimilar values?",
        verdict=_judge(tables),
        rule=(
            "The marks were fixed before real models were read. Two rules were tightened "
            "afterwards: the level from .05 to .025, and values at the percentile where keys count "
            "as alike are not dissimilar. Keys are alike: the mean "
            f"percentile of co-attended pairs is above {ALIKE:g} and above that of pairs chosen by "
            f"another head, or their logits differ by less than {SAME_KEY:g} nats. Values are less "
            "alike: the percentile of keys is above that of values, and more so than for pairs "
            f"chosen by another head. Values are dissimilar: their percentile is below {ALIKE:g}; "
            f"it is below {MIDDLE:g}, or keys above and values below the median come together more "
            "often than in matched pairs; and "
            f"the gap of the values is at least {100 * LARGE_GAP:g} % of that of matched pairs. "
            "The difference is used: swapped values move the next token more than swapped keys, "
            "and more so than in random matched pairs. Yes and no need a one-sided p below "
            f"{LEVEL:g} (a 95 % interval that leaves the mark out), corrected over the four "
            "answers (Holm). Otherwise the answer is "
            f"undetermined. It is also undetermined with fewer than {FEWEST_PAIRS} distinct pairs, "
            f"or if a head attends to both words of fewer than {FEWEST_SELECTED}. The swaps are "
            "those of word pairs in templates, for every source."
        ),
        explanation=(
            "The claim is about words that one query attends to: before “network”, “neural” and "
            "“social”. A pair is co-attended in a head if the query gives much weight to both "
            "words. Its keys, and its values, are ranked among pairs of the same kind (the same "
            "places, similar distance, frequency and number of tokens), whether attended or not: "
            "50 means no more alike than such pairs are anyway.",
            "Attention is a product of query and key. So even a random head has alike keys where "
            "it attends; random heads on the same input show how much that is. Values have no "
            "such part.",
            *_explain_sentences(_find_main(tables)),
        ),
        answer=tuple(_answer(tables)),
        marks=tuple(mark_answers(tables)),
        maps=tuple(map_measures(tables["heads"])),
        caveats=(
            "Percentiles are ranks. The table of sizes says how large the gaps are: two keys whose "
            "logits differ by .05 nats are the same key to the model, at any rank.",
            *(f"Left out: {row.source}. Reason: {row.reason}" for row in left_out.itertuples()),
        ),
        captions={
            "answers": (
                "Percentile of keys and of values of co-attended pairs among pairs of their kind, "
                "mean over query heads, by source. Filled: chosen by the head's own attention; "
                "open: by another head's, by shuffled attention, and random heads. Bars: 95 % "
                "intervals over words and topics, or documents. Dashed: pairs that are not "
                "selected.",
                "Points with intervals of the percentiles of keys and values for every source and "
                "null.",
            ),
            "heads": (
                "Every query head: percentile of keys against that of values, by source. Below the "
                "diagonal, values are less alike than keys.",
                "Scatter of the value percentile against the key percentile of every query head.",
            ),
        },
        tables=(
            _tabulate_answers(tables["answers"]),
            _tabulate_percentiles(summary),
            _tabulate_sizes(sizes, tables["counts"]),
        ),
    )


def _find_main(tables: dict[str, pd.DataFrame]) -> str:
    """Return the source that the verdict is about: one query, two words, in one sentence."""
    return str(tables["counts"]["source"].iloc[0])


def _explain_sentences(source: str) -> tuple[str, ...]:
    """Say how words of natural frequency are centred and counted."""
    if source not in SENTENCES:
        return ()
    label = "part of speech" if source == "treebank" else "label"
    return (
        f"Before words are compared, the mean over all occurrences of their {label} is subtracted. "
        f"A {label} with fewer than {FEWEST_IN_GROUP} occurrences is pooled with the other rare "
        "ones. Each distinct pair of words counts once, however often it comes: its events share "
        "one weight evenly.",
    )


def _judge(tables: dict[str, pd.DataFrame]) -> str:
    """Say the four answers of the main source, a sentence each, with the reason for no answer."""
    main = _find_main(tables)
    answers = select(tables["answers"], source=main).set_index("name")
    values = find_mean(tables["summary"], main, "value_percentile")
    sentences = []
    for name, (yes, no, undetermined) in TOLD.items():
        row = answers.loc[name]
        if name == "values dissimilar" and values is not None and values.value >= MIDDLE:
            yes = IN_SHARE_ONLY.format(show(values.value, 1))
        known = {"yes": yes, "no": no}
        sentences.append(known.get(str(row["verdict"]), f"{undetermined}: {row['reason']}."))
    sentences += _tell_mechanical_part(tables["summary"], main)
    return " ".join(sentences)


def _tell_mechanical_part(summary: pd.DataFrame, source: str) -> list[str]:
    """Say how far the keys are from those of random heads that choose by their own attention."""
    gap = find_mean(summary, source, "key_percentile", name_difference("random_heads"))
    if gap is None:
        return []
    return [MECHANICAL[gap.sign].format(f"{show(gap.value, 1)} ({show_interval(gap, 1)})")]


def _answer(tables: dict[str, pd.DataFrame]) -> list[str]:
    summary, heads, main = tables["summary"], tables["heads"], _find_main(tables)
    another = name_difference("mismatched_heads")
    sentences = []
    for source in tables["counts"]["source"]:
        keys, values = (
            find_mean(summary, source, f"{part}_percentile") or Quantity(math.nan)
            for part in ("key", "value")
        )
        text = (
            f"{source.capitalize()}: co-attended pairs are at percentile "
            f"{show(keys.value, 1)} by keys ({show_interval(keys, 1)}) and at "
            f"{show(values.value, 1)} by values ({show_interval(values, 1)}); 50 is a pair "
            "that is not selected"
        )
        beyond = [
            f"{part} {show(gap.value, 1)} ({show_interval(gap, 1)})"
            for part in ("key", "value")
            if (gap := find_mean(summary, source, f"{part}_percentile", another)) is not None
        ]
        if beyond:
            text += f"; beyond pairs that another head attends to: {join(beyond)}"
        sentences.append(f"{text}.")
    counts = [
        f"{int((rows['p_max_t'] < LEVEL).sum())} of {len(rows)} {told} "
        f"({int((rows['p_bh'] < LEVEL).sum())} by the false discovery rate)"
        for name, told in (
            ("key_percentile", "have alike keys"),
            ("difference", "have values less alike than keys"),
            ("value_percentile", "have dissimilar values"),
        )
        if len(rows := select(heads, source=main, measure=name))
    ]
    sentences.append(f"Of single query heads, {join(counts)} (corrected over heads by max-T).")
    return sentences


def _tabulate_answers(answers: pd.DataFrame) -> ShownTable:
    rows: list[tuple[Entry, ...]] = []
    for source in answers["source"].unique():
        verdicts = select(answers, source=str(source)).set_index("name")["verdict"]
        rows.append((str(source), SOURCES.get(str(source), ""), *(verdicts[n] for n in ANSWERS)))
    return ShownTable(
        "The four answers.",
        "By source; see the rule above.",
        ("source", "what it is", *ANSWERS),
        tuple(rows),
        n_words=6,
    )


def _tabulate_percentiles(summary: pd.DataFrame) -> ShownTable:
    conditions = ("trained", "mismatched_heads", "shuffled_attention", "random_heads")
    rows: list[tuple[Entry, ...]] = []
    for source in summary["source"].unique():
        for place, (measure, told) in enumerate(
            {
                "key_percentile": "keys, percentile",
                "value_percentile": "values, percentile",
                "difference": "keys, less values",
                "key_lift_5%": "keys in the top 5 %, times chance",
                "value_lift_5%": "values in the top 5 %, times chance",
                "quadrant": "keys above, values below the median: share",
            }.items()
        ):
            own = select(summary, source=str(source), measure=measure, weighting="plain")
            weighted = select(
                summary,
                source=str(source),
                measure=measure,
                weighting="by attention",
                condition="trained",
            )
            decimals = 1 if "percentile" in measure or measure == "difference" else 2
            cells = [
                show_first(select(own, condition=name), decimals=decimals) for name in conditions
            ]
            cells.append(show_first(weighted, decimals=decimals))
            rows.append(("" if place else str(source), told, *cells))
    return ShownTable(
        "Co-attended pairs among pairs of their kind, means over query heads.",
        "Intervals: 95 %. The last column weighs each head by the attention it gives to the words.",
        (
            *("source", "measure", "own attention", "another head's", "shuffled"),
            *("random heads", "own, by attention"),
        ),
        tuple(rows),
        n_words=2,
    )


def _tabulate_sizes(sizes: pd.DataFrame, counts: pd.DataFrame) -> ShownTable:
    rows: list[tuple[Entry, ...]] = []
    for source in counts["source"]:
        own, matched = (
            select(sizes, source=source, condition=name) for name in ("trained", "matched_pairs")
        )
        count = select(counts, source=source).iloc[0]
        cells = [show_first(select(table, measure="key_gap")) for table in (own, matched)] + [
            show_first(select(own, measure=f"value_gap_over_{name}"))
            for name in ("matched", "written", "stream")
        ]
        numbers = [show_number(float(count[name]), decimals=0) for name in ("units", "selected")]
        rows.append((source, *cells, *numbers))
    return ShownTable(
        "How large the gaps are.",
        "Key gap: root mean square difference of the two logits, in nats. Value gap: the "
        "difference of what the heads write for the two words, over that of matched pairs, over "
        "what they write, and over the stream. The last columns count what it rests on.",
        (
            *("source", "key gap", "of matched pairs", "value gap, over matched"),
            *("over what is written", "over the stream", "pairs or documents", "selected"),
        ),
        tuple(rows),
    )
