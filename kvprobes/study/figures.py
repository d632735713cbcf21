"""Several runs side by side: whole, and by the depth of the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import draw_points, letter, share_legend, wrap_title
from analyses.shared.style import COLOURS, LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import present, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONDITIONS = ("trained", "mismatched", "random", "slice")
TITLES = {
    "dissociation_ratio_5%": "dissociation ratio, top 5 %",
    "representational_similarity": "representational similarity",
    "tieability": "tieability, $R^2$",
    "mean_key_cosine": "raw cosine of keys",
}
_STYLES = ("-", "--", ":", "-.")


def draw_runs(summary: pd.DataFrame) -> Figure:
    """Draw every measure of every run, a row a run, trained heads beside their nulls."""
    runs = present(summary["run"], ())
    measures = present(summary["measure"], tuple(TITLES))
    with house_style():
        figure = new_figure(PAGE, 0.9 + 0.42 * len(runs))
        axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)
        for name, axis, measure in zip("abcdef", axes[0], measures, strict=False):
            _draw_panel(axis, select(summary, measure=measure), runs)
            letter(axis, name, wrap_title(TITLES.get(measure, measure)))
        axes[0, 0].set_yticks(range(len(runs)), runs)
        axes[0, 0].set_ylim(len(runs) - 0.5, -0.5)
        share_legend(figure, axes[0], ncols=4)
    return figure


def _draw_panel(axis: Any, rows: pd.DataFrame, runs: list[str]) -> None:
    conditions = [name for name in CONDITIONS if (rows["condition"] == name).any()]
    offsets = np.linspace(-0.22, 0.22, len(conditions)) if len(conditions) > 1 else [0.0]
    for condition, offset in zip(conditions, offsets, strict=True):
        mine = select(rows, condition=condition).set_index("run").reindex(runs).reset_index()
        y = np.arange(len(runs)) + offset
        draw_points(axis, y, mine, condition, flat=True, label=LABELS[condition])
    for place in range(len(runs) - 1):
        axis.axhline(place + 0.5, color="#dddddd", linewidth=0.5, zorder=0)
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0), max(high, 0))


def draw_depth(layers: pd.DataFrame) -> Figure:
    """Draw each measure by depth, a colour a run; thin: the mismatched heads of the same run."""
    runs = present(layers["run"], ())
    measures = present(layers["measure"], tuple(TITLES))
    colours = [COLOURS[name] for name in ("trained", "mismatched", "random", "slice", "grey")]
    with house_style():
        figure = new_figure(PAGE, 2.4)
        axes = figure.subplots(1, len(measures), squeeze=False)
        for name, axis, measure in zip("abcdef", axes[0], measures, strict=False):
            for number, run in enumerate(runs):
                rows = select(layers, measure=measure, run=run)
                colour = colours[number % len(colours)]
                line = _STYLES[(number // len(colours)) % len(_STYLES)]
                axis.plot(
                    rows["depth"], rows["value"], color=colour, linestyle=line, label=run, zorder=3
                )
                if "mismatched_mean" in rows:
                    axis.plot(
                        rows["depth"],
                        rows["mismatched_mean"],
                        color=colour,
                        linestyle=line,
                        linewidth=0.5,
                        alpha=0.7,
                    )
            axis.plot([], [], color=COLOURS["grey"], linewidth=0.5, label=LABELS["mismatched"])
            axis.set_xlabel("depth, first to last layer")
            letter(axis, name, TITLES.get(measure, measure))
        share_legend(figure, axes[0, :1], ncols=min(len(runs), 3))
    return figure
