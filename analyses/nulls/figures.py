"""Every measure beside every null, and how far single heads lie from shuffled words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.nulls.section import LEVEL, NULLS, SHOWN
from analyses.shared.drawing import letter, wrap_title
from analyses.shared.style import COLOURS, PAGE, house_style, new_figure
from analyses.shared.tables import present, select
from probes.similarity.sides import DIRECTIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 5


def draw_measures(summary: pd.DataFrame) -> Figure:
    """Draw each measure: trained mean as a line, every null's mean and spread beside it."""
    measures = present(summary["measure"], tuple(SHOWN))
    nulls = present(summary["null"], tuple(NULLS))
    n_rows = -(-len(measures) // COLUMNS)
    with house_style():
        figure = new_figure(PAGE, 0.35 + 1.75 * n_rows)
        axes = figure.subplots(n_rows, COLUMNS, sharey=True, squeeze=False)
        for axis, measure in zip(axes.flat, measures, strict=False):
            _draw_measure(axis, select(summary, measure=measure), nulls)
            more = "more" if DIRECTIONS[measure] > 0 else "less"
            axis.set_title(wrap_title(SHOWN[measure]), loc="left", fontsize=6.5)
            axis.set_xlabel(f"{more} = more alike", fontsize=6)
        for axis in axes.flat[len(measures) :]:
            axis.set_axis_off()
        axes[0, 0].set_yticks(range(len(nulls)), nulls)
        axes[0, 0].set_ylim(len(nulls) - 0.5, -0.5)
    return figure


def _draw_measure(axis: Any, rows: pd.DataFrame, nulls: list[str]) -> None:
    axis.axvline(rows["value"].iloc[-1], color=COLOURS["trained"], linewidth=1.4, zorder=1)
    for place, null in enumerate(nulls):
        own = select(rows, null=null)
        if own.empty:
            continue
        row = own.iloc[0]
        axis.errorbar(
            row["null_mean"],
            place,
            xerr=0 if pd.isna(row["null_sd"]) else row["null_sd"],
            color=COLOURS["mismatched"],
            marker="o",
            markersize=3.6,
            markerfacecolor=COLOURS["mismatched"] if row["p_bh"] < LEVEL else "white",
            elinewidth=0.9,
        )
    axis.locator_params(axis="x", nbins=4)


def draw_heads(heads: pd.DataFrame) -> Figure:
    """Draw the standardised effect of every head against the permutations, by layer."""
    measures = ("dissociation_ratio_5%", "representational_similarity")
    tested = heads[heads["p_max_t"].notna()]
    nulls = present(tested["null"], tuple(NULLS))
    with house_style():
        figure = new_figure(PAGE, 2.0)
        axes = figure.subplots(1, len(measures) * len(nulls), sharex=True, squeeze=False)
        panels = [(measure, null) for measure in measures for null in nulls]
        for name, axis, (measure, null) in zip("abcdef", axes[0], panels, strict=False):
            rows = select(tested, measure=measure, null=null)
            clear = (rows["p_max_t"] < LEVEL).to_numpy()
            colours = np.where(clear, COLOURS["trained"], "white")
            axis.scatter(
                rows["layer"],
                rows["effect"],
                s=9,
                c=list(colours),
                edgecolors=COLOURS["trained"],
                linewidths=0.6,
                zorder=2,
            )
            axis.axhline(0, color=COLOURS["grey"], linewidth=0.6, linestyle="--", zorder=1)
            axis.set_xlabel("layer")
            letter(axis, name, f"{wrap_title(SHOWN[measure])},\n{null}")
        axes[0, 0].set_ylabel("effect, sd of the permutations")
    return figure
