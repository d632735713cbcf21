"""What the report says of the three sites of a translator, beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.cross_attention import SHOWN
from analyses.cross_attention.tables import BASE
from analyses.shared.section import Entry, Section, ShownTable, describe_intervals, show_first
from analyses.shared.tables import select
from probes.similarity.catalogue import (
    TRAINED,
    find_condition,
    find_measure,
    list_conditions,
)

SITES = {
    "encoder": "encoder, self",
    "decoder": "decoder, self",
    "cross": "cross-attention",
}
TRANSLATIONS = 12
"""How many are shown."""


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Say what the tables of `analyses.cross_attention.compute` show."""
    return Section(
        title="Translation: cross-attention beside self-attention",
        explanation=(
            "The rest of this report is about the encoder's self-attention. Here the same measures "
            "stand for all three places where this model attends. In cross-attention, keys and "
            "values come from the encoder's output at the source word, and queries from the "
            "decoder at the step that writes the word's translation; in the decoder's "
            "self-attention, keys and values are those of the translated word. The decoder is "
            "given the model's own greedy translation, and which of its tokens stands for a source "
            "word is read from the model's own cross-attention.",
        ),
        captions={
            "sites": (
                "The three places where the model attends, side by side: dissociation ratio and "
                "representational similarity of the word pairs, and tieability on words not fitted "
                "on. Means over all heads of a site, functional space; "
                f"{describe_intervals(settings)}. A lower dissociation ratio means that "
                "similar keys more often come with similar values.",
                "Three panels, one a measure; in each the encoder, the decoder and "
                "cross-attention, with trained heads beside their nulls.",
            )
        },
        tables=(_tabulate_sites(tables), _tabulate_translations(tables["translations"])),
    )


def _tabulate_sites(tables: dict[str, pd.DataFrame]) -> ShownTable:
    """Tabulate every shown measure at every site, and how it differs from the encoder's."""
    summary = select(tables["summary"], space="functional")
    there = set(summary["condition"])
    conditions = [own for own in list_conditions() if own.name in there]
    rows: list[tuple[Entry, ...]] = []
    for measure, population in SHOWN:
        name = find_measure(measure).symbol
        for site, label in SITES.items():
            place = {"site": site, "measure": measure, "population": population}
            own = select(summary, **place)
            gap = select(tables["differences"], condition=TRAINED, **place)
            cells = [show_first(select(own, condition=found.name)) for found in conditions]
            rows.append((name, label, *cells, show_first(gap, signed=True)))
            name = ""
    labels = (found.label for found in conditions)
    trained = find_condition(TRAINED).label
    return ShownTable(
        "Functional space, means over heads.",
        "Intervals: 95 %, words resampled, the same at all sites. Bold: excludes 0.",
        ("measure", "site", *labels, f"{trained}, minus the {BASE}'s"),
        tuple(rows),
        n_words=2,
    )


def _tabulate_translations(translations: pd.DataFrame) -> ShownTable:
    chosen = translations.drop_duplicates(["modifier", "head"]).head(TRANSLATIONS)
    columns = ["modifier", "sentence", "translation", "written"]
    return ShownTable(
        "Some of the model's translations.",
        "“Taken” is the token that stands for the modifier.",
        ("modifier", "source", "translation", "taken"),
        tuple(chosen[columns].astype(str).itertuples(index=False, name=None)),
        n_words=4,
    )
