"""What the report says of the headline: verdict, answer, warnings, captions and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.divergence import RATIO
from analyses.divergence.answers import FEWEST, LITTLE, MUCH, answer, verdict, warn
from analyses.divergence.captions import caption_figures
from analyses.divergence.relatedness import find_kinds
from analyses.shared.numbers import show
from analyses.shared.section import (
    Entry,
    HeadMap,
    Scatter,
    Section,
    Shown,
    ShownTable,
    map_heads,
    show_first,
)
from analyses.shared.tables import populations, select
from probes.similarity.catalogue import (
    EXCESS,
    OCCURRENCES,
    SPACES,
    TRAINED,
    WORD_PAIRS,
    find_condition,
    find_measure,
    list_descriptions,
    list_nulls,
    list_pair_measures,
    name_difference,
)

MINUS = "\N{MINUS SIGN}"
EXTREMES = 15
"""Pairs at either end that are shown."""


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Say what the tables of `analyses.divergence.compute` show."""
    summary, pairs, kinds = tables["summary"], tables["pairs"], find_kinds(tables)
    return Section(
        title="Do similar keys come with dissimilar values?",
        explanation=(
            "Before “network”, both “neural” and “social” should draw attention, so their keys "
            "should be alike, while their values must tell the model which topic it is: similar "
            "keys, dissimilar values. Here it is measured how often that happens in every head, "
            "and how often in heads that never learned to work together.",
        ),
        answer=answer(summary, kinds),
        maps=_map_heads(tables["heads"]),
        scatters=(_scatter_pairs(pairs),),
        caveats=(
            *warn(summary),
            "All of this is about these words in these sentences and this model. Figures are means "
            "over heads; single heads differ (figure of the maps). It describes what keys and "
            "values look like, not what would happen if they were changed.",
        ),
        captions=caption_figures(tables, settings),
        tables=(
            _tabulate_measures(summary, settings),
            _tabulate_tieability(summary),
            _tabulate_spaces(summary),
            _tabulate_pairs(pairs, most=True),
            _tabulate_pairs(pairs, most=False),
        ),
        verdict=verdict(summary, kinds, n_pairs=len(pairs)),
        rule=(
            "The rule: DR(5 %), an association of ranks, is the chance that pairs with very "
            "similar keys have dissimilar values, in units of chance. The claim is “not what this "
            f"model does” if all of its 95 % interval is below {LITTLE}, “partly supported” if "
            f"all of it is between {LITTLE} and {MUCH}, “supported” if all of it is at {MUCH} "
            f"or above, and is hedged where the interval holds a mark. With fewer than {FEWEST} "
            "distinct pairs it is undetermined. “More” or “less” than a null is said only where "
            "the interval of the difference excludes 0."
        ),
    )


def _map_heads(heads: pd.DataFrame) -> tuple[HeadMap, ...]:
    rows = select(heads, space="functional", population=WORD_PAIRS, measure=RATIO)
    measure = find_measure(RATIO)
    return (map_heads(rows, f"{measure.symbol} of every kv head; 1: {measure.unit}", middle=1.0),)


def _scatter_pairs(pairs: pd.DataFrame) -> Scatter:
    """Show every pair by its percentiles, means over heads."""
    points = []
    for row in pairs.to_dict("records"):
        x, y = float(row["key_percentile"]), float(row["value_percentile"])
        name = f"{row['m1']}, {row['m2']} before {row['head']}"
        points.append((x, y, f"{name}: keys {show(x, 0)}, values {show(y, 0)}"))
    title = "Every pair of words by the percentile of its keys and of its values, means over heads"
    return Scatter(title, "percentile of the keys", "percentile of the values", tuple(points))


def _tabulate_measures(summary: pd.DataFrame, settings: Mapping[str, Any]) -> ShownTable:
    """Tabulate every measure of pairs in the functional space, and how it differs from nulls."""
    rows = select(summary, space="functional")
    there = set(rows["condition"])
    nulls = [null.name for null in list_nulls() if name_difference(null.name) in there]
    conditions = [TRAINED, *nulls]
    shown: list[tuple[Entry, ...]] = []
    for population in populations(summary):
        name = population
        for measure in list_pair_measures():
            own = select(rows, population=population, measure=measure.name)
            if own.empty:
                continue
            cells = [show_first(select(own, condition=condition)) for condition in conditions]
            gaps = [
                show_first(select(own, condition=name_difference(null)), decimals=3, signed=True)
                for null in nulls
            ]
            shown.append((name, measure.symbol, *cells, *gaps))
            name = ""
    labels = [find_condition(condition).label for condition in conditions]
    return ShownTable(
        "Functional space, means over heads.",
        "Each figure has its 95 % interval below it: "
        f"{settings['resamples']} resamples of the words. Ranks, medians and the highest p are "
        "taken within each population. Bold differences exclude 0.",
        ("pairs", "measure", *labels, *(f"trained {MINUS} {label}" for label in labels[1:])),
        tuple(shown),
        n_words=2,
    )


