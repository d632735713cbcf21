"""Co-attended pairs: where their keys and values are, by source and head."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_points,
    dress_rows,
    letter_panels,
    line_up,
    mark,
    note,
    read_conditions,
    scatter_heads,
    share_legend,
    spread,
)
from analyses.shared.style import GREY, Asked, Look, new_panels, panel, whole_figure
from analyses.shared.tables import select

UNITS = {"running text": "documents", "content words": "documents"}
"""What a source counts, where it is not pairs of words."""

PANELS = {"key_percentile": "keys", "value_percentile": "values", "difference": "keys, less values"}


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the percentiles of every source, and of every head."""
    return {
        "answers": draw_answers(tables["summary"], tables["counts"]),
        "heads": draw_heads(tables["heads"]),
    }


@whole_figure
def draw_answers(summary: pd.DataFrame, counts: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw percentiles of keys, of values and their difference, a row per source.

    Parameters
    ----------
    summary
        With ``source, condition, measure, weighting, value, ci_low, ci_high``.
    counts
        With ``source, units``: the rows' labels.
    """
    sources = list(counts["source"])
    figure, panels = new_panels(1.2 + 0.5 * len(sources), len(PANELS))
    for axes, measure in zip(panels, PANELS, strict=True):
        draw_percentiles(summary, measure, sources, ax=axes)
    labels = [
        f"{source}\n({count:,} {UNITS.get(source, 'pairs')})"
        for source, count in zip(sources, counts["units"], strict=True)
    ]
    for number, axes in enumerate(panels):
        axes.set_yticklabels([] if number else labels)
    letter_panels(panels, PANELS.values())
    share_legend(figure, panels, ncols=5)
    return figure


@panel
def draw_percentiles(
    summary: pd.DataFrame, measure: str, sources: list[str], *, ax: Any = None
) -> None:
    """Draw one measure, a row per source: trained heads filled, nulls open."""
    rows = select(summary, weighting="plain")
    shown = [name for name in read_conditions(rows) if name != "matched_pairs"]
    for shift, name in spread(shown, 0.3):
        look = Look.of_condition(name)
        look = look if name == "trained" else look.open()
        line = line_up(select(rows, measure=measure, condition=name), sources, "source")
        draw_points(np.arange(len(sources)) + shift, line, look, flat=True, ax=ax)
    dress_rows(ax, sources, len(sources))
    mark(ax, x=0.0 if measure == "difference" else 50.0)
    ax.set_xlabel("percentile points" if measure == "difference" else "percentile")


@whole_figure
def draw_heads(heads: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the value percentile of every query head against its key percentile, by source."""
    heads = heads[heads["value"].notna()]  # a short text may have nothing that is attended to
    sources = list(heads["source"].unique())
    figure, panels = new_panels(2.3, len(sources))
    for number, (axes, source) in enumerate(zip(panels, sources, strict=True)):
        draw_source(heads, source, ax=axes)
        if number:
            axes.set_ylabel("")
    letter_panels(panels, sources)
    return figure


@panel
def draw_source(heads: pd.DataFrame, source: str, *, ax: Any = None) -> None:
    """Draw the query heads of one source: values against keys."""
    mine = select(heads, source=source)
    keys = ["layer", "head"]
    wide = mine.pivot_table(index=keys, columns="measure", values="value").reset_index()
    scatter_heads(wide["key_percentile"], wide["value_percentile"], wide["layer"], ax=ax)
    ax.plot([0, 100], [0, 100], color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    mark(ax, x=50, y=50)
    ends = wide[["key_percentile", "value_percentile"]]
    low, high = float(ends.min().min()) - 3, float(ends.max().max()) + 3
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.set(xlabel="keys, percentile", ylabel="values, percentile")
    note(ax, "values\nless alike", (1, 0), xycoords="axes fraction", ha="right")
