"""Forest plots: a row a relation or score, points with their intervals, and maps of heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.style import COLOURS, DIVERGING, PAGE, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tol's "muted" scheme: keys and values are no conditions, and must not look like them.
KINDS = {"key": ("#332288", "o"), "value": ("#CC6677", "s")}
CLEAR = 0.05
"""Heads whose corrected p is below this are marked."""


def draw_rows(
    axes: Any,
    rows: pd.DataFrame,
    y: Any,
    *,
    colour: str,
    marker: str,
    label: str,
    hollow: bool = False,
) -> None:
    """Draw a value a row, with its interval where the table has one."""
    value = rows["value"].to_numpy(dtype=float)
    low, high = (rows[name].to_numpy(dtype=float) for name in ("ci_low", "ci_high"))
    # An interval's end can pass the value by rounding; a negative length is an error to matplotlib.
    error = np.clip(np.nan_to_num(np.stack([value - low, high - value])), 0, None)
    axes.errorbar(
        value,
        y,
        xerr=error,
        linestyle="none",
        marker=marker,
        markersize=3.8,
        markeredgewidth=0.8,
        elinewidth=0.9,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        label=label,
        zorder=2 if hollow else 3,
    )


def dress_rows(axes: Any, labels: Sequence[str] | None, count: int) -> None:
    """Name the rows, the first at the top, and draw faint lines between them."""
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_yticks(range(count), labels if labels is not None else [""] * count)
    axes.tick_params(axis="y", length=0)
    for row in range(1, count):
        axes.axhline(row - 0.5, color="#E5E5E5", linewidth=0.5, zorder=0)
    axes.locator_params(axis="x", nbins=5)


def mark(axes: Any, at: float) -> None:
    """Draw the dashed line of what nothing would give."""
    axes.axvline(at, color=COLOURS["grey"], linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)


def draw_head_maps(heads: pd.DataFrame, groups: Sequence[tuple[str, Any]], label: str) -> Figure:
    """Map ``value`` over layers and kv heads, a panel a group, one scale, with clear heads marked.

    Parameters
    ----------
    heads
        With ``layer, kv_head, value, p_max_t``.
    groups
        Title of each panel, and which rows of `heads` are its (a boolean mask).
    label
        Of the colour bar.
    """
    columns = min(5, max(1, len(groups)))
    n_rows = -(-max(1, len(groups)) // columns)
    n_layers = int(heads["layer"].max()) + 1
    n_heads = int(heads["kv_head"].max()) + 1
    limit = max(float(np.nanmax(np.abs(heads["value"]))), 1e-6)
    with house_style():
        height = float(np.clip(0.9 + 0.05 * n_layers, 1.5, 2.6))
        figure = new_figure(PAGE, 0.6 + height * n_rows)
        panels = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
        image: Any = None
        for axes, (title, mine) in zip(panels.flat, groups, strict=False):
            rows = heads[mine]
            grid = rows.pivot_table(index="layer", columns="kv_head", values="value")
            image = axes.imshow(
                grid.to_numpy(dtype=float),
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                cmap=DIVERGING,
                vmin=-limit,
                vmax=limit,
            )
            clear = rows[rows["p_max_t"] < CLEAR]
            axes.plot(
                clear["kv_head"],
                clear["layer"],
                linestyle="none",
                marker="o",
                markersize=1.6,
                markerfacecolor="white",
                markeredgecolor="black",
                markeredgewidth=0.35,
            )
            axes.set_title(f"{title}\n{len(clear)} of {len(rows)} clear", fontsize=6.5)
            axes.set_xticks(range(0, n_heads, -(-n_heads // 8)))
            axes.set_yticks(range(0, n_layers, -(-n_layers // 8)))
            axes.set_xlim(-0.5, n_heads - 0.5)
            axes.set_ylim(-0.5, n_layers - 0.5)
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        for axes in panels.flat[len(groups) :]:
            axes.set_visible(False)
        for axes in panels[:, 0]:
            axes.set_ylabel("layer")
        for place in range(columns):
            lowest = max((n for n in range(n_rows) if n * columns + place < len(groups)), default=0)
            panels[lowest, place].set_xlabel("kv head")
            panels[lowest, place].tick_params(labelbottom=True)
        if image is not None:
            bar = figure.colorbar(
                image, ax=list(panels.flat), location="bottom", shrink=0.5, aspect=40, pad=0.02
            )
            bar.set_label(label)
            bar.outline.set_visible(False)
    return figure
