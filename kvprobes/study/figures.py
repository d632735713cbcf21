"""Several runs side by side: whole, and by the depth of the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import (
    draw_points,
    dress_rows,
    letter_panels,
    line_up,
    read_conditions,
    share_legend,
    spread,
    wrap,
)
from analyses.shared.style import GREY, PAGE, Look, house_style, new_figure
from analyses.shared.tables import present, select
from probes.similarity import catalogue

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's: a colour a run.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", GREY)
_LINES = ("-", "--", ":", "-.")


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the runs side by side, whole and by depth."""
    return {"runs": draw_runs(tables["summary"]), "depth": draw_depth(tables["layers"])}


def draw_runs(summary: pd.DataFrame) -> Figure:
    """Draw every measure of every run, a row a run, trained heads beside their nulls.

    Parameters
    ----------
    summary
        With ``run, space, measure, condition, value, ci_low, ci_high``.
    """
    runs = present(summary["run"], ())
    measures = list(dict.fromkeys(summary["measure"]))
    with house_style():
        figure = new_figure(PAGE, 0.9 + 0.42 * len(runs))
        panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        titles = []
        for axes, measure in zip(panels, measures, strict=True):
            rows = select(summary, measure=measure)
            conditions = read_conditions(rows)
            for shift, name in zip(spread(len(conditions), 0.22), conditions, strict=True):
                mine = line_up(select(rows, condition=name), runs, "run")
                places = np.arange(len(runs)) + shift
                draw_points(axes, places, mine, Look.of_condition(name), flat=True)
            low, high = axes.get_xlim()
            axes.set_xlim(min(low, 0), max(high, 0))
            space = rows["space"].iloc[0]
            aside = "" if space == "functional" else f" ({space} space)"
            titles.append(wrap(catalogue.find_label(measure) + aside, 22))
        for axes in panels:
            dress_rows(axes, runs, len(runs))
        letter_panels(panels, titles)
        share_legend(figure, panels, ncols=4)
    return figure


def draw_depth(layers: pd.DataFrame) -> Figure:
    """Draw each measure by depth, a colour a run; thin: the mismatched heads of the same run.

    Parameters
    ----------
    layers
        With ``run, measure, depth, value``, and ``mismatched_heads_mean`` where there are any.
    """
    runs = present(layers["run"], ())
    measures = list(dict.fromkeys(layers["measure"]))
    other = catalogue.find_condition("mismatched_heads").label
    with house_style():
        figure = new_figure(PAGE, 2.4)
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=True):
            for number, run in enumerate(runs):
                rows = select(layers, measure=measure, run=run)
                style: dict[str, Any] = {
                    "color": _COLOURS[number % len(_COLOURS)],
                    "linestyle": _LINES[number // len(_COLOURS) % len(_LINES)],
                }
                axes.plot(rows["depth"], rows["value"], label=run, zorder=3, **style)
                if "mismatched_heads_mean" in rows:
                    thin = style | {"linewidth": 0.5, "alpha": 0.7}
                    axes.plot(rows["depth"], rows["mismatched_heads_mean"], **thin)
            axes.set_xlabel("depth, first to last layer")
        letter_panels(panels, [catalogue.find_measure(measure).symbol for measure in measures])
        thin_line = Look(other, GREY, "").sample(linestyle="-", linewidth=0.5)
        share_legend(figure, panels, ncols=3, samples=[thin_line])
    return figure
