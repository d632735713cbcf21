"""Relations between words: where their keys and values stand, beside controls and nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import (
    draw_points,
    dress_rows,
    letter_panels,
    line_up,
    mark,
    note,
    read_conditions,
    share_legend,
    spread,
)
from analyses.shared.maps import draw_head_maps
from analyses.shared.style import PAGE, Look, house_style, new_figure
from analyses.shared.tables import select
from probes.similarity.catalogue import PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIO = "dissociation_ratio_5%"


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the relations beside their controls and nulls, and their heads."""
    heads, ranking = tables["heads"], tables["ranking"]
    return {
        "relations": draw_relations(tables["summary"], ranking),
        "relation_heads": draw_head_maps(
            {name: select(heads, relation=name) for name in ranking["relation"]},
            "dissociation above the control: percentile of keys less that of values",
        ),
    }


def draw_relations(summary: pd.DataFrame, ranking: pd.DataFrame) -> Figure:
    """Draw each relation's percentiles, its dissociation above the control, and its ratio.

    Parameters
    ----------
    summary
        With ``relation, space, condition, measure, of, value, ci_low, ci_high``.
    ranking
        Decides the order; ``pairs, rank_low, rank_high`` stand beside the relations.
    """
    order = list(ranking["relation"])
    functional = select(summary, space="functional")
    with house_style():
        figure = new_figure(PAGE, 1.25 + 0.26 * len(order))
        panels = figure.subplots(1, 3, width_ratios=[1.15, 1, 1])
        _draw_percentiles(panels[0], functional, order)
        _draw_excess(panels[1], functional, order, ranking)
        _draw_ratios(panels[2], functional, order)
        labels = [f"{row.relation} ({row.pairs:,})" for row in ranking.itertuples(index=False)]
        for axes in panels:
            dress_rows(axes, labels if axes is panels[0] else None, len(order))
        letter_panels(panels, ("where pairs stand", "beyond the control", "dissociation ratio"))
        share_legend(figure, panels, ncols=4)
    return figure


def _draw_percentiles(axes: Any, rows: pd.DataFrame, order: list[str]) -> None:
    at = np.arange(len(order))
    for shift, part in zip(spread(len(PARTS), 0.14), PARTS, strict=True):
        look, measure = Look.of_part(part), f"{part.removesuffix('s')}_percentile"
        for of, shown in (
            ("control", look.open(f"{part}, controls")),
            ("related", look.named(f"{part}, related")),
        ):
            line = select(rows, condition="trained", measure=measure, of=of)
            draw_points(axes, at + shift, line_up(line, order, "relation"), shown, flat=True)
    mark(axes, x=50)
    axes.set_xlim(40, 100)
    axes.set_xlabel("percentile among random pairs")


def _draw_excess(axes: Any, rows: pd.DataFrame, order: list[str], ranking: pd.DataFrame) -> None:
    _draw_conditions(
        axes, select(rows, measure="dissociation", of="related - control"), order, 0.15
    )
    mark(axes, x=0)
    for row, (low, high) in enumerate(zip(ranking["rank_low"], ranking["rank_high"], strict=True)):
        text = f"rank {low}" if low == high else f"rank {low} to {high}"
        where = {"horizontal": "right", "vertical": "center", "fontsize": 5.5}
        note(axes, text, (1, row), within=("axes fraction", "data"), **where)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.33 * (high - low))
    axes.set_xlabel("percentile of keys less values")


def _draw_ratios(axes: Any, rows: pd.DataFrame, order: list[str]) -> None:
    _draw_conditions(axes, select(rows, measure=RATIO, of="related"), order, 0.2)
    mark(axes, x=1)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]), right=max(1.08, axes.get_xlim()[1]))
    within = ("data", "axes fraction")
    note(axes, "values know\nnothing of keys", (1, 0), within=within, horizontal="right")
    axes.set_xlabel("DR(5 %) of related pairs")


def _draw_conditions(axes: Any, rows: pd.DataFrame, order: list[str], reach: float) -> None:
    """Draw every condition that the rows have, one below the other."""
    conditions = read_conditions(rows)
    for shift, condition in zip(spread(len(conditions), reach), conditions, strict=True):
        line = line_up(select(rows, condition=condition), order, "relation")
        places = np.arange(len(order)) + shift
        draw_points(axes, places, line, Look.of_condition(condition), flat=True)
