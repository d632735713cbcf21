"""What the report says of substitutions: what a model loses when values are made from keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import Quantity, show, show_interval, tell
from analyses.shared.section import Entry, Section, ShownTable, show_number
from analyses.shared.tables import select
from probes.causal.substitute import KINDS

REPLACED_BY = {
    "keys": "a linear map of its head's own key",
    "other keys": "a linear map of another head's key",
    "random_slice": "a linear map of a random slice of x",
    "mean": "the mean value",
    "clamp": "the key as it is",
}


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.substitution.compute`."""
    rows: list[tuple[Entry, ...]] = []
    for scope in ("head", "layer", "all"):
        for row in select(tables["summary"], scope=scope).to_dict("records"):
            kind = str(row["kind"])
            rows.append(
                (
                    scope,
                    f"{KINDS.get(kind, kind)}, fitted {row['fit']}",
                    _show(row, "rise", "ci", 4 if scope == "head" else 3),
                    _show(row, "recovered", "recovered", 2),
                )
            )
    return Section(
        title="What a model loses when values are made from keys",
        explanation=(
            "Values are replaced while the model reads text that nothing was fitted on. They are "
            "replaced by the best linear map of the head's own keys, of another head's keys, or "
            "of a random slice of x; by their mean; and by the keys as they are. The rise is that "
            "of the cross-entropy, in nats per token. Recovered is the share of the loss by mean "
            "ablation that comes back.",
        ),
        answer=(_answer_losses(tables["summary"]), *_answer_geometry(tables["geometry"])),
        captions={
            "summary": (
                "The rise of the cross-entropy, and what comes back, for each kind of substitution "
                "and scope; and how many directions of the keys are needed. 95 % intervals over "
                "documents.",
                "Points with intervals of the rise in cross-entropy by kind of substitution, and a "
                "curve over the number of directions used.",
            ),
            "heads": (
                "The rise in every head and layer, own keys beside mean ablation.",
                "Heat maps and lines of the rise in cross-entropy by layer and kv head.",
            ),
            "geometry": (
                "Whether a cheap measure predicts the cost: tieability of each head against the "
                "cost of replacing its values.",
                "Scatter of tieability against the rise in cross-entropy over heads, with rank "
                "correlations.",
            ),
        },
        tables=(
            ShownTable(
                "Rise of the cross-entropy, nats per token, and the share recovered.",
                "Single heads and layers: the mean over them. Intervals: 95 %, documents "
                "resampled.",
                ("scope", "substitution", "rise", "recovered"),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def _show(row: Mapping[Any, Any], name: str, bounds: str, decimals: int) -> Entry:
    numbers = (float(row[column]) for column in (name, f"{bounds}_low", f"{bounds}_high"))
    return show_number(*numbers, decimals=decimals)


def _answer_losses(summary: pd.DataFrame) -> str:
    """Say what every kind of substitution costs, everywhere at once."""
    everywhere = select(summary, scope="all", fit="at once").rename(columns={"rise": "value"})
    rises = {str(row["kind"]): Quantity.of(row) for _, row in everywhere.iterrows()}
    parts = [
        f"by {told}, {show(rises[kind].value)} ({show_interval(rises[kind])})"
        for kind, told in REPLACED_BY.items()
        if kind in rises
    ]
    text = "Rise of the loss, in nats per token, when every value in the model is replaced: "
    text += f"{'; '.join(parts)}. "
    if rises["mean"].sign <= 0:
        return text + "Mean values do not clearly lose anything, so there is nothing to recover."
    recovered = 100 * float(select(everywhere, kind="keys")["recovered"].iloc[0])
    return text + (
        f"The map of own keys recovers {show(recovered, 0)} % of what is lost with mean values."
    )


def _answer_geometry(geometry: pd.DataFrame) -> list[str]:
    """Say whether the tieability of a head predicts the cost; nothing if it was not measured."""
    rows = select(geometry, measure="tieability", cost="rise, mean ablation held constant")
    if rows.empty:
        return []
    found = Quantity.of(rows.iloc[0])
    verdict = {-1: "predicts", 1: "does not predict", 0: "cannot be shown to predict"}[found.sign]
    return [
        f"The tieability of a head {verdict} what replacing its values costs, given what they are "
        f"worth: the rank correlation over {int(rows.iloc[0]['heads'])} heads is "
        f"{tell(found)}. Below 0 means that more tieable heads cost less."
    ]
