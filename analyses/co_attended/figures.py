"""Co-attended pairs: where their keys and values stand, by source and head."""

from __future__ import annotations

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
from analyses.shared.style import GREY, Look, house_style, new_panels
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


@house_style()
def draw_answers(summary: pd.DataFrame, counts: pd.DataFrame) -> Figure:
    """Draw percentiles of keys, of values and their difference, a row a source.

    Parameters
    ----------
    summary
        With ``source, condition, measure, weighting, value, ci_low, ci_high``.
    counts
        With ``source, units``: the rows' labels.
    """
    sources = list(counts["source"])
    figure, panels = new_panels(1.2 + 0.5 * len(sources), len(PANELS))
    rows = select(summary, weighting="plain")
    shown = [name for name in read_conditions(rows) if name != "matched_pairs"]
    for axes, measure in zip(panels, PANELS, strict=True):
        mine = select(rows, measure=measure)
        for shift, name in spread(shown, 0.3):
            look = Look.of_condition(name)
            look = look if name == "trained" else look.open()
            line = line_up(select(mine, condition=name), sources, "source")
            draw_points(axes, np.arange(len(sources)) + shift, line, look, flat=True)
        mark(axes, x=0.0 if measure == "difference" else 50.0)
        axes.set_xlabel("percentile points" if measure == "difference" else "percentile")
    labels = [
        f"{source}\n({count:,} {UNITS.get(source, 'pairs')})"
        for source, count in zip(sources, counts["units"], strict=True)
    ]
    for number, axes in enumerate(panels):
        dress_rows(axes, labels if number == 0 else None, len(sources))
    letter_panels(panels, PANELS.values())
    share_legend(figure, panels, ncols=5)
    return figure


@house_style()
def draw_heads(heads: pd.DataFrame) -> Figure:
    """Draw the value percentile of every query head against its key percentile, by source."""
    heads = heads[heads["value"].notna()]  # a short text may have nothing that is attended to
    sources = list(heads["source"].unique())
    figure, panels = new_panels(2.3, len(sources))
    keys = ["layer", "head"]
    for axes, source in zip(panels, sources, strict=True):
        mine = select(heads, source=source)
        wide = mine.pivot_table(index=keys, columns="measure", values="value").reset_index()
        scatter_heads(axes, wide["key_percentile"], wide["value_percentile"], wide["layer"])
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
        mark(axes, x=50, y=50)
        ends = wide[["key_percentile", "value_percentile"]]
        low, high = float(ends.min().min()) - 3, float(ends.max().max()) + 3
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="keys, percentile")
        note(axes, "values\nless alike", (1, 0), xycoords="axes fraction", ha="right")
    panels[0].set_ylabel("values, percentile")
    letter_panels(panels, sources)
    return figure
