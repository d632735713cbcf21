"""How much of the naive answer is a vector that all keys share: cosines and DR in every space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import CONDITIONS, draw_points, letter
from analyses.shared.style import COLOURS, LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import populations, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPACES = ("raw", "centred", "functional")
# Panel title, measure, label, reference line.
PANELS = (
    ("how alike keys look", "mean_key_cosine", "mean cosine of pairs", 0.0),
    ("how alike values look", "mean_value_cosine", "mean cosine of pairs", 0.0),
    ("dissociation", "dissociation_ratio_5%", "DR(5 %)", 1.0),
)


def draw_spaces(summary: pd.DataFrame) -> Figure:
    """Draw mean key and value cosines, DR(5 %) and the effective dimension of keys in every space.

    Parameters
    ----------
    summary
        With ``population, space, measure, condition, value, ci_low, ci_high``.
    """
    with house_style():
        names = populations(summary)
        figure = new_figure(PAGE, 2.75)
        panels = figure.subplots(1, 4)
        for axes, (title, measure, label, reference), name in zip(
            panels[:3], PANELS, "abc", strict=True
        ):
            rows = select(summary, measure=measure)
            for number, population in enumerate(names[:2]):
                _draw_population(axes, select(rows, population=population), hollow=number > 0)
            axes.axhline(
                reference, color=COLOURS["grey"], linewidth=0.7, linestyle=(0, (4, 2)), zorder=0
            )
            if reference:
                axes.text(
                    1,
                    reference + 0.01,
                    "values know\nnothing of keys",
                    ha="center",
                    va="bottom",
                    fontsize=6,
                    color="#444444",
                )
            axes.set_ylabel(label, labelpad=1)
            axes.set_ylim(bottom=min(-0.05, axes.get_ylim()[0]), top=1.16 if reference else 1.08)
            letter(axes, name, title)
        _draw_dimensions(panels[3], summary)
        letter(panels[3], "d", "spread of the keys")
        for axes in panels:
            axes.set_xlim(-0.4, len(SPACES) - 0.6)
            axes.set_xticks(range(len(SPACES)), SPACES, rotation=20)
        figure.legend(
            handles=_legend(summary, names),
            loc="outside lower center",
            ncols=7,
            columnspacing=1.1,
            handletextpad=0.3,
        )
        return figure


def _draw_population(axes: Any, rows: pd.DataFrame, *, hollow: bool) -> None:
    for number, condition in enumerate(CONDITIONS):
        line = select(rows, condition=condition).set_index("space").reindex(SPACES)
        if line["value"].isna().all():
            continue
        at = np.arange(len(SPACES)) + 0.07 * (number - 1)
        style: dict[str, Any] = {"linestyle": "-", "linewidth": 0.8}
        if hollow:
            style |= {"linestyle": (0, (2, 1.5)), "markerfacecolor": "white"}
        draw_points(axes, at, line, condition, **style)


def _draw_dimensions(axes: Any, summary: pd.DataFrame) -> None:
    """Draw in how many directions the keys spread, which is what sets the spaces apart."""
    rows = select(summary, measure="key_dimension")
    _draw_population(axes, rows, hollow=False)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("effective dimension", labelpad=1)


def _legend(summary: pd.DataFrame, names: list[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    from analyses.shared.drawing import MARKERS

    conditions = [c for c in CONDITIONS if (summary["condition"] == c).any()]
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[c],
            marker=MARKERS[c],
            markersize=3.6,
            linewidth=0.8,
            label=LABELS[c],
        )
        for c in conditions
    ]
    for name, dashes, face in zip(names, ("-", (0, (2, 1.5))), ("#444444", "white"), strict=False):
        handles.append(
            Line2D(
                [],
                [],
                color="#444444",
                marker="o",
                markersize=3.6,
                linewidth=0.8,
                linestyle=dashes,
                markerfacecolor=face,
                label=name,
            )
        )
    return handles
