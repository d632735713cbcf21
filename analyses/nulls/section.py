"""What the report says of every measure beside every null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import show
from analyses.shared.section import Entry, Section, Shown, ShownTable, show_number
from probes.similarity.sides import DIRECTIONS

LEVEL = 0.05
NULLS = {
    "shuffled words": "words whose values are dealt anew to the keys",
    "matched words": "the same among words of like frequency, token count and part of speech",
    "mismatched heads": "values of another head of the layer",
    "mismatched layers": "values of the same head of another layer",
    "gaussian heads": "random heads with Gaussian weights",
    "haar heads": "random heads with orthonormal weights",
    "spectrum heads": "random heads with the trained singular values",
    "untrained model": "the same heads before training",
}
SHOWN = {
    "dissociation_ratio_1%": "DR(1 %)",
    "dissociation_ratio_5%": "DR(5 %)",
    "dissociation_ratio_10%": "DR(10 %)",
    "representational_similarity": "representational similarity",
    "mutual_neighbours_10": "mutual neighbours (k = 10)",
    "neighbour_value_distance_ratio_10": "neighbour distance ratio (k = 10)",
    "debiased_cka": "debiased CKA",
    "held_out_canonical_correlation": "held-out canonical correlations",
    "tieability": "held-out tieability",
    "closed_form_r2": "closed-form tieability",
}


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.nulls.compute`."""
    summary = tables["summary"]
    nulls = [null for null in NULLS if (summary["null"] == null).any()]
    return Section(
        anchor="nulls-beside",
        title="Every measure beside every null",
        explanation=(
            "Are the keys and values of a trained head more alike, or less, than they would be if "
            f"there were nothing to it? {_describe_nulls(nulls)} All in the functional space, on "
            "the word pairs (neighbours, CKA, canonical correlations and tieability: on their "
            "words).",
            f"For words dealt anew, p counts the {settings.get('permutations', '')} permutations "
            "that come out as far from their mean. For null heads the layer is the unit: p is that "
            "of a sign-flip test of the layers' differences. Layers of one model are not "
            "independent, so it says how regular a difference is over the layers and not how it "
            "would be in another model. All p are corrected over the measures "
            "(Benjamini-Hochberg).",
        ),
        answer=(
            *(_answer(summary[summary["null"] == null], null) for null in nulls),
            *_answer_ceiling(tables["ceiling"], summary),
        ),
        captions={
            "measures": (
                "Every measure (a panel each): trained heads (line) and every null, means over "
                "heads. Bars: one standard deviation of the permutations, or of the null's layer "
                "means. Filled: the trained mean differs, corrected p below "
                f"{LEVEL:g}; hollow: it does not. Where a panel says “less”, lower means that keys "
                "and values are more alike.",
                "A panel for each measure, with the mean of the trained heads as a line and the "
                "mean and spread of every null as a point with a bar.",
            ),
            "heads": (
                "How far single heads lie from shuffled and from matched words, in standard "
                "deviations of the permutations: DR(5 %) and representational similarity by layer, "
                "a dot a head. Filled: max-T corrected p below "
                f"{LEVEL:g} over all heads.",
                "Dots by layer of the standardised effect of single heads, a panel for each "
                "measure and permutation null.",
            ),
        },
        tables=(
            *(_tabulate(summary, nulls[start : start + 4]) for start in range(0, len(nulls), 4)),
            _tabulate_heads(tables["heads"]),
        ),
    )


def _describe_nulls(nulls: list[str]) -> str:
    return "The nulls: " + "; ".join(f"{name} ({NULLS[name]})" for name in nulls) + "."


def _answer(rows: pd.DataFrame, null: str) -> str:
    """Count on which measures trained heads are more alike, less, and neither."""
    side = rows["difference"] * rows["measure"].map(DIRECTIONS)
    clear = rows["p_bh"] < LEVEL
    groups = {
        "more alike": rows.loc[clear & (side > 0), "measure"],
        "less alike": rows.loc[clear & (side < 0), "measure"],
        "not distinguishable": rows.loc[~clear, "measure"],
    }
    parts = [
        f"{words} on {len(names)} of {len(rows)} measures"
        + (f" ({', '.join(SHOWN[name] for name in names)})" if len(names) < len(rows) else "")
        for words, names in groups.items()
        if len(names)
    ]
    return f"Against {null}, keys and values of a trained head are {'; '.join(parts)}."


def _answer_ceiling(ceiling: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Say how alike the distances could be at most, where templates were compared."""
    if ceiling.empty:
        return []
    means = ceiling[["key_reliability", "value_reliability", "disattenuated"]].mean()
    own = summary[summary["measure"] == "representational_similarity"]["value"].iloc[-1]
    return [
        "Noise ceiling: of the distances of keys "
        f"{show(100 * float(means['key_reliability']), 0)} %, and of values "
        f"{show(100 * float(means['value_reliability']), 0)} %, would come again in other sentence "
        f"templates; without that noise, representational similarity would be "
        f"{show(float(means['disattenuated']))} where {show(float(own))} is measured."
    ]


def _tabulate(summary: pd.DataFrame, nulls: list[str]) -> ShownTable:
    """Tabulate every measure beside some of the nulls, as many as fit on a page."""
    rows: list[tuple[Entry, ...]] = []
    for measure, name in SHOWN.items():
        own = summary[summary["measure"] == measure]
        if own.empty:
            continue
        cells: list[Entry] = [show_number(float(own["value"].iloc[-1]), decimals=3)]
        for null in nulls:
            of_null = own[own["null"] == null]
            cells.append(None if of_null.empty else _show_null(of_null.iloc[0]))
        rows.append((name, *cells))
    return ShownTable(
        "Trained heads and the mean of every null.",
        "Below each null its standardised effect and corrected p; bold: p below "
        f"{LEVEL:g}. Means over heads.",
        ("measure", "trained", *nulls),
        tuple(rows),
    )


def _show_null(row: pd.Series[Any]) -> Entry:
    effect = "" if pd.isna(row["effect"]) else f"{show(float(row['effect']), 1)} sd, "
    p = float(row["p_bh"])
    shown = f"p {'< .001' if p < 0.001 else show(p, 3)}"
    return Shown(show(float(row["null_mean"]), 3), f"{effect}{shown}", clear=p < LEVEL)


def _tabulate_heads(heads: pd.DataFrame) -> ShownTable:
    """Count the single heads that stand out from the permutations, family-wise."""
    rows: list[tuple[Entry, ...]] = []
    tested = heads[heads["p_max_t"].notna()]
    for (measure, null), own in tested.groupby(["measure", "null"], sort=False):
        side = (own["value"] - own["null_mean"]) * DIRECTIONS[str(measure)]
        counts = [
            int(((own[p] < LEVEL) & (side * sign > 0)).sum())
            for p in ("p_max_t", "p_bh")
            for sign in (1, -1)
        ]
        numbers = [Shown(f"{count} of {len(own)}") for count in counts]
        rows.append((SHOWN[str(measure)], str(null), *numbers))
    return ShownTable(
        "Single heads that stand out when words are dealt anew.",
        "More or less alike than the permutations; max-T: any head at all by chance in 5 % of "
        "cases; FDR: 5 % of those counted by chance.",
        ("measure", "null", "more, max-T", "less, max-T", "more, FDR", "less, FDR"),
        tuple(rows),
        n_words=2,
    )
