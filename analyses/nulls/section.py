"""What the report says of every measure beside every null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.nulls import WHOLE
from analyses.shared.numbers import CLEAR, show
from analyses.shared.section import Entry, Section, Shown, ShownTable, show_number
from analyses.shared.tables import select
from probes.similarity.catalogue import find_condition, find_measure, sort_conditions, sort_measures

TOGETHER = 4
"""Nulls beside each other, as many as fit on a page."""


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.nulls.compute`."""
    summary = tables["summary"]
    nulls = sort_conditions(summary["condition"])
    return Section(
        title="Every measure beside every null",
        explanation=(
            "Are the keys and values of a trained head more alike, or less, than they would be if "
            f"there were nothing to it? All in the functional space, on {_name_sample(settings)} "
            "(neighbours, CKA, canonical correlations and tieability: on their words).",
            f"For shuffled words, p counts the {settings['permutations']} permutations that come "
            "out as far from their mean. For null heads the layer is the unit: p is that of a "
            "sign-flip test of the layers' differences. Layers of one model are not independent, "
            "so it says how regular a difference is over the layers and not how it would be in "
            "another model. All p are corrected over the measures (Benjamini-Hochberg).",
        ),
        answer=(
            *(_answer(select(summary, condition=null), null) for null in nulls),
            *_answer_ceiling(tables["ceiling"], summary),
        ),
        captions={
            "measures": (
                "Every measure (a panel each): trained heads (line) and every null, means over "
                "heads. Bars: one standard deviation of the permutations, or of the null's layer "
                f"means. Filled: the trained mean differs, corrected p below {CLEAR:g}; hollow: it "
                "does not. Where a panel says “less”, lower means that keys and values are more "
                "alike.",
                "A panel for each measure, with the mean of the trained heads as a line and the "
                "mean and spread of every null as a point with a bar.",
            ),
            "heads": (
                "How far single heads are from shuffled and from matched words, in standard "
                "deviations of the permutations: DR(5 %) and representational similarity by layer, "
                f"a dot per head. Filled: max-T corrected p below {CLEAR:g} over all heads.",
                "Dots by layer of the standardised effect of single heads, a panel for each "
                "measure and permutation null.",
            ),
        },
        tables=(
            _list_nulls(nulls),
            *(
                _tabulate(summary, nulls[start : start + TOGETHER])
                for start in range(0, len(nulls), TOGETHER)
            ),
            _tabulate_heads(tables["heads"]),
        ),
    )


def _name_sample(settings: Mapping[str, Any]) -> str:
    """Say on which pairs the question was asked."""
    limit = settings["pairs"]
    drawn = "" if limit >= WHOLE else f", at most {limit:,} of them, drawn at random"
    return f"the word pairs{drawn}"


def _list_nulls(nulls: list[str]) -> ShownTable:
    found = [find_condition(null) for null in nulls]
    return ShownTable(
        "The nulls.",
        "What each leaves as trained, and what it takes away.",
        ("null", "keeps", "breaks"),
        tuple((null.label, null.keeps, null.breaks) for null in found),
        n_words=3,
    )


def _answer(rows: pd.DataFrame, null: str) -> str:
    """Count on which measures trained heads are more alike, less, and neither."""
    directions = [find_measure(name).direction for name in rows["measure"]]
    side = rows["difference"] * directions
    clear = rows["p_bh"] < CLEAR
    groups = {
        "more alike": rows.loc[clear & (side > 0), "measure"],
        "less alike": rows.loc[clear & (side < 0), "measure"],
        "different": rows.loc[clear & (side == 0), "measure"],
        "not distinguishable": rows.loc[~clear, "measure"],
    }
    parts = []
    for words, names in groups.items():
        if len(names):
            symbols = ", ".join(find_measure(name).symbol for name in names)
            told = f" ({symbols})" if len(names) < len(rows) else ""
            parts.append(f"{words} on {len(names)} of {len(rows)} measures{told}")
    label = find_condition(null).label
    return f"Against {label}, keys and values of a trained head are {'; '.join(parts)}."


def _answer_ceiling(ceiling: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Say how alike the distances could be at most, where templates were compared."""
    similarity = select(summary, measure="representational_similarity")
    if ceiling.empty or similarity.empty:
        return []
    means = ceiling[["key_reliability", "value_reliability", "disattenuated"]].mean()
    own = float(similarity["value"].iloc[-1])
    return [
        "Noise ceiling: of the distances of keys "
        f"{show(100 * float(means['key_reliability']), 0)} %, and of values "
        f"{show(100 * float(means['value_reliability']), 0)} %, would be the same in other "
        f"sentence templates; without that noise, representational similarity would be "
        f"{show(float(means['disattenuated']))} where {show(own)} is measured."
    ]


def _tabulate(summary: pd.DataFrame, nulls: list[str]) -> ShownTable:
    """Tabulate every measure beside some of the nulls."""
    rows: list[tuple[Entry, ...]] = []
    for measure in sort_measures(summary["measure"]):
        own = select(summary, measure=measure)
        cells: list[Entry] = [show_number(float(own["value"].iloc[-1]), decimals=3)]
        for null in nulls:
            of_null = select(own, condition=null)
            cells.append(None if of_null.empty else _show_null(of_null.iloc[0]))
        rows.append((find_measure(measure).symbol, *cells))
    return ShownTable(
        "Trained heads and the mean of every null.",
        "Below each null its standardised effect and corrected p; bold: p below "
        f"{CLEAR:g}. Means over heads.",
        ("measure", "trained heads", *(find_condition(null).label for null in nulls)),
        tuple(rows),
    )


def _show_null(row: pd.Series[Any]) -> Entry:
    effect = "" if pd.isna(row["effect"]) else f"{show(float(row['effect']), 1)} sd, "
    p = float(row["p_bh"])
    shown = f"p {'< .001' if p < 0.001 else show(p, 3)}"
    return Shown(show(float(row["null_mean"]), 3), f"{effect}{shown}", clear=p < CLEAR)


def _tabulate_heads(heads: pd.DataFrame) -> ShownTable:
    """Count the single heads that stand out from the permutations, family-wise."""
    rows: list[tuple[Entry, ...]] = []
    tested = heads[heads["p_max_t"].notna()]
    for (name, null), own in tested.groupby(["measure", "condition"], sort=False):
        measure = find_measure(str(name))
        side = (own["value"] - own["null_mean"]) * measure.direction
        counts = [
            int(((own[p] < CLEAR) & (side * sign > 0)).sum())
            for p in ("p_max_t", "p_bh")
            for sign in (1, -1)
        ]
        numbers = [Shown(f"{count} of {len(own)}") for count in counts]
        rows.append((measure.symbol, find_condition(str(null)).label, *numbers))
    return ShownTable(
        "Single heads that stand out when words are shuffled.",
        "More or less alike than the permutations; max-T: any head at all by chance in 5 % of "
        "cases; FDR: 5 % of those counted by chance.",
        ("measure", "null", "more, max-T", "less, max-T", "more, FDR", "less, FDR"),
        tuple(rows),
        n_words=2,
    )
