"""What the report says of the weights: how much their row spaces overlap, and beside what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.shared.numbers import show
from analyses.shared.section import Section, Shown, ShownTable, show_number
from analyses.shared.tables import select


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe how much the row spaces overlap, beside other heads and chance."""
    heads = tables["heads"]
    rows, answer = [], []
    for site in heads["site"].unique():
        own = select(heads, site=str(site))
        numbers = own[["value", "mismatched_heads_mean", "chance", "effect"]].mean()
        beyond = int((own["effect"] > 3).sum())
        cells = [show_number(float(numbers[name]), decimals=3) for name in numbers.index[:3]]
        effect = show_number(float(numbers["effect"]), decimals=1)
        rows.append((str(site), *cells, effect, Shown(f"{beyond} of {len(own)}")))
        answer.append(_answer(str(site), own, beyond))
    return Section(
        title="The weights alone",
        explanation=(
            "Mean squared cosine of the principal angles between the row spaces of W_K and W_V: 1 "
            "if both read the same directions of the input, d_head / d_input if they were random "
            "subspaces. Mismatched: W_V of another head of the layer. No text is involved.",
        ),
        answer=tuple(answer),
        captions={
            "angles": (
                "Overlap of the directions that W_K and W_V read, by layer: a dot per kv head, "
                "line their mean; dashed: W_V of another head of the layer; dotted: random "
                "subspaces.",
                "Dots by layer of the mean squared cosine between the row spaces of key and value "
                "weights, with lines for mismatched heads and for chance.",
            )
        },
        tables=(
            ShownTable(
                "Mean squared cosine, means over heads.",
                "Effect: standard deviations above random subspaces. The last column counts the "
                "heads more than 3 above.",
                ("site", "own head", "mismatched", "random", "effect", "clearly above random"),
                tuple(rows),
            ),
        ),
    )


def _answer(site: str, own: pd.DataFrame, beyond: int) -> str:
    value, chance = float(own["value"].mean()), float(own["chance"].mean())
    other = float(own["mismatched_heads_mean"].mean())
    text = (
        f"At the {site} site W_K and W_V of a head share {show(value, 3)} of their directions, "
        f"where random subspaces would {show(chance, 3)} ({beyond} of {len(own)} heads are more "
        "than 3 standard deviations above that)"
    )
    if np.isnan(other):
        return f"{text}; a layer has one kv head, so no other head is beside it."
    gaps = own.groupby("layer")[["value", "mismatched_heads_mean"]].mean()
    more = int((gaps["value"] > gaps["mismatched_heads_mean"]).sum())
    return (
        f"{text}, and with W_V of another head {show(other, 3)}: own heads share more in {more} of "
        f"{len(gaps)} layers."
    )
