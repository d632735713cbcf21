"""Maps over layers and kv heads: where keys and values dissociate, and where they are tieable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import MARKERS, letter, share_legend
from analyses.shared.style import (
    COLOURS,
    DIVERGING,
    LABELS,
    PAGE,
    SEQUENTIAL,
    house_style,
    new_figure,
)
from analyses.shared.tables import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIO = "dissociation_ratio_5%"
EXCESS = "excess_tieability_vs_"


def draw_maps(heads: pd.DataFrame) -> Figure:
    """Draw DR(5 %) of the word pairs and the excess tieability of every kv head, beside the nulls.

    The excess is over mismatched heads, or over a random slice of x where a layer has one kv head.

    Parameters
    ----------
    heads
        With ``layer, kv_head, population, space, measure, value`` and the nulls' ``*_mean``.
    """
    functional = select(heads, space="functional")
    ratio = select(functional, measure=RATIO, population="word pairs")
    tied = select(functional, measure="tieability")
    excess, null = pd.DataFrame(), ""
    for null in ("mismatched", "slice", "random"):
        excess = select(functional, measure=EXCESS + null)
        if len(excess):
            break
    n_layers = int(heads["layer"].max()) + 1
    with house_style():
        figure = new_figure(PAGE, float(np.clip(1.45 + 0.075 * n_layers, 2.3, 4.6)))
        panels = figure.subplots(1, 4, sharey=True, width_ratios=[1, 0.85, 1, 0.85])
        if len(ratio):
            _draw_map(panels[0], ratio, "DR(5 %)", SEQUENTIAL, _span(ratio["value"]))
            _draw_layers(panels[1], ratio, "DR(5 %)")
        if len(excess):
            limit = max(float(np.nanmax(np.abs(excess["value"]))), 1e-6)
            label = f"excess over {LABELS[null]}"
            _draw_map(panels[2], excess, label, DIVERGING, (-limit, limit))
        if len(tied):
            _draw_layers(panels[3], tied, "held-out R²")
        titles = ("dissociation", "beside its nulls", "excess tieability", "tieability")
        for axes, name, title in zip(panels, "abcd", titles, strict=True):
            letter(axes, name, title)
        panels[0].set(ylabel="layer", ylim=(-0.5, n_layers - 0.5))
        panels[0].set_yticks(_ticks(n_layers))
        share_legend(figure, panels[1::2], ncols=4)
        return figure


def _span(values: pd.Series[Any]) -> tuple[float, float]:
    """Return the range from 0, the meaningful end of the scale, to the largest value."""
    return 0.0, max(float(values.max()), 1e-6)


def _draw_map(
    axes: Any, rows: pd.DataFrame, label: str, colours: str, span: tuple[float, float]
) -> None:
    """Draw a heat map of layers, upwards, and kv heads, with its colour bar below."""
    table = rows.pivot_table(index="layer", columns="kv_head", values="value", dropna=False)
    n_heads = len(table.columns)
    mesh = axes.pcolormesh(
        np.arange(n_heads + 1) - 0.5,
        np.arange(len(table) + 1) - 0.5,
        table.to_numpy(dtype=float),
        cmap=colours,
        vmin=span[0],
        vmax=span[1],
        edgecolors="white",
        linewidth=0.25,
        rasterized=table.size > 400,
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(_ticks(n_heads))
    axes.set_xlabel("kv head")
    bar = axes.figure.colorbar(
        mesh, ax=axes, orientation="horizontal", pad=0.02, aspect=16, shrink=0.92
    )
    bar.set_label(label)
    bar.outline.set_linewidth(0.4)
    bar.ax.locator_params(nbins=4)
    bar.ax.tick_params(width=0.5, length=2)


def _draw_layers(axes: Any, rows: pd.DataFrame, label: str) -> None:
    """Draw each layer's mean over heads, trained and of every null in the table."""
    by_layer = rows.groupby("layer")
    layers = np.array(sorted(rows["layer"].unique()))
    axes.plot(
        rows["value"],
        rows["layer"],
        linestyle="none",
        marker=".",
        markersize=2.5,
        color=COLOURS["trained"],
        alpha=0.4,
        markeredgewidth=0,
    )
    for condition in ("trained", "mismatched", "random", "slice"):
        column = "value" if condition == "trained" else f"{condition}_mean"
        if column not in rows or rows[column].isna().all():
            continue
        axes.plot(
            by_layer[column].mean().reindex(layers),
            layers,
            color=COLOURS[condition],
            marker=MARKERS[condition],
            markersize=2.2,
            linewidth=0.9 if condition != "trained" else 1.3,
            label=LABELS[condition],
            zorder=4 if condition == "trained" else 3,
        )
    axes.set_xlim(left=min(0.0, float(rows["value"].min()) - 0.02))
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(label)
    axes.grid(axis="x", linewidth=0.3, color="#DDDDDD")
    axes.set_axisbelow(True)


def _ticks(count: int) -> list[int]:
    """Return about eight whole numbers from 0 below `count`."""
    step = next(s for s in (1, 2, 4, 5, 8, 10, 20, 50, 100, 10_000) if count / s <= 9)
    return list(range(0, count, step))
