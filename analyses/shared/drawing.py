"""What the figures share: points with intervals, lines with bands, rows, legends, notes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import ascii_lowercase
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analyses.shared.style import FAINT, GREY, INK, SEQUENTIAL, Look, panel
from analyses.shared.tables import present, select
from probes.similarity import catalogue

Array = NDArray[np.float64]
Item = TypeVar("Item")
Rows = pd.DataFrame | pd.Series | Mapping[Any, Any]

INTERVAL = ("value", "ci_low", "ci_high")
"""The columns of a number and of its interval."""

DASHES = (0, (4, 2))
_PAD = {"left": 3, "right": -3, "center": 0, "bottom": 2, "top": -2}


@panel
def draw_points(
    at: Any,
    rows: Rows,
    look: Look,
    *,
    columns: Sequence[str] = INTERVAL,
    flat: bool = False,
    ax: Any = None,
    **style: Any,
) -> None:
    """Draw numbers as markers, with their intervals where the table has them.

    Parameters
    ----------
    at
        Where along the other axis: one place a row.
    rows
        A table, or one row of it. Numbers that are missing are not drawn; where all of them are,
        the legend gets nothing either.
    columns
        Of the number and of the two ends of its interval.
    flat
        Whether numbers go to the right, at heights `at`, instead of upwards.
    """
    value, low, high = (_read(rows, column) for column in columns)
    if not np.isfinite(value).any():
        return
    # An interval's end can pass the value by rounding; a negative length is an error to matplotlib.
    error = np.clip(np.nan_to_num(np.stack([value - low, high - value])), 0, None)
    across, up = ("y", "x") if flat else ("x", "y")
    ax.errorbar(
        **{across: at, up: value, f"{up}err": error},
        **look.style
        | {"markersize": 3.6, "markeredgewidth": 0.8, "linestyle": "none", "elinewidth": 0.9}
        | {"zorder": 2 if look.hollow else 3}
        | style,
    )


def _read(rows: Rows, column: str) -> Array:
    return np.atleast_1d(np.asarray(rows[column], dtype=float))


@panel
def draw_line(
    at: Any,
    rows: Rows,
    look: Look,
    *,
    columns: Sequence[str] = INTERVAL,
    ax: Any = None,
    **style: Any,
) -> None:
    """Draw numbers over `at` as a line with markers, with the band between their intervals' ends.

    Numbers without an interval get no band; `columns` may name the number alone.
    """
    value, *ends = (_read(rows, column) for column in columns)
    if not np.isfinite(value).any():
        return
    if ends:
        ax.fill_between(at, *ends, color=look.colour, alpha=0.2, linewidth=0)
    ax.plot(at, value, **look.style | {"markersize": 2.6} | style)


@panel
def draw_by_layer(
    rows: pd.DataFrame,
    *,
    lines: Mapping[str, Look] | None = None,
    dots: str | None = "value",
    beside_map: bool = False,
    ax: Any = None,
) -> None:
    """Draw every head as a dot, and lines through the means over the heads of each layer.

    Parameters
    ----------
    rows
        With ``layer``, and a row per head.
    lines
        Column -> look; if not given, the trained heads and every null beside them (`list_lines`).
    dots
        The column of the dots, in the colour of its line.
    beside_map
        Whether layers go upwards, as in the heat map (`analyses.shared.maps`) beside it.
    """
    lines = list_lines(rows) if lines is None else lines
    by_layer = rows.groupby("layer")
    middle = 0.5 if beside_map else 0.0  # of a map's cell

    def place(layers: Any, values: Any) -> tuple[Any, Any]:
        at = np.asarray(layers) + middle
        return (values, at) if beside_map else (at, values)

    if dots:
        ax.scatter(
            *place(rows["layer"], rows[dots]), s=5, color=lines[dots].colour, alpha=0.45, lw=0
        )
    for number, (column, look) in enumerate(lines.items()):
        means = by_layer[column].mean()
        style = {"markersize": 2.2, "linewidth": 0.9 if number else 1.3, "zorder": 4 - (number > 0)}
        ax.plot(*place(means.index, means), **look.style | style)
    if not beside_map:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        ax.set_xlabel("layer")


@panel
def scatter_heads(x: Any, y: Any, layer: Any, *, ax: Any = None) -> None:
    """Draw a point per head, coloured by its layer, with the colour bar beside the axes."""
    points = ax.scatter(x, y, c=layer, cmap=SEQUENTIAL, s=12, linewidths=0)
    bar = ax.figure.colorbar(points, ax=ax, label="layer", pad=0.02, aspect=25)
    bar.locator = MaxNLocator(integer=True)
    bar.outline.set_visible(False)


def list_lines(rows: pd.DataFrame) -> dict[str, Look]:
    """Return the columns of trained heads and of the nulls beside them, each with its look.

    Raises
    ------
    UsageError
        If a column is of no null of the catalogue.
    """
    nulls = [
        name.removesuffix("_mean")
        for name in map(str, rows)
        if name.endswith("_mean") and rows[name].notna().any()
    ]
    return {
        "value" if name == catalogue.TRAINED else f"{name}_mean": Look.of_condition(name)
        for name in catalogue.sort_conditions([catalogue.TRAINED, *nulls])
    }


def read_conditions(rows: pd.DataFrame) -> list[str]:
    """Return the conditions of a table, without their differences, in the catalogue's order.

    Raises
    ------
    UsageError
        If one is not in the catalogue.
    """
    names = [name for name in rows["condition"].unique() if " - " not in name]
    return catalogue.sort_conditions(names)


def read_looks(column: pd.Series[Any], known: Mapping[str, Look]) -> dict[str, Look]:
    """Return what a column names, the known first, with the look of each; grey for another one."""
    names = present(column, tuple(known))
    return {name: known.get(name, Look(name, GREY, "*")) for name in names}


def line_up(rows: pd.DataFrame, order: Sequence[Any], by: Any) -> pd.DataFrame:
    """Put rows into an order, with a row of missing numbers for those that the table lacks."""
    return rows.set_index(by).reindex(list(order)).reset_index()


def spread(items: Iterable[Item], reach: float) -> Iterator[tuple[float, Item]]:
    """Yield things drawn side by side with their places from -reach to reach; one is at 0."""
    listed = list(items)
    places = np.linspace(-reach, reach, len(listed)) if len(listed) > 1 else [0.0]
    yield from zip(places, listed, strict=False)


@panel
def draw_conditions(
    rows: pd.DataFrame,
    order: Sequence[Any],
    by: Any,
    *,
    reach: float,
    hollow: bool = False,
    ax: Any = None,
    **style: Any,
) -> None:
    """Draw all conditions of a table side by side, at the places of an order; see `draw_points`.

    Parameters
    ----------
    by
        The column that `order` is of.
    reach
        How far from the middle the outer ones are.
    hollow
        Whether the markers are open.
    """
    for shift, name in spread(read_conditions(rows), reach):
        mine, look = select(rows, condition=name), Look.of_condition(name)
        look = look.open() if hollow else look
        draw_points(np.arange(len(order)) + shift, line_up(mine, order, by), look, ax=ax, **style)


def dress_rows(axes: Any, labels: Sequence[str] | None, count: int) -> None:
    """Name the rows, the first at the top, and draw faint lines between them.

    Axes that share their rows need the labels, too; others beside the first are given None.
    """
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_yticks(range(count), labels if labels is not None else [""] * count)
    axes.tick_params(axis="y", length=0)
    for row in range(1, count):
        axes.axhline(row - 0.5, color=FAINT, linewidth=0.5, zorder=0)
    axes.locator_params(axis="x", nbins=5)


def mark(axes: Any, *, x: Any = None, y: Any = None, solid: bool = False) -> None:
    """Draw the line of what nothing would give: dashed, or solid where it is the axis itself."""
    line = {"linewidth": 0.6} if solid else {"linewidth": 0.7, "linestyle": DASHES}
    if x is not None:
        axes.axvline(x, color=GREY, zorder=1, **line)
    if y is not None:
        axes.axhline(y, color=GREY, zorder=1, **line)


def note(axes: Any, text: str, at: tuple[Any, Any], **style: Any) -> None:
    """Write a small note into the axes, a little off the place that it is aligned to.

    Parameters
    ----------
    at
        In the coordinates of the data, unless `style` has other ones.
    style
        For `matplotlib.axes.Axes.annotate`: ``ha``, ``va``, ``xycoords`` and more.
    """
    usual: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 6, "color": INK}
    style = usual | style
    offset = (_PAD[style["ha"]], _PAD[style["va"]])
    axes.annotate(text, at, xytext=offset, textcoords="offset points", **style)


def letter(axes: Any, number: int, title: str) -> None:
    """Title a panel, flush left, after its letter in bold."""
    name = rf"$\bf{{{ascii_lowercase[number]}}}$  " if number < len(ascii_lowercase) else ""
    axes.set_title(f"{name}{title}", loc="left", fontsize=7.5)


def letter_panels(panels: Iterable[Any], titles: Iterable[str]) -> None:
    """Title the panels in their order; see `letter`."""
    for number, (axes, title) in enumerate(zip(panels, titles, strict=False)):
        letter(axes, number, title)


def share_legend(
    figure: Figure,
    panels: Iterable[Any] = (),
    *,
    ncols: int,
    samples: Iterable[Any] = (),
    **style: Any,
) -> None:
    """Put one legend below the panels: every label once, in the order in which it first comes.

    Parameters
    ----------
    samples
        Marks of `Look.sample` that are behind those of the panels.
    """
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    handles |= {sample.get_label(): sample for sample in samples}
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            ncols=ncols,
            **{"loc": "outside lower center", "columnspacing": 1.3, "handletextpad": 0.4} | style,
        )


def wrap(text: str, width: int = 20) -> str:
    """Break a text into lines of at most that many characters, about equally long."""
    fewest = len(textwrap.wrap(text, width, break_long_words=False))
    for narrower in range(1, width):
        lines = textwrap.wrap(text, narrower, break_long_words=False)
        if len(lines) <= fewest:
            return "\n".join(lines)
    return textwrap.fill(text, width, break_long_words=False)
