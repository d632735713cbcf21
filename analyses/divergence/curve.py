"""The divergence curve: how unlike values are, from the most to the least similar keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analyses.shared.drawing import CONDITIONS, MARKERS, letter
from analyses.shared.style import COLOURS, LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import populations, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curve(curve: pd.DataFrame) -> Figure:
    """Draw E[1 - s_V] by the rank of s_K under each condition, a panel a population.

    Parameters
    ----------
    curve
        With ``population, condition, rank, value, ci_low, ci_high``.
    """
    with house_style():
        names = populations(curve)
        figure = new_figure(PAGE, 2.7)
        panels = figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0]
        for number, (axes, name) in enumerate(zip(panels, names, strict=False)):
            for condition in CONDITIONS:
                rows = select(curve, population=name, condition=condition).sort_values("rank")
                if rows.empty:
                    continue
                share = 100 * rows["rank"].to_numpy(dtype=float)
                colour = COLOURS[condition]
                axes.fill_between(
                    share, rows["ci_low"], rows["ci_high"], color=colour, alpha=0.22, linewidth=0
                )
                axes.plot(
                    share,
                    rows["value"],
                    color=colour,
                    marker=MARKERS[condition],
                    markersize=2.6,
                    label=LABELS[condition],
                )
            trained = select(curve, population=name, condition="trained").sort_values("rank")
            level = float(trained["value"].mean())
            axes.axhline(
                level, color=COLOURS["grey"], linewidth=0.7, linestyle=(0, (4, 2)), zorder=0
            )
            # Where the curve lies on the other side of the line, there is room for the text.
            left = bool(trained["value"].iloc[0] <= level)
            axes.annotate(
                "values know nothing of keys",
                (0.01 if left else 0.99, level),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="left" if left else "right",
                va="bottom",
                fontsize=6,
                color="#444444",
            )
            axes.set_xlim(0, 100)
            axes.set_xticks(np.arange(0, 101, 25))
            axes.set_xlabel(r"rank of $s_K$: share of pairs with more similar keys (%)")
            for at, side in ((0, "left"), (1, "right")):
                axes.annotate(
                    "most similar keys" if at == 0 else "least similar keys",
                    (at, 0),
                    xycoords="axes fraction",
                    xytext=(4 if at == 0 else -4, 3),
                    textcoords="offset points",
                    ha=side,
                    fontsize=6.5,
                    fontstyle="italic",
                    color="#444444",
                )
            letter(axes, "abcdefgh"[number], name)
        panels[0].set_ylabel(r"mean value dissimilarity  $E[1 - s_V]$")
        if names:
            panels[-1].legend(loc="lower right", bbox_to_anchor=(1, 0.08))
        return figure
