"""Several runs side by side: whole, and by the depth of the layer."""

from __future__ import annotations

from itertools import product
from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_conditions,
    dress_rows,
    letter_panels,
    share_legend,
    wrap,
)
from analyses.shared.style import (
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    relabel,
    whole_figure,
)
from analyses.shared.tables import present, select
from probes.similarity import catalogue

# Okabe & Ito's: a colour per run.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", GREY)
_LINES = tuple(product(("-", "--", ":", "-."), _COLOURS))


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the runs side by side, whole and by depth."""
    return {"runs": draw_runs(tables["summary"]), "depth": draw_depth(tables["layers"])}


@whole_figure
def draw_runs(summary: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw every measure of every run, a row per run, trained heads beside their nulls.

    Parameters
    ----------
    summary
        With ``run, space, measure, condition, value, ci_low, ci_high``.
    """
    runs = present(summary["run"], ())
    measures = list(summary[["measure", "population"]].drop_duplicates().itertuples(index=False))
    height = (0.9 + 0.42 * len(runs)) * -(-len(measures) // 4)
    figure, panels = new_panels(height, len(measures), columns=4, sharey=True)
    titles = []
    for axes, (measure, population) in zip(panels, measures, strict=False):
        rows = select(summary, measure=measure, population=population)
        draw_rows(rows, runs, ax=axes)
        space = rows["space"].iloc[0]
        aside = "" if space == "functional" else f" ({space} space)"
        aside += "".join(population.partition(",")[1:])  # a kind of word pairs
        titles.append(wrap(catalogue.find_label(measure) + aside, 22))
    letter_panels(panels, titles)
    share_legend(figure, panels, ncols=4)
    return figure


@panel
def draw_rows(rows: pd.DataFrame, runs: list[str], *, ax: Any = None) -> None:
    """Draw one measure, a row per run: trained heads beside their nulls."""
    draw_conditions(rows, runs, "run", reach=0.22, flat=True, ax=ax)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0), max(high, 0))
    dress_rows(ax, [relabel(run) for run in runs], len(runs))


@whole_figure
def draw_depth(layers: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw each measure by depth, a colour per run; thin: the mismatched heads of the same run.

    Parameters
    ----------
    layers
        With ``run, measure, depth, value``, and ``mismatched_heads_mean`` where there are any.
    """
    runs = present(layers["run"], ())
    measures = list(layers["measure"].unique())
    figure, panels = new_panels(2.4, len(measures))
    for axes, measure in zip(panels, measures, strict=False):
        draw_measure(layers, measure, runs, ax=axes)
    letter_panels(panels, [catalogue.find_measure(measure).symbol for measure in measures])
    other = Look(catalogue.find_condition("mismatched_heads").label, GREY, "")
    samples = [other.sample(linestyle="-", linewidth=0.5)]
    share_legend(figure, panels, ncols=3, samples=samples)
    return figure


@panel
def draw_measure(layers: pd.DataFrame, measure: str, runs: list[str], *, ax: Any = None) -> None:
    """Draw one measure by depth, a line per run; thin: its mismatched heads."""
    for number, run in enumerate(runs):
        rows = select(layers, measure=measure, run=run)
        line, colour = _LINES[number % len(_LINES)]
        style: dict[str, Any] = {"color": colour, "linestyle": line}
        ax.plot(rows["depth"], rows["value"], label=relabel(run), zorder=3, **style)
        if "mismatched_heads_mean" in rows:
            thin = style | {"linewidth": 0.5, "alpha": 0.7}
            ax.plot(rows["depth"], rows["mismatched_heads_mean"], **thin)
    ax.set_xlabel("depth, first to last layer")
