"""Figures of the models trained with shared projections: curves, costs, training, tieability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import letter, share_legend
from analyses.shared.style import COLOURS, PAGE, house_style, new_figure
from analyses.shared.tables import select
from analyses.tying.tables import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = {
    "separate": ("separate", "#0072B2", "o"),
    "tied": ("K = V", "#D55E00", "s"),
    "tied_wide": ("K = V at equal parameters", "#E69F00", "D"),
    "half_tied": ("half-tied", "#CC79A7", "P"),
    "diagonal": ("V = diagonal of K", "#009E73", "^"),
    "per_head": ("V = linear map of K", "#56B4E9", "v"),
    "query_key": ("Q = K", "#332288", "<"),
    "all_tied": ("Q = K = V", "#882255", ">"),
    "grouped": ("grouped-query", "#999933", "X"),
    "multi_query": ("multi-query", "#666666", "p"),
}
"""Variant -> label, colour (Okabe-Ito, Tol), marker: the same in every figure."""

POSITIONS = ("rotary", "learned", "none")


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
    with house_style():
        figure = new_figure(PAGE, 2.9)
        loss, gap, factor = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
        for name in dict.fromkeys(mine["variant"]):
            label, colour, marker = STYLES[name]
            rows = select(mine, variant=name).sort_values("scaled_parameters")
            curve = select(curves, variant=name, counted="scaled_parameters")
            loss.plot(curve["parameters"], curve["nats"], color=colour, lw=1)
            draw_errors(loss, rows["scaled_parameters"], rows, "nats", colour, marker, label)
        loss.set_xscale("log")
        sizes = select(mine, variant="separate")["scaled_parameters"].sort_values()
        loss.set_xticks(sizes, [f"{size / 1000:,.0f}k" for size in sizes])
        loss.minorticks_off()
        loss.set_xlabel("parameters of attention and feed-forward")
        loss.set_ylabel("unseen text (nats a token)")
        _draw_gaps(gap, select(costs, experiment="scaling"))
        shown = ("scaled_parameters", "parameters")
        names = [name for name in dict.fromkeys(scaling["variant"]) if name != "separate"]
        for number, counted in enumerate(shown):
            for place, name in enumerate(names):
                row = select(scaling, counted=counted, variant=name).iloc[0]
                _, colour, marker = STYLES[name]
                y = -number + 0.15 - 0.3 * place / max(1, len(names) - 1)
                if np.isfinite(row["least"]):
                    factor.plot([row["least"], row["most"]], [y, y], color=colour, lw=4, alpha=0.25)
                draw_flat(factor, row, y, colour, marker)
        factor.axvline(1, color=COLOURS["grey"], lw=0.6, ls=(0, (4, 3)), zorder=0)
        factor.set_yticks([0, -1], ["attention and\nfeed-forward", "all\nparameters"])
        factor.set_ylim(-1.5, 0.5)
        factor.tick_params(axis="y", length=0)
        factor.set_xlabel("parameters, times separate's")
        letter(loss, "a", "loss against parameters")
        letter(gap, "b", "cost by width")
        letter(factor, "c", "parameters for equal loss")
        share_legend(figure, [loss], ncols=3)
    return figure


def _draw_gaps(axes: Any, costs: pd.DataFrame) -> None:
    """Draw the cost at each width with its interval, variants side by side."""
    names, widths = list(dict.fromkeys(costs["variant"])), sorted(costs["d_model"].unique())
    for place, name in enumerate(names):
        rows = select(costs, variant=name).sort_values("d_model")
        shift = 0.16 * (place - (len(names) - 1) / 2)
        at = [widths.index(width) + shift for width in rows["d_model"]]
        _, colour, marker = STYLES[name]
        named = rows.rename(columns={"ci_low": "value_low", "ci_high": "value_high"})
        draw_errors(axes, at, named, "value", colour, marker, "")
    axes.axhspan(-MARGIN, MARGIN, color=COLOURS["grey"], alpha=0.2, lw=0)
    axes.axhline(0, color=COLOURS["grey"], lw=0.6)
    axes.set_xticks(range(len(widths)), [str(width) for width in widths])
    axes.set_xlabel("d_model")
    axes.set_ylabel("loss less that of separate (nats)")


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
    with house_style():
        figure = new_figure(PAGE, 3.1)
        all_of_them, where, when = figure.subplots(1, 3, width_ratios=(1.25, 0.9, 1.15))
        for place, row in enumerate(mine.to_dict("records")):
            _, colour, marker = STYLES[str(row["variant"])]
            draw_flat(all_of_them, row, place, colour, marker)
        all_of_them.set_yticks(range(len(mine)), [STYLES[name][0] for name in mine["variant"]])
        by_positions = select(costs, experiment="positions")
        shown = [name for name in POSITIONS if name in set(by_positions["positions"])]
        for place, name in enumerate(shown):
            draw_flat(
                where,
                select(by_positions, positions=name).iloc[0],
                place,
                STYLES["tied"][1],
                STYLES["tied"][2],
            )
        where.set_yticks(range(len(shown)), shown)
        where.set_ylim(-0.5, len(shown) - 0.5)
        for axes in (all_of_them, where):
            axes.axvspan(-MARGIN, MARGIN, color=COLOURS["grey"], alpha=0.2, lw=0)
            axes.axvline(0, color=COLOURS["grey"], lw=0.6)
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel("loss less that of separate (nats)")
        training = select(course, experiment="variants")
        for name in ("tied", "tied_wide", "query_key", "all_tied"):
            rows = select(training, variant=name).sort_values("step")
            label, colour, marker = STYLES[name]
            steps = rows["step"]
            when.fill_between(steps, rows["ci_low"], rows["ci_high"], color=colour, alpha=0.2, lw=0)
            when.plot(steps, rows["value"], color=colour, marker=marker, ms=2.8, label=label)
        lines = training["value"]
        when.set_ylim(min(-0.02, 1.1 * lines.min()), 1.15 * lines.max())
        when.axhline(0, color=COLOURS["grey"], lw=0.6)
        when.set_xlabel("training step")
        when.set_ylabel("loss less that of separate (nats)")
        width = int(mine["d_model"].iloc[0])
        letter(all_of_them, "a", f"every variant, d_model {width}")
        letter(where, "b", "K = V by positions")
        letter(when, "c", "where it opens")
        share_legend(figure, [when], ncols=4)
    return figure


def draw_tieability(tieability: pd.DataFrame) -> Figure:
    """Draw how far values are a linear map of keys in the models, before and after training.

    Parameters
    ----------
    tieability
        ``experiment, variant, when, measure, value, ci_low, ci_high``.
    """
    mine = select(tieability, experiment="variants", task="text")
    with house_style():
        figure = new_figure(PAGE, 2.7)
        r2, excess = figure.subplots(1, 2, sharey=True)
        names = [name for name in STYLES if name in set(mine["variant"])]
        for axes, measure in ((r2, "r2"), (excess, "excess")):
            for place, name in enumerate(names[::-1]):
                for when, face, shift in (("untrained", "white", 0.14), ("trained", None, -0.14)):
                    rows = select(mine, variant=name, measure=measure, when=when)
                    if len(rows):
                        _, colour, marker = STYLES[name]
                        row = rows.iloc[0]
                        draw_flat(axes, row, place + shift, colour, marker, face=face)
            axes.set_yticks(range(len(names)), [STYLES[name][0] for name in names[::-1]])
            axes.tick_params(axis="y", length=0)
        r2.set_xlim(0, 1.05)
        r2.set_xlabel("R² of what a head writes from its keys")
        excess.axvline(0, color=COLOURS["grey"], lw=0.6)
        excess.set_xlabel("excess over mismatched heads")
        letter(r2, "a", "tieability: open, untrained; filled, trained")
        letter(excess, "b", "excess tieability")
    return figure


def draw_errors(
    axes: Any, x: Any, rows: pd.DataFrame, figure: str, colour: str, marker: str, label: str
) -> None:
    """Draw the column `figure` over `x`, with its interval from the columns _low and _high."""
    value = rows[figure].to_numpy(dtype=float)
    ends = np.stack([value - rows[f"{figure}_low"], rows[f"{figure}_high"] - value])
    axes.errorbar(
        x,
        value,
        yerr=np.clip(np.nan_to_num(ends), 0, None),
        color=colour,
        marker=marker,
        ms=3.6,
        ls="none",
        elinewidth=0.9,
        label=label,
    )


def draw_flat(
    axes: Any, row: Any, y: float | int, colour: str, marker: str, *, face: str | None = None
) -> None:
    """Draw the value of one row, to the right at height `y`, with its interval."""
    value, low, high = (float(row[name]) for name in ("value", "ci_low", "ci_high"))
    error = np.clip(np.nan_to_num([[value - low], [high - value]]), 0, None)
    axes.errorbar(
        value,
        y,
        xerr=error,
        color=colour,
        marker=marker,
        ms=3.8,
        ls="none",
        elinewidth=0.9,
        markerfacecolor=face or colour,
    )
