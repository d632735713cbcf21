"""Relations between words: where their keys and values are, beside controls and nulls."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.relations.tables import RATIO
from analyses.shared.drawing import (
    draw_conditions,
    draw_points,
    dress_rows,
    letter_panels,
    line_up,
    mark,
    note,
    share_legend,
    spread,
)
from analyses.shared.maps import draw_head_maps
from analyses.shared.style import Asked, Look, new_panels, panel, whole_figure
from analyses.shared.tables import select
from probes.similarity.catalogue import PARTS


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


@whole_figure
def draw_relations(summary: pd.DataFrame, ranking: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw each relation's percentiles, its dissociation above the control, and its ratio.

    Parameters
    ----------
    summary
        With ``relation, space, condition, measure, of, value, ci_low, ci_high``.
    ranking
        Decides the order; ``pairs, rank_low, rank_high`` are beside the relations.
    """
    order = list(ranking["relation"])
    figure, panels = new_panels(1.25 + 0.26 * len(order), 3, width_ratios=[1.15, 1, 1])
    rows = select(summary, space="functional")
    percentiles, excess, ratio = panels
    draw_percentiles(select(rows, condition="trained"), order, ax=percentiles)
    draw_excess(rows, ranking, ax=excess)
    draw_ratios(rows, order, ax=ratio)
    labels = [f"{row.relation} ({row.pairs:,})" for row in ranking.itertuples(index=False)]
    for axes in panels:
        axes.set_yticklabels(labels if axes is percentiles else [])
    letter_panels(panels, ("where pairs are", "beyond the control", "dissociation ratio"))
    share_legend(figure, panels, ncols=4)
    return figure


@panel
def draw_percentiles(rows: pd.DataFrame, order: list[str], *, ax: Any = None) -> None:
    """Draw where keys and values of related pairs are, and open those of their controls."""
    for shift, part in spread(PARTS, 0.14):
        mine = select(rows, measure=f"{part.removesuffix('s')}_percentile")
        look = Look.of_part(part)
        for of, shown in (("control", look.open()), ("related", look)):
            line = line_up(select(mine, of=of), order, "relation")
            told = shown.named(f"{part}, {of.replace('control', 'controls')}")
            draw_points(np.arange(len(order)) + shift, line, told, flat=True, ax=ax)
    dress_rows(ax, order, len(order))
    mark(ax, x=50)
    ax.set(xlim=(40, 100), xlabel="percentile among random pairs")


@panel
def draw_excess(rows: pd.DataFrame, ranking: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the dissociation of every relation above its control, and its rank."""
    order = list(ranking["relation"])
    beyond = select(rows, measure="dissociation", of="related - control")
    draw_conditions(beyond, order, "relation", reach=0.15, flat=True, ax=ax)
    _write_ranks(ax, ranking)
    dress_rows(ax, order, len(order))
    mark(ax, x=0)
    ax.set_xlabel("percentile of keys less values")


@panel
def draw_ratios(rows: pd.DataFrame, order: list[str], *, ax: Any = None) -> None:
    """Draw the dissociation ratio of the related pairs of every relation."""
    related = select(rows, measure=RATIO, of="related")
    draw_conditions(related, order, "relation", reach=0.2, flat=True, ax=ax)
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]), right=max(1.08, ax.get_xlim()[1]))
    within = ("data", "axes fraction")
    note(ax, "values know\nnothing of keys", (1, 0), xycoords=within, ha="right")
    dress_rows(ax, order, len(order))
    mark(ax, x=1)
    ax.set_xlabel("reference DR(5 %) of related pairs")


def _write_ranks(axes: Any, ranking: pd.DataFrame) -> None:
    """Write between which ranks each relation may be, in room made for it at the right."""
    for row, (low, high) in enumerate(zip(ranking["rank_low"], ranking["rank_high"], strict=True)):
        text = f"rank {low}" if low == high else f"rank {low} to {high}"
        within = ("axes fraction", "data")
        note(axes, text, (1, row), xycoords=within, ha="right", va="center")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.33 * (high - low))