def _tabulate_tieability(summary: pd.DataFrame) -> ShownTable:
    """Tabulate tieability, and the excess of trained heads over every null."""
    rows = select(summary, population=OCCURRENCES, space="functional")
    tied = select(rows, measure="tieability")
    shown: list[tuple[Entry, ...]] = []
    for condition in (TRAINED, *(null.name for null in list_nulls())):
        own = select(tied, condition=condition)
        if not own.empty:
            excess = select(rows, measure=f"{EXCESS}{condition}")
            cells = show_first(own, decimals=3), show_first(excess, decimals=3, signed=True)
            shown.append((find_condition(condition).label, *cells))
    return ShownTable(
        "Tieability: the share of what the values write that a linear map gives, on words it was "
        "not fitted on.",
        "Functional space, means over heads; the excess E of every head is computed first, and "
        "then averaged, so it is not E of the means shown. Intervals resample the words tested "
        "on, not the fits, and so leave out the variance of fitting again.",
        ("mapped from", find_measure("tieability").symbol, "excess of trained heads"),
        tuple(shown),
    )


def _tabulate_spaces(summary: pd.DataFrame) -> ShownTable:
    """Tabulate what the spaces differ in: cosines, DR(5 %), dimensions, what is in common."""
    ratio = (RATIO, find_measure(RATIO).symbol, 2)
    told = [
        (name.name, name.label, name.decimals)
        for name in list_descriptions()
        if (summary["measure"] == name.name).any()
    ]
    cosines = [row for row in told if row[0].endswith("cosine")]
    shown: list[tuple[Entry, ...]] = []
    for measure, label, decimals in (*cosines, ratio, *(t for t in told if t not in cosines)):
        of_measure = select(summary, measure=measure)
        for population in dict.fromkeys(of_measure["population"]):
            names = (label, population)
            for condition in (TRAINED, *(null.name for null in list_nulls())):
                rows = select(of_measure, population=population, condition=condition)
                if rows.empty:
                    continue
                cells = [
                    show_first(select(rows, space=space), decimals=decimals) for space in SPACES
                ]
                shown.append((*names, find_condition(condition).label, *cells))
                names = ("", "")
    return ShownTable(
        "The same in each space.",
        "Where a figure has an interval, it is below: 95 %, words resampled.",
        ("measure", "of", "heads", *SPACES),
        tuple(shown),
        n_words=3,
    )


def _tabulate_pairs(pairs: pd.DataFrame, *, most: bool) -> ShownTable:
    """Show the pairs that dissociate most, or least, in order."""
    by = pairs["dissociation"].to_numpy(dtype=float)
    rows = pairs.iloc[np.argsort(-by if most else by, kind="stable")[:EXTREMES]]
    numbers = {
        "s_k": ("s_K", 2),
        "s_v": ("s_V", 2),
        "key_percentile": ("rank of s_K, %", 0),
        "value_percentile": ("rank of s_V, %", 0),
        "raw_key_cosine": ("raw cosine of keys", 2),
        "dissociation": ("dissociation", 1),
    }
    words = {"head": "head", "words": "words"}
    if "relatedness" in pairs:
        words["relatedness"] = "words are"
    table = rows.assign(words=rows["m1"].astype(str) + " / " + rows["m2"].astype(str))
    shown: list[tuple[Entry, ...]] = [
        (
            *(str(row[name]) for name in words),
            *(Shown(show(float(row[name]), decimals)) for name, (_, decimals) in numbers.items()),
        )
        for row in table.to_dict("records")
    ]
    end = ("Most", "keys more alike than values") if most else ("Least", "values more alike")
    return ShownTable(
        f"{end[0]} dissociating: {end[1]}{'' if most else ' than keys'}.",
        f"The most extreme of {len(pairs):,} pairs, chosen because they are extreme: on other "
        "sentences they would be nearer to the middle. They illustrate, and prove nothing.",
        (*words.values(), *(label for label, _ in numbers.values())),
        tuple(shown),
        n_words=len(words),
    )
