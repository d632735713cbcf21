"""Figures of the models trained with shared projections: curves, costs, training, tieability."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_line,
    draw_points,
    letter_panels,
    line_up,
    mark,
    read_looks,
    share_legend,
    spread,
)
from analyses.shared.style import GREY, Asked, Look, new_panels, panel, whole_figure
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


@whole_figure
def draw_scaling(
    cells: pd.DataFrame,
    costs: pd.DataFrame,
    curves: pd.DataFrame,
    scaling: pd.DataFrame,
    **asked: Unpack[Asked],
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
    draw_losses(mine, curves, ax=loss)
    draw_costs(select(costs, experiment="scaling"), ax=gap)
    draw_factors(scaling[scaling["variant"] != "separate"], ax=factor)
    letter_panels(panels, ("loss against parameters", "cost by width", "size for equal loss"))
    share_legend(figure, [loss], ncols=3)
    return figure


@panel
def draw_losses(cells: pd.DataFrame, curves: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the loss of every variant against its parameters, with the fitted curves."""
    for name, look in read_looks(cells["variant"], VARIANTS).items():
        rows = select(cells, variant=name)
        curve = select(curves, variant=name, counted="scaled_parameters")
        ax.plot(curve["parameters"], curve["nats"], color=look.colour, linewidth=1)
        draw_points(rows["scaled_parameters"], rows, look, columns=NATS, ax=ax)
    ax.set_xscale("log")
    sizes = select(cells, variant="separate")["scaled_parameters"].sort_values()
    ax.set_xticks(sizes, [f"{size / 1000:,.0f}k" for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("parameters of attention and feed-forward")
    ax.set_ylabel("unseen text (nats per token)")


@panel
def draw_costs(costs: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the cost at each width with its interval, variants side by side."""
    widths = sorted(costs["d_model"].unique())
    looks = read_looks(costs["variant"], VARIANTS)
    for shift, (name, look) in spread(looks.items(), 0.08 * (len(looks) - 1)):
        rows = select(costs, variant=name)
        draw_points([widths.index(width) + shift for width in rows["d_model"]], rows, look, ax=ax)
    ax.axhspan(-MARGIN, MARGIN, color=GREY, alpha=0.2, linewidth=0)
    mark(ax, y=0, solid=True)
    ax.set_xticks(range(len(widths)), [str(width) for width in widths])
    ax.set(xlabel="d_model", ylabel=COST)


@panel
def draw_factors(scaling: pd.DataFrame, *, ax: Any = None) -> None:
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
                ax.plot(ends, [y, y], color=look.colour, linewidth=4, alpha=0.25)
            draw_points([y] * len(rows), rows, look, flat=True, ax=ax)
    mark(ax, x=1)
    ax.set_yticks(range(len(counted)), list(counted.values()))
    ax.set_ylim(len(counted) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("parameters, times separate's")


@whole_figure
def draw_variants(costs: pd.DataFrame, course: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
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
    figure, panels = new_panels(3.1, 3, width_ratios=(1.25, 0.9, 1.15))
    each, where, when = panels
    looks = read_looks(mine["variant"], VARIANTS)
    draw_rows(mine, [looks[name] for name in mine["variant"]], ax=each)
    positions = present(by_positions["positions"], POSITIONS)
    rows = line_up(by_positions, positions, "positions")
    draw_rows(rows, [VARIANTS["tied"].named(name) for name in positions], ax=where)
    draw_course(select(course, experiment="variants"), ax=when)
    first = f"every variant, d_model {int(mine['d_model'].iloc[0])}"
    letter_panels(panels, (first, "K = V by positions", "where it opens"))
    share_legend(figure, [when], ncols=4)
    return figure


@panel
def draw_rows(costs: pd.DataFrame, looks: list[Look], *, ax: Any = None) -> None:
    """Draw costs with their intervals, a row each from below, named by its look."""
    for place, look in enumerate(looks):
        draw_points(place, costs.iloc[place], look, flat=True, ax=ax)
    ax.set_yticks(range(len(looks)), [look.label for look in looks])
    ax.set_ylim(-0.5, len(looks) - 0.5)
    ax.axvspan(-MARGIN, MARGIN, color=GREY, alpha=0.2, linewidth=0)
    mark(ax, x=0, solid=True)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(COST)


@panel
def draw_course(course: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the cost of the variants `FOLLOWED` over the steps of training."""
    for name in FOLLOWED:
        rows = select(course, variant=name).sort_values("step")
        draw_line(rows["step"], rows, VARIANTS[name], ax=ax)
    lines = course["value"]
    ax.set_ylim(min(-0.02, 1.1 * lines.min()), 1.15 * lines.max())
    mark(ax, y=0, solid=True)
    ax.set(xlabel="training step", ylabel=COST)


@whole_figure
def draw_tieability(tieability: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw how far values are a linear map of keys in the models, before and after training.

    Parameters
    ----------
    tieability
        ``experiment, variant, when, measure, value, ci_low, ci_high``.
    """
    mine = select(tieability, experiment="variants", task="text")
    figure, panels = new_panels(2.7, 2, sharey=True)
    for axes, measure in zip(panels, ("r2", "excess"), strict=True):
        draw_training(mine, measure, ax=axes)
    letter_panels(panels, ("tieability: open, untrained; filled, trained", "excess tieability"))
    return figure


@panel
def draw_training(tieability: pd.DataFrame, measure: str, *, ax: Any = None) -> None:
    """Draw ``r2`` or ``excess`` of every variant, before training (open) and after it."""
    looks = read_looks(tieability["variant"], VARIANTS)
    for place, (name, look) in enumerate(looks.items()):
        rows = select(tieability, variant=name, measure=measure)
        for shift, when in ((-0.14, "untrained"), (0.14, "trained")):
            own, shown = select(rows, when=when), look if when == "trained" else look.open()
            draw_points([place + shift] * len(own), own, shown, flat=True, ax=ax)
    ax.set_yticks(range(len(looks)), [look.label for look in looks.values()])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(looks) - 0.5, -0.5)
    if measure == "r2":
        ax.set(xlim=(0, 1.05), xlabel="R² of what a head writes from its keys")
    else:
        mark(ax, x=0, solid=True)
        ax.set_xlabel("excess over mismatched heads")
