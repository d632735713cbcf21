"""What the figures share: rows of the tables, points with intervals, the letters of the panels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONDITIONS = ("trained", "mismatched", "random")
MARKERS = {"trained": "o", "mismatched": "s", "random": "^", "slice": "D"}
"""A marker a condition, so that no figure speaks by colour alone."""


def draw_points(
    axes: Any, place: Any, rows: pd.DataFrame, condition: str, *, flat: bool = False, **style: Any
) -> None:
    """Draw values as a condition's markers, with their intervals where the table has them.

    Values go upwards over `place`, or, if `flat`, to the right beside it.
    """
    value = rows["value"].to_numpy(dtype=float)
    low, high = (rows[c].to_numpy(dtype=float) for c in ("ci_low", "ci_high"))
    # An interval's end can pass the value by rounding; a negative length is an error to matplotlib.
    error = np.clip(np.nan_to_num(np.stack([value - low, high - value])), 0, None)
    at = (
        {"x": value, "y": place, "xerr": error} if flat else {"x": place, "y": value, "yerr": error}
    )
    axes.errorbar(
        **at,
        **{
            "color": COLOURS[condition],
            "marker": MARKERS[condition],
            "markersize": 3.6,
            "linestyle": "none",
            "elinewidth": 0.9,
            "markeredgewidth": 0.8,
        }
        | style,
    )


def letter(axes: Any, name: str, title: str) -> None:
    """Title a panel, flush left, after its letter in bold."""
    axes.set_title(rf"$\bf{{{name}}}$  {title}", loc="left", fontsize=7.5)


def share_legend(figure: Figure, panels: Iterable[Any], *, ncols: int, **style: Any) -> None:
    """Put one legend below the panels: every label once, in the order in which it first comes.

    Panels without labels get none.
    """
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=ncols, **style
        )


def wrap_title(title: str) -> str:
    """Break a long title once, at the space nearest to its middle."""
    if len(title) < 22:
        return title
    spaces = [place for place, character in enumerate(title) if character == " "]
    middle = min(spaces, key=lambda place: abs(place - len(title) // 2))
    return f"{title[:middle]}\n{title[middle + 1 :]}"
