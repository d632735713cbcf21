"""Say how long the words are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.section import Section, Shown, ShownTable


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe them, with every kind of thing that a section can hold."""
    summary = tables["summary"]
    mean = summary["value"].mean()
    return Section(
        title="The toy: lengths",
        answer=(f"The words have {mean:.1f} letters.",),
        explanation=("Letters are counted.",),
        caveats=("Nothing follows from it.",),
        captions={"lengths": ("How long the words are.", "A histogram of the words' lengths.")},
        tables=(
            ShownTable(
                "Lengths.",
                "In letters.",
                ("word", "letters", "nothing"),
                tuple(
                    (str(row.word), Shown(str(row.value), "1 to 9", clear=True), None)
                    for row in summary.head(3).itertuples()
                ),
            ),
        ),
        verdict="The claim is a toy.",
        rule="A toy is a toy.",
    )
