"""Relations between words: where their keys and values stand, beside controls and nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import MARKERS, letter, share_legend
from analyses.shared.forest import KINDS, draw_head_maps, draw_rows, dress_rows, mark
from analyses.shared.style import COLOURS, LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIO = "dissociation_ratio_5%"


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
        for axes, name, title in zip(
            panels,
            "abc",
            ("where pairs stand", "beyond the control", "dissociation ratio"),
            strict=True,
        ):
            dress_rows(axes, labels if name == "a" else None, len(order))
            letter(axes, name, title)
        share_legend(figure, panels, ncols=4, columnspacing=1.4, handletextpad=0.4)
    return figure


def _line(rows: pd.DataFrame, order: list[str], **where: str) -> pd.DataFrame:
    return select(rows, **where).set_index("relation").reindex(order).reset_index()


def _draw_percentiles(axes: Any, rows: pd.DataFrame, order: list[str]) -> None:
    at = np.arange(len(order))
    for shift, (kind, (colour, marker)) in zip((-0.14, 0.14), KINDS.items(), strict=True):
        for of, hollow, told in (("control", True, "controls"), ("related", False, "related")):
            line = _line(rows, order, condition="trained", measure=f"{kind}_percentile", of=of)
            draw_rows(
                axes,
                line,
                at + shift,
                colour=colour,
                marker=marker,
                label=f"{kind}s, {told}",
                hollow=hollow,
            )
    mark(axes, 50.0)
    axes.set_xlim(40, 100)
    axes.set_xlabel("percentile among random pairs")


def _draw_excess(axes: Any, rows: pd.DataFrame, order: list[str], ranking: pd.DataFrame) -> None:
    at = np.arange(len(order))
    for shift, condition in ((0.16, "random"), (-0.1, "trained")):
        line = _line(
            rows, order, condition=condition, measure="dissociation", of="related - control"
        )
        draw_rows(
            axes,
            line,
            at + shift,
            colour=COLOURS[condition],
            marker=MARKERS[condition],
            label=LABELS[condition],
        )
    mark(axes, 0.0)
    for row, (low, high) in enumerate(zip(ranking["rank_low"], ranking["rank_high"], strict=True)):
        axes.annotate(
            f"rank {low}" if low == high else f"rank {low} to {high}",
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(-1, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=5.5,
            color="#444444",
        )
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.33 * (high - low))
    axes.set_xlabel("percentile of keys less values")


def _draw_ratios(axes: Any, rows: pd.DataFrame, order: list[str]) -> None:
    at = np.arange(len(order))
    for shift, condition in ((-0.2, "trained"), (0.0, "mismatched"), (0.2, "random")):
        line = _line(rows, order, condition=condition, measure=RATIO, of="related")
        if line["value"].isna().all():
            continue
        draw_rows(
            axes,
            line,
            at + shift,
            colour=COLOURS[condition],
            marker=MARKERS[condition],
            label=LABELS[condition],
        )
    mark(axes, 1.0)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]), right=max(1.08, axes.get_xlim()[1]))
    axes.annotate(
        "values know\nnothing of keys",
        (1, 0),
        xycoords=("data", "axes fraction"),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=5.5,
        color="#444444",
    )
    axes.set_xlabel("DR(5 %) of related pairs")


def draw_relation_heads(heads: pd.DataFrame, ranking: pd.DataFrame) -> Figure:
    """Map dissociation above the control over all heads, a panel a relation."""
    return draw_head_maps(
        heads,
        [(name, heads["relation"] == name) for name in ranking["relation"]],
        "dissociation above the control: percentile of keys less that of values",
    )
