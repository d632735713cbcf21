"""Every measure beside every null, and how far single heads are from shuffled words."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_points, letter_panels, mark, wrap
from analyses.shared.numbers import CLEAR
from analyses.shared.style import Asked, Look, new_panels, panel, whole_figure
from analyses.shared.tables import select
from probes.similarity import catalogue

COLUMNS = 5
TESTED = ("dissociation_ratio_5%", "representational_similarity")
"""The measures whose heads are drawn one by one."""

ALIKE = {1: "more = more alike", -1: "less = more alike", 0: ""}


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw every measure beside every null."""
    return {
        "measures": draw_measures(tables["summary"]),
        "heads": draw_heads(tables["heads"]),
    }


@whole_figure
def draw_measures(summary: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw each measure: trained mean as a line, every null's mean and spread beside it.

    Parameters
    ----------
    summary
        ``measure, condition, value, null_mean, null_sd, p_bh``; filled: the corrected p is below
        `CLEAR`.
    """
    measures = catalogue.sort_measures(summary["measure"])
    nulls = catalogue.sort_conditions(summary["condition"])
    height = 0.45 + (0.55 + 0.15 * len(nulls)) * -(-len(measures) // COLUMNS)
    figure, panels = new_panels(height, len(measures), columns=COLUMNS, sharey=True)
    for axes, name in zip(panels, measures, strict=False):
        measure = catalogue.find_measure(name)
        draw_measure(select(summary, measure=name), nulls, ax=axes)
        axes.set_title(wrap(measure.symbol), loc="left", fontsize=6.5)
        axes.set_xlabel(ALIKE[measure.direction], fontsize=6)
    labels = [catalogue.find_condition(null).label for null in nulls]
    panels[0].set_yticks(range(len(nulls)), labels)
    panels[0].set_ylim(len(nulls) - 0.5, -0.5)
    return figure


@panel
def draw_measure(rows: pd.DataFrame, nulls: list[str], *, ax: Any = None) -> None:
    """Draw one measure, a row per null: the trained mean as a line, the null's mean and spread."""
    colour = Look.of_condition(catalogue.TRAINED).colour
    ax.axvline(rows["value"].iloc[-1], color=colour, linewidth=1.4, zorder=1)
    mean, spread = rows["null_mean"], rows["null_sd"].fillna(0)
    ends = rows.assign(ci_low=mean - spread, ci_high=mean + spread)
    for place, null in enumerate(nulls):
        own, look = select(ends, condition=null), Look.of_condition(null)
        look = look if (own["p_bh"] < CLEAR).any() else look.open()
        columns = ("null_mean", "ci_low", "ci_high")
        draw_points([place] * len(own), own, look, columns=columns, flat=True, ax=ax)
    ax.locator_params(axis="x", nbins=4)


@whole_figure
def draw_heads(heads: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the standardised effect of every head against the permutations, by layer.

    Parameters
    ----------
    heads
        ``layer, measure, condition, effect, p_max_t``; filled: the corrected p is below `CLEAR`.
    """
    tested = heads[heads["p_max_t"].notna()]
    shown = [
        (measure, null)
        for measure in catalogue.sort_measures(set(TESTED) & set(tested["measure"]))
        for null in catalogue.sort_conditions(tested["condition"])
    ]
    figure, panels = new_panels(2.0, len(shown), sharex=True)
    for axes, (measure, null) in zip(panels, shown, strict=False):
        draw_effects(tested, measure, null, ax=axes)
    titles = [
        f"{wrap(catalogue.find_measure(measure).symbol)},\n{catalogue.find_condition(null).label}"
        for measure, null in shown
    ]
    letter_panels(panels, titles)
    panels[0].set_ylabel("effect, sd of the permutations")
    return figure


@panel
def draw_effects(heads: pd.DataFrame, measure: str, null: str, *, ax: Any = None) -> None:
    """Draw the effect of every head on one measure against one null, by layer."""
    colour = Look.of_condition(catalogue.TRAINED).colour
    rows = select(heads, measure=measure, condition=null)
    clear = rows["p_max_t"] < CLEAR
    for some, face in ((rows[clear], colour), (rows[~clear], "white")):
        style = {"c": face, "edgecolors": colour, "linewidths": 0.6, "zorder": 2}
        ax.scatter(some["layer"], some["effect"], s=9, **style)
    mark(ax, y=0)
    ax.set_xlabel("layer")
    ax.xaxis.get_major_locator().set_params(integer=True)
