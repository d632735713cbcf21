"""What the report says of relations between words, and of scores of meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.answers_words import NAMES, SCORES, answer_meaning, answer_relations
from analyses.shared.captions_words import caption_meaning, caption_relations
from analyses.shared.section import Entry, Section, ShownTable, show_first
from analyses.shared.tables import select


def describe_relations(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.relations.compute`."""
    ranking = tables["ranking"]
    rows: list[tuple[Entry, ...]] = []
    for place in range(len(ranking)):
        row = ranking.iloc[place]
        rows.append(
            (
                NAMES.get(str(row["relation"]), str(row["relation"])),
                str(row["pairs"]),
                show_first(ranking.iloc[place:], decimals=1, signed=True),
                f"{row['rank']} ({row['rank_low']} to {row['rank_high']})",
            )
        )
    return Section(
        anchor="relations",
        title="Which relation between words dissociates keys from values?",
        explanation=(
            "The founding pair stands for one relation, two modifiers of one head. Here every "
            "relation is ranked: how much higher the similarity of a pair's keys stands than that "
            "of its values, in percentiles of random pairs, beyond what a matched control shows "
            "(the first word with an unrelated one of the second's frequency and length).",
        ),
        answer=tuple(answer_relations(tables)),
        captions=caption_relations(tables, dict(settings)),
        tables=(
            ShownTable(
                "Dissociation beyond the control, in percentile points, functional space.",
                "Intervals: 95 %, words resampled; bold: excludes 0. The interval of a rank is "
                "rather too wide.",
                ("relation", "pairs", "beyond the control", "rank"),
                tuple(rows),
            ),
        ),
    )


def describe_meaning(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.meaning.compute`."""
    summary = tables["summary"]
    here = summary[
        (summary["space"] == "functional")
        & (summary["condition"] == "trained")
        & (summary["measure"] == "plain")
    ]
    rows: list[tuple[Entry, ...]] = []
    for (dataset, score), own in here.groupby(["dataset", "score"], sort=False):
        cells = [
            show_first(select(own, kind=kind), decimals=3, signed=" - " in kind)
            for kind in ("key", "value", "value - key")
        ]
        rows.append((str(dataset), SCORES.get(str(score), str(score)), *cells))
    return Section(
        anchor="meaning",
        title="Is meaning closer to values than to keys?",
        explanation=(
            "Rank correlations of how alike two words' keys are, and how alike their values, with "
            "scores of how alike the words are in meaning, over the same pairs.",
        ),
        answer=tuple(answer_meaning(tables)),
        captions=caption_meaning(tables, dict(settings)),
        tables=(
            ShownTable(
                "Spearman correlation with each score, functional space, means over heads.",
                "Intervals: 95 %, words resampled; bold: the difference excludes 0.",
                ("pairs", "score", "keys", "values", "values, less keys"),
                tuple(rows),
                n_words=2,
            ),
        ),
    )
