"""Figures of the models trained with shared projections: curves, costs, training, tieability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_line,
    draw_points,
    letter_panels,
    mark,
    read_looks,
    share_legend,
    spread,
)
from analyses.shared.style import GREY, house_style, new_panels
from analyses.shared.tables import present, select
from analyses.tying.tables import MARGIN
from analyses.tying.task_figures import VARIANTS, draw_tasks

POSITIONS = ("rotary", "learned", "none")
NATS = ("nats", "nats_low", "nats_high")
FOLLOWED = ("tied", "tied_wide", "query_key", "all_tied")
"""Variants whose training is drawn."""

COST = "loss less that of separate (nats)"


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the curves, the costs, the synthetic tasks and tieability."""
    return {
        "scaling": draw_scaling(
            *(tables[name] for name in ("cells", "costs", "curves", "scaling"))
        ),
        "variants": draw_variants(tables["costs"], tables["course"]),
        "tasks": draw_tasks(tables["cells"], tables["learning"]),
        "tieability": draw_tieability(tables["tieability"]),
    }


@house_style()
def draw_scaling(
    cells: pd.DataFrame, costs: pd.DataFrame, curves: pd.DataFrame, scaling: pd.DataFrame
) -> Figure:
    """Draw loss against parameters with the fitted curves, the costs by width, and the factor.

    Parameters
    ----------
    cells
        ``experiment, variant, scaled_parameters, nats, nats_low, nats_high``.
    costs
        ``experiment, variant, d_model, value, ci_low, ci_high``.
    curves
        ``variant, counted, parameters, nats``.
    scaling
        ``variant, counted, value, ci_low, ci_high, least, most``.
    """
    mine = select(cells, experiment="scaling")
    figure, panels = new_panels(2.9, 3, width_ratios=(1.4, 1, 1))
    loss, gap, factor = panels
    for name, look in read_looks(mine["variant"], VARIANTS).items():
        rows = select(mine, variant=name)
        curve = select(curves, variant=name, counted="scaled_parameters")
        loss.plot(curve["parameters"], curve["nats"], color=look.colour, linewidth=1)
        draw_points(loss, rows["scaled_parameters"], rows, look, columns=NATS)
    loss.set_xscale("log")
    sizes = select(mine, variant="separate")["scaled_parameters"].sort_values()
    loss.set_xticks(sizes, [f"{size / 1000:,.0f}k" for size in sizes])
    loss.minorticks_off()
    loss.set_xlabel("parameters of attention and feed-forward")
    loss.set_ylabel("unseen text (nats a token)")
    _draw_costs(gap, select(costs, experiment="scaling"))
    _draw_factors(factor, scaling[scaling["variant"] != "separate"])
    letter_panels(panels, ("loss against parameters", "cost by width", "size for equal loss"))
    share_legend(figure, [loss], ncols=3)
    return figure


def _draw_costs(axes: Any, costs: pd.DataFrame) -> None:
    """Draw the cost at each width with its interval, variants side by side."""
    widths = sorted(costs["d_model"].unique())
    looks = read_looks(costs["variant"], VARIANTS)
    for shift, (name, look) in spread(looks.items(), 0.08 * (len(looks) - 1)):
        rows = select(costs, variant=name)
        draw_points(axes, [widths.index(width) + shift for width in rows["d_model"]], rows, look)
    axes.axhspan(-MARGIN, MARGIN, color=GREY, alpha=0.2, linewidth=0)
    mark(axes, y=0, solid=True)
    axes.set_xticks(range(len(widths)), [str(width) for width in widths])
    axes.set(xlabel="d_model", ylabel=COST)


