"""Draw what a model loses when values are made from keys, and what predicts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_by_layer,
    draw_line,
    draw_points,
    dress_rows,
    letter_panels,
    line_up,
    mark,
    read_looks,
    scatter_heads,
    share_legend,
    spread,
)
from analyses.shared.maps import add_bar, draw_map, give_height
from analyses.shared.style import (
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
from analyses.shared.tables import present, select
from probes.similarity import catalogue

SCOPES = {"all": "all layers", "layer": "one layer", "head": "one kv head"}
EXCESS = "excess_tieability_vs_"
RISE = ("rise", "ci_low", "ci_high")
RECOVERED = ("recovered", "recovered_low", "recovered_high")
# Tol's: what is correlated, and which directions are kept, are no conditions.
COSTS = {
    "rise": Look("rise", "#332288", "o"),
    "rise of mean ablation": Look("rise of mean ablation", GREY, "s"),
    "rise, mean ablation held constant": Look("rise, ablation held constant", "#AA4499", "D"),
    "share not recovered": Look("share not recovered", "#44AA99", "^"),
}
DIRECTIONS = {
    "best": Look("best for the values", "#332288", "o"),
    "top": Look("largest of the keys", "#AA4499", "s", "--"),
}


def list_looks() -> dict[str, Look]:
    """Return the kinds of substitution, in order, with the look of each."""
    return {
        "keys": Look.of_condition(catalogue.TRAINED).named("own keys"),
        "other keys": Look.of_condition("mismatched_heads").named("another head's keys"),
        "random_slice": Look.of_condition("random_slice"),
        "clamp": Look("keys as they are", "#44AA99", "^"),
        "mean": Look("mean value", GREY, "v"),
        "reverse": Look("keys from values", "#E69F00", "P"),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw what comes back, head by head and as a curve over ranks."""
    return {
        "summary": draw_summary(tables["summary"], tables["ranks"]),
        "heads": draw_heads(tables["heads"], tables["layers"]),
        "geometry": draw_geometry(tables["heads"], tables["geometry"]),
    }


