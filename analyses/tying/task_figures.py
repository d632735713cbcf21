"""The figure of the tasks whose answer is known: who learns them how fast, and who in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.drawing import (
    draw_line,
    draw_points,
    letter_panels,
    mark,
    share_legend,
    spread,
)
from analyses.shared.style import PAGE, house_style, new_figure
from analyses.shared.tables import present, select
from analyses.tying.looks import VARIANTS, find_look

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
ACCURACY = ("accuracy", "accuracy_low", "accuracy_high")


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
    sizes = {
        name: sorted(map(int, select(cells, experiment=name)["d_head"].unique())) for name in shown
    }
    with house_style():
        figure = new_figure(PAGE, 4.4)
        panels = figure.subplots(
            2,
            len(shown),
            sharey=True,
            squeeze=False,
            width_ratios=[1.5 + 0.6 * len(mine) for mine in sizes.values()],
        )
        for (above, below), name in zip(panels.T, shown, strict=True):
            largest = select(learning, experiment=name)
            _draw_learning(above, largest[largest["d_head"] == sizes[name][-1]])
            _draw_ends(below, select(cells, experiment=name), sizes[name])
            for axes in (above, below):
                mark(axes, y=CHANCE.get(name))
        letter_panels(
            panels.flat, [*(TITLES[name] for name in shown), *["in the end"] * len(shown)]
        )
        for axes in panels[:, 0]:
            axes.set_ylim(-0.03, 1.05)
            axes.set_ylabel("accuracy on unseen sequences")
        share_legend(figure, panels[1], ncols=5)
    return figure


def _draw_learning(axes: Any, learning: pd.DataFrame) -> None:
    """Draw accuracy over the steps of training, at one head size."""
    clipped = learning.assign(**{name: learning[name].clip(0, 1) for name in ACCURACY[1:]})
    for variant in FOLLOWED:
        rows = select(clipped, variant=variant).sort_values("step")
        draw_line(axes, rows["step"], rows, find_look(variant), columns=ACCURACY)
    axes.set_xlabel(f"training step (d_head {int(learning['d_head'].iloc[0])})")


def _draw_ends(axes: Any, cells: pd.DataFrame, sizes: list[int]) -> None:
    """Draw the final accuracy of every variant, side by side within each head size."""
    names = present(cells["variant"], tuple(VARIANTS))
    for shift, variant in zip(spread(len(names), 0.4), names, strict=True):
        rows = select(cells, variant=variant).sort_values("d_head")
        at = [sizes.index(size) + shift for size in rows["d_head"]]
        draw_points(axes, at, rows, find_look(variant), columns=ACCURACY)
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    axes.set_xlabel("d_head")