def _draw_factors(axes: Any, scaling: pd.DataFrame) -> None:
    """Draw how many times the parameters equal loss takes; broad: without a width at a time."""
    counted = {
        "scaled_parameters": "attention and\nfeed-forward",
        "parameters": "all\nparameters",
    }
    looks = read_looks(scaling["variant"], VARIANTS)
    for number, name in enumerate(counted):
        for shift, (variant, look) in spread(looks.items(), 0.15):
            rows, y = select(scaling, counted=name, variant=variant), number + shift
            for ends in rows.loc[np.isfinite(rows["least"]), ["least", "most"]].to_numpy():
                axes.plot(ends, [y, y], color=look.colour, linewidth=4, alpha=0.25)
            draw_points(axes, [y] * len(rows), rows, look, flat=True)
    mark(axes, x=1)
    axes.set_yticks(range(len(counted)), list(counted.values()))
    axes.set_ylim(len(counted) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("parameters, times separate's")


@house_style()
def draw_variants(costs: pd.DataFrame, course: pd.DataFrame) -> Figure:
    """Draw every variant's cost at one width, by positions, and where in training it opens.

    Parameters
    ----------
    costs
        ``experiment, positions, variant, value, ci_low, ci_high``.
    course
        The same with ``step``.
    """
    mine = select(costs, experiment="variants").sort_values("value", ascending=False)
    by_positions = select(costs, experiment="positions")
    positions = present(by_positions["positions"], POSITIONS)
    training = select(course, experiment="variants")
    figure, panels = new_panels(3.1, 3, width_ratios=(1.25, 0.9, 1.15))
    each, where, when = panels
    looks = read_looks(mine["variant"], VARIANTS)
    for place, name in enumerate(mine["variant"]):
        draw_points(each, place, mine.iloc[place], looks[name], flat=True)
    each.set_yticks(range(len(mine)), [looks[name].label for name in mine["variant"]])
    for place, name in enumerate(positions):
        row = select(by_positions, positions=name).iloc[0]
        draw_points(where, place, row, VARIANTS["tied"], flat=True)
    where.set_yticks(range(len(positions)), positions)
    where.set_ylim(-0.5, len(positions) - 0.5)
    for axes in (each, where):
        axes.axvspan(-MARGIN, MARGIN, color=GREY, alpha=0.2, linewidth=0)
        mark(axes, x=0, solid=True)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(COST)
    for name in FOLLOWED:
        rows = select(training, variant=name).sort_values("step")
        draw_line(when, rows["step"], rows, VARIANTS[name])
    lines = training["value"]
    when.set_ylim(min(-0.02, 1.1 * lines.min()), 1.15 * lines.max())
    mark(when, y=0, solid=True)
    when.set(xlabel="training step", ylabel=COST)
    first = f"every variant, d_model {int(mine['d_model'].iloc[0])}"
    letter_panels(panels, (first, "K = V by positions", "where it opens"))
    share_legend(figure, [when], ncols=4)
    return figure


@house_style()
def draw_tieability(tieability: pd.DataFrame) -> Figure:
    """Draw how far values are a linear map of keys in the models, before and after training.

    Parameters
    ----------
    tieability
        ``experiment, variant, when, measure, value, ci_low, ci_high``.
    """
    mine = select(tieability, experiment="variants", task="text")
    looks = read_looks(mine["variant"], VARIANTS)
    figure, panels = new_panels(2.7, 2, sharey=True)
    for axes, measure in zip(panels, ("r2", "excess"), strict=True):
        for place, (name, look) in enumerate(looks.items()):
            rows = select(mine, variant=name, measure=measure)
            for shift, when in ((-0.14, "untrained"), (0.14, "trained")):
                own, shown = select(rows, when=when), look if when == "trained" else look.open()
                draw_points(axes, [place + shift] * len(own), own, shown, flat=True)
        axes.set_yticks(range(len(looks)), [look.label for look in looks.values()])
        axes.tick_params(axis="y", length=0)
    r2, excess = panels
    r2.set_ylim(len(looks) - 0.5, -0.5)
    r2.set(xlim=(0, 1.05), xlabel="R² of what a head writes from its keys")
    mark(excess, x=0, solid=True)
    excess.set_xlabel("excess over mismatched heads")
    letter_panels(panels, ("tieability: open, untrained; filled, trained", "excess tieability"))
    return figure
