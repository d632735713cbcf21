"""The figure of the tasks whose answer is known: who recalls, who completes, who translates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures.common import letter, select, share_legend
from analyses.figures.tying import STYLES, draw_errors
from analyses.style import COLOURS, PAGE, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "recall": "recall: key ≠ value",
    "recall_longer": "recall, three times as long",
    "completion": "completion: key = value",
    "translation": "translation",
}
CHANCE = {"recall": 1 / 8 + 7 / 8 / 16, "recall_longer": 1 / 8 + 7 / 8 / 16, "completion": 1 / 5}
"""Whoever names any value of the context, or any item near the cue, in the shipped presets."""


def draw_tasks(cells: pd.DataFrame) -> Figure:
    """Draw the accuracy of every variant and head size, a panel a task.

    Parameters
    ----------
    cells
        ``experiment, variant, d_head, accuracy, accuracy_low, accuracy_high``.
    """
    shown = [name for name in TITLES if name in set(cells["experiment"])]
    with house_style():
        figure = new_figure(PAGE, 2.9)
        widths = [1.0 + 0.9 * select(cells, experiment=name)["d_head"].nunique() for name in shown]
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False, width_ratios=widths)[0]
        for number, (axes, name) in enumerate(zip(panels, shown, strict=True)):
            mine = select(cells, experiment=name)
            sizes = sorted(mine["d_head"].unique())
            names = [variant for variant in STYLES if variant in set(mine["variant"])]
            for place, variant in enumerate(names):
                rows = select(mine, variant=variant).sort_values("d_head")
                label, colour, marker = STYLES[variant]
                shift = 0.8 * (place / max(1, len(names) - 1) - 0.5)
                x = [sizes.index(size) + shift for size in rows["d_head"]]
                draw_errors(axes, x, rows, "accuracy", colour, marker, label)
            axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
            axes.set_xlim(-0.6, len(sizes) - 0.4)
            axes.set_xlabel("d_head")
            if name in CHANCE:
                axes.axhline(CHANCE[name], color=COLOURS["grey"], lw=0.7, ls=(0, (4, 3)), zorder=0)
            letter(axes, "abcd"[number], TITLES[name])
        panels[0].set_ylim(-0.03, 1.05)
        panels[0].set_ylabel("accuracy on unseen sequences")
        share_legend(figure, panels, ncols=5)
    return figure