@whole_figure
def draw_summary(summary: pd.DataFrame, ranks: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the rise of every kind and scope, what comes back, and the curve over ranks.

    Parameters
    ----------
    summary
        ``scope, kind, fit, rise, ci_low, ci_high, recovered, recovered_low, recovered_high``.
    ranks
        ``directions, rank, recovered, recovered_low, recovered_high``; rank -1 is all.
    """
    groups = group_scopes(summary)
    figure, panels = new_panels(2.9, 3, width_ratios=(1.15, 1.15, 1))
    rise, back, curve = panels
    draw_rises(groups, ax=rise)
    draw_recovered(groups, ax=back)
    back.set_yticklabels([])
    draw_ranks(ranks, ax=curve)
    letter_panels(panels, ("what is lost", "what comes back", "how much of k is needed"))
    share_legend(figure, [rise], ncols=6, handletextpad=0.2)
    return figure


def group_scopes(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each scope, and for all layers of each fit, by what they are called."""
    return {
        SCOPES.get(scope, scope) + (f",\nfitted {fit}" if scope == "all" else ""): mine
        for scope in present(summary["scope"], tuple(SCOPES))
        for fit in present(summary["fit"], ("at once", "in order"))
        if len(mine := select(summary, scope=scope, fit=fit))
    }


@panel
def draw_rises(groups: Mapping[str, pd.DataFrame], *, ax: Any = None) -> None:
    """Draw the rise of the loss under every kind of substitution, a row per scope."""
    for number, mine in enumerate(groups.values()):
        for shift, (kind, look) in spread(read_looks(mine["kind"], list_looks()).items(), 0.32):
            row = select(mine, kind=kind)
            draw_points(number + shift, row, look, columns=RISE, flat=True, ax=ax)
    dress_rows(ax, list(groups), len(groups))
    rows = pd.concat(groups.values())
    lowest, highest = float(rows["ci_low"].min()), float(rows["ci_high"].max())
    _scale_rises(ax, min(1.5 * lowest, -0.002), 1.5 * max(highest, 0.1))
    ax.set_xlabel("rise of cross-entropy (nats per token)")


@panel
def draw_recovered(groups: Mapping[str, pd.DataFrame], *, ax: Any = None) -> None:
    """Draw how much of what mean values lose comes back with every kind, a row per scope."""
    lowest = 0.0
    for number, mine in enumerate(groups.values()):
        for shift, (kind, look) in spread(read_looks(mine["kind"], list_looks()).items(), 0.32):
            if kind != "mean":
                row = select(mine, kind=kind)
                draw_points(number + shift, row, look, columns=RECOVERED, flat=True, ax=ax)
                lowest = float(np.fmin(lowest, row["recovered"].min() - 0.1))
    dress_rows(ax, list(groups), len(groups))
    ax.set_xlim(min(-0.05, lowest), 1.05)
    mark(ax, x=0)
    mark(ax, x=1)
    ax.set_xlabel("recovered: 1 - rise / rise of mean")


def _scale_rises(axes: Any, low: float, high: float) -> None:
    """Scale an axis of rises by powers of ten, and evenly around 0."""
    axes.set_xscale("symlog", linthresh=0.01, linscale=0.5)
    axes.set_xticks([0, 0.01, 0.1, 1, 10], ["0", ".01", ".1", "1", "10"])
    axes.set_xlim(low, high)
    mark(axes, x=0, solid=True)


@panel
def draw_ranks(ranks: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw what comes back against the number of directions; all of them are at the right."""
    most = int(ranks["rank"].max())
    placed = ranks.assign(place=ranks["rank"].replace({0: 0.5, -1: 2 * most})).sort_values("place")
    for directions, look in read_looks(ranks["directions"], DIRECTIONS).items():
        mine = select(placed, directions=directions)
        draw_line(mine["place"], mine, look, columns=RECOVERED, ax=ax)
    ax.set_xscale("log", base=2)
    ticks = sorted({rank for rank in ranks["rank"] if rank > 0})
    ax.set_xticks([0.5, *ticks, 2 * most], ["0", *map(str, ticks), "all"])
    ax.minorticks_off()
    mark(ax, y=0)
    ax.set(xlabel="directions of each key", ylabel="recovered")
    ax.legend(loc="best", frameon=True, framealpha=0.8, edgecolor="none")


@whole_figure
def draw_heads(heads: pd.DataFrame, layers: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Map the rise when one head's values come from keys, or are their mean; and by layer.

    Parameters
    ----------
    heads
        ``kind, layer, kv_head, rise``.
    layers
        ``kind, layer, rise``.
    """
    shown = read_looks(heads["kind"], list_looks())
    top = float(np.fmax(heads["rise"].max(), 1e-3))
    norm = SymLogNorm(linthresh=1e-3, vmin=0, vmax=top)
    height, widths = give_height(layers["layer"].nunique()), [*[0.8] * len(shown), 1.6]
    figure, panels = new_panels(height, len(shown) + 1, sharey=True, width_ratios=widths)
    *maps, line = panels
    for axes, kind in zip(maps, shown, strict=True):
        mine = select(heads, kind=kind)
        image = draw_map(mine.assign(rise=mine["rise"].clip(lower=0)), norm, value="rise", ax=axes)
    if maps:
        maps[0].set_ylabel("layer")
        bar = add_bar(image, maps, "rise, one head (nats per token)")
        ticks = [0, *(10.0**power for power in range(-3, 2) if 10.0**power <= top)]
        bar.set_ticks(ticks, labels=["≤ 0", *(f"{tick:g}" for tick in ticks[1:])], minor=False)
    draw_layer_rises(layers, ax=line)
    letter_panels(panels, [*(look.label for look in shown.values()), "whole layers"])
    share_legend(figure, [line], ncols=6, handletextpad=0.2)
    return figure


@panel
def draw_layer_rises(layers: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the rise when all heads of a layer are substituted, a line per kind."""
    rises = layers.pivot_table(index="layer", columns="kind", values="rise").reset_index()
    looks = read_looks(layers["kind"], list_looks())
    draw_by_layer(rises, lines=looks, dots=None, beside_map=True, ax=ax)
    lowest, highest = float(layers["rise"].min()), float(layers["rise"].max())
    _scale_rises(ax, min(1.2 * lowest, -0.002), 1.5 * max(highest, 0.1))
    ax.set_xlabel("rise, whole layer (nats per token)")


@whole_figure
def draw_geometry(heads: pd.DataFrame, geometry: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw whether geometry predicts cost: a scatter over heads, and all rank correlations.

    Parameters
    ----------
    heads
        ``kind, layer, kv_head, rise, r2_text``.
    geometry
        ``measure, cost, value, ci_low, ci_high``.
    """
    height = max(2.6, 1.6 + 0.34 * geometry["measure"].nunique())
    figure, panels = new_panels(height, 2, width_ratios=(1, 1.25))
    scatter, dots = panels
    draw_costs(heads, ax=scatter)
    draw_predictions(geometry, ax=dots)
    share_legend(figure, [dots], ncols=4)
    letter_panels(panels, ("one point per kv head", "does the measure predict the cost?"))
    return figure


@panel
def draw_costs(heads: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw a point per kv head: the rise when its values come from its keys, against their fit."""
    mine = select(heads, kind="keys")
    scatter_heads(mine["r2_text"], mine["rise"], mine["layer"], ax=ax)
    ax.set_yscale("symlog", linthresh=1e-2)
    mark(ax, y=0, solid=True)
    ax.set_xlabel("R² of values from keys (functional, this text)")
    ax.set_ylabel("rise, one head's values from its keys (nats)")


@panel
def draw_predictions(geometry: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the rank correlation of every measure with every cost, a row per measure."""
    measures = list(geometry["measure"].unique())
    for shift, (cost, look) in spread(read_looks(geometry["cost"], COSTS).items(), 0.24):
        rows = line_up(select(geometry, cost=cost), measures, "measure")
        draw_points(np.arange(len(measures)) + shift, rows, look, flat=True, ax=ax)
    dress_rows(ax, [_tell(name) for name in measures], len(measures))
    mark(ax, x=0, solid=True)
    ax.set_xlim(-1, 1)
    ax.set_xticks([-1, -0.5, 0, 0.5, 1], ["-1", "-.5", "0", ".5", "1"])
    ax.set_xlabel("rank correlation over kv heads, 95 % interval")


def _tell(measure: str) -> str:
    """Name what is correlated with the costs, in two lines where that is long."""
    if measure == "r2_text":
        return "R² of the fit, this text"
    if measure.startswith(EXCESS):
        return catalogue.find_label(measure).replace(" over ", "\nover ")
    return catalogue.find_measure(measure).symbol
