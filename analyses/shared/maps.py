"""Heat maps of layers and heads, one or many on one scale, with their colour bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.shared.drawing import wrap
from analyses.shared.numbers import CLEAR
from analyses.shared.style import DIVERGING, SEQUENTIAL, Asked, new_panels, whole_figure

COLUMNS = 5
"""Maps side by side at most."""


def draw_map(
    rows: pd.DataFrame,
    norm: Normalize,
    *,
    ax: Any,
    value: str = "value",
    head: str = "kv_head",
    colours: str = SEQUENTIAL,
    dots: pd.DataFrame | None = None,
) -> ScalarMappable:
    """Draw layers upwards and heads to the right; heads without a number stay white.

    Parameters
    ----------
    rows
        With ``layer``, the columns `head` and `value`, and a row per head.
    norm
        From numbers to colours; `scale_from_zero` and `scale_around_zero` make one.
    dots
        The rows of the heads that get a small mark.

    Returns
    -------
    What `add_bar` needs.
    """
    n_layers, n_heads = (
        (int(rows[name].max()) + 1 if len(rows) else 0) for name in ("layer", head)
    )
    if len(rows):
        grid = rows.pivot_table(index="layer", columns=head, values=value, dropna=False)
        sns.heatmap(
            grid.reindex(index=range(n_layers), columns=range(n_heads)).astype(float),
            ax=ax,
            cmap=colours,
            norm=norm,
            vmin=norm.vmin,
            vmax=norm.vmax,
            cbar=False,
            linewidths=0.25,
            xticklabels=False,
            yticklabels=False,
            rasterized=n_layers * n_heads > 400,
        )
        # A map is its own scale: the first layer is at the bottom.
        ax.set_ylim(0, n_layers)
    if dots is not None:
        ax.plot(
            dots[head] + 0.5,
            dots["layer"] + 0.5,
            linestyle="none",
            marker="o",
            markersize=1.6,
            markerfacecolor="white",
            markeredgecolor="black",
            markeredgewidth=0.35,
        )
    for axis, count in ((ax.xaxis, n_heads), (ax.yaxis, n_layers)):
        shown = range(0, count, choose_step(count))
        axis.set_ticks([place + 0.5 for place in shown], [str(place) for place in shown])
    ax.set(xlabel=head.replace("_", " "), ylabel="")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ScalarMappable(norm=norm, cmap=colours)


def choose_step(count: int) -> int:
    """Return a round step that gives at most nine ticks over `count` whole numbers."""
    return next(step for step in (1, 2, 4, 5, 8, 10, 20, 50, 100, 10_000) if count / step <= 9)


def scale_from_zero(values: pd.Series[Any]) -> Normalize:
    """Colour from 0, the meaningful end of the scale, to the largest number."""
    return Normalize(0, float(np.fmax(values.max(), 1e-6)))


def scale_around_zero(values: pd.Series[Any]) -> Normalize:
    """Colour as far below 0 as above it, to the number farthest from it."""
    limit = float(np.fmax(values.abs().max(), 1e-6))
    return Normalize(-limit, limit)


def add_bar(mappable: Any, axes: Any, label: str, **style: Any) -> Any:
    """Add the colour bar of some axes, below them unless `style` has another location."""
    bar = np.ravel(axes)[0].figure.colorbar(
        mappable,
        ax=axes,
        label=label,
        **{"location": "bottom", "shrink": 0.9, "aspect": 30, "pad": 0.03} | style,
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(width=0.5, length=2)
    return bar


def give_height(n_layers: int) -> float:
    """Return the height of a figure in which every layer has room, within what a page can spare."""
    return float(np.clip(1.45 + 0.075 * n_layers, 2.4, 4.6))


def has_low_p(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return which heads have a p, corrected over the heads, below `CLEAR`."""
    return rows["p_max_t"] < CLEAR


@whole_figure
def draw_head_maps(
    groups: Mapping[str, pd.DataFrame],
    label: str,
    *,
    is_clear: Callable[[pd.DataFrame], pd.Series[bool]] = has_low_p,
    **asked: Unpack[Asked],
) -> Figure:
    """Map ``value`` over layers and kv heads, a panel per group, all on one scale around 0.

    Parameters
    ----------
    groups
        Title of each panel -> its rows, with ``layer, kv_head, value``.
    label
        Of the colour bar.
    is_clear
        Which rows are marked, and counted in the title.
    """
    every = pd.concat(groups.values()) if groups else pd.DataFrame({"value": [], "layer": []})
    norm = scale_around_zero(every["value"])
    height = float(np.clip(0.95 + 0.05 * every["layer"].nunique(), 1.5, 2.6))
    height = 0.6 + height * -(-len(groups) // COLUMNS)
    figure, panels = new_panels(height, len(groups), columns=COLUMNS, sharey=True)
    for number, (axes, (title, rows)) in enumerate(zip(panels, groups.items(), strict=False)):
        clear = rows[is_clear(rows)]
        image = draw_map(rows, norm, colours=DIVERGING, dots=clear, ax=axes)
        counted = f"{wrap(title, 26)}\n{len(clear)} of {len(rows)} clear"
        axes.set_title(counted, fontsize=6.5)
        if number + COLUMNS < len(groups):  # another map is below
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
        if number % COLUMNS == 0:
            axes.set_ylabel("layer")
    if groups:
        add_bar(image, list(panels), label, shrink=0.5, aspect=40, pad=0.02)
    return figure
