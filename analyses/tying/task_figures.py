"""The figure of the tasks whose answer is known: who learns them how fast, and who in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import letter, share_legend
from analyses.shared.style import COLOURS, PAGE, house_style, new_figure
from analyses.shared.tables import select
from analyses.tying.figures import STYLES, draw_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "recall": "recall: key ≠ value",
    "recall_narrow": "recall, narrow model",
    "completion": "completion: key = value",
    "translation": "translation",
}
CHANCE = {"recall": 1 / 8 + 7 / 8 / 16, "recall_narrow": 1 / 8 + 7 / 8 / 16, "completion": 1 / 5}
"""Whoever names any value of the context, or any item near the cue, in the shipped presets."""

FOLLOWED = ("separate", "tied", "half_tied", "query_key", "all_tied")


def draw_tasks(cells: pd.DataFrame, learning: pd.DataFrame) -> Figure:
    """Draw learning curves above, and below them the accuracy of every variant in the end.

    Parameters
    ----------
    cells
        ``experiment, variant, d_head, accuracy, accuracy_low, accuracy_high``.
    learning
        The same with ``step``.
    """
    shown = [name for name in TITLES if name in set(cells["experiment"])]
    with house_style():
        figure = new_figure(PAGE, 4.4)
        sizes = [
            sorted(map(int, select(cells, experiment=name)["d_head"].unique())) for name in shown
        ]
        panels = figure.subplots(
            2,
            len(shown),
            sharey=True,
            squeeze=False,
            width_ratios=[1.5 + 0.6 * len(mine) for mine in sizes],
        )
        for number, name in enumerate(shown):
            above, below = panels[:, number]
            largest = select(learning, experiment=name)
            largest = largest[largest["d_head"] == sizes[number][-1]]
            _draw_learning(above, largest)
            _draw_ends(below, select(cells, experiment=name), sizes[number])
            for axes in (above, below):
                if name in CHANCE:
                    axes.axhline(
                        CHANCE[name], color=COLOURS["grey"], lw=0.7, ls=(0, (4, 3)), zorder=0
                    )
            letter(above, "abcdefgh"[number], TITLES[name])
            letter(below, "abcdefgh"[len(shown) + number], "in the end")
        for axes in panels[:, 0]:
            axes.set_ylim(-0.03, 1.05)
            axes.set_ylabel("accuracy on unseen sequences")
        share_legend(figure, panels[1], ncols=5)
    return figure


def _draw_learning(axes: Any, learning: pd.DataFrame) -> None:
    """Draw accuracy over the steps of training, at one head size."""
    for variant in FOLLOWED:
        rows = select(learning, variant=variant).sort_values("step")
        if len(rows):
            _, colour, marker = STYLES[variant]
            ends = np.clip(rows[["accuracy_low", "accuracy_high"]].to_numpy(dtype=float), 0, 1)
            axes.fill_between(rows["step"], *ends.T, color=colour, alpha=0.15, lw=0)
            axes.plot(rows["step"], rows["accuracy"], color=colour, marker=marker, ms=2.4)
    axes.set_xlabel(f"training step (d_head {int(learning['d_head'].iloc[0])})")


def _draw_ends(axes: Any, cells: pd.DataFrame, sizes: list[int]) -> None:
    """Draw the final accuracy of every variant, side by side within each head size."""
    names = [variant for variant in STYLES if variant in set(cells["variant"])]
    for place, variant in enumerate(names):
        rows = select(cells, variant=variant).sort_values("d_head")
        label, colour, marker = STYLES[variant]
        shift = 0.8 * (place / max(1, len(names) - 1) - 0.5)
        at = [sizes.index(size) + shift for size in rows["d_head"]]
        draw_errors(axes, at, rows, "accuracy", colour, marker, label)
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    axes.set_xlabel("d_head")
