"""The figure of the tasks whose answer is known: who learns them how fast, and who in the end."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_line,
    draw_points,
    letter_panels,
    mark,
    read_looks,
    share_legend,
    spread,
)
from analyses.shared.style import (
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
from analyses.shared.tables import select

# Okabe & Ito's colours and Tol's.
VARIANTS = {
    "separate": Look("separate", "#0072B2", "o"),
    "tied": Look("K = V", "#D55E00", "s"),
    "tied_wide": Look("K = V at equal parameters", "#E69F00", "D"),
    "half_tied": Look("half-tied", "#CC79A7", "P"),
    "diagonal": Look("V = diagonal of K", "#009E73", "^"),
    "per_head": Look("V = linear map of K", "#56B4E9", "v"),
    "query_key": Look("Q = K", "#332288", "<"),
    "all_tied": Look("Q = K = V", "#882255", ">"),
    "grouped": Look("grouped-query", "#999933", "X"),
    "multi_query": Look("multi-query", GREY, "p"),
}
"""The same in every figure of this question."""

TITLES = {
    "recall": "recall: key ≠ value",
    "recall_narrow": "recall, narrow model",
    "completion": "completion: key = value",
    "translation": "translation",
}
CHANCE = {"recall": 1 / 8 + 7 / 8 / 16, "recall_narrow": 1 / 8 + 7 / 8 / 16, "completion": 1 / 5}
"""A model that names any value of the context, or any item near the cue, in the shipped presets."""

FOLLOWED = ("separate", "tied", "half_tied", "query_key", "all_tied")
ACCURACY = ("accuracy", "accuracy_low", "accuracy_high")


@whole_figure
def draw_tasks(cells: pd.DataFrame, learning: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw learning curves above, and below them the accuracy of every variant in the end.

    Parameters
    ----------
    cells
        ``experiment, variant, d_head, accuracy, accuracy_low, accuracy_high``.
    learning
        The same with ``step``.
    """
    shown = [name for name in TITLES if name in set(cells["experiment"])]
    sizes = [sorted(select(cells, experiment=name)["d_head"].unique()) for name in shown]
    widths = [1.5 + 0.6 * len(mine) for mine in sizes]
    count = len(shown)
    figure, panels = new_panels(4.4, 2 * count, columns=count, sharey=True, width_ratios=widths)
    for above, below, name, mine in zip(panels, panels[count:], shown, sizes, strict=False):
        curves = select(learning, experiment=name)
        draw_learning(curves[curves["d_head"] == mine[-1]], ax=above)
        above.set_xlabel(f"training step (d_head {mine[-1]})")
        draw_ends(select(cells, experiment=name), mine, ax=below)
        for axes in (above, below):
            mark(axes, y=CHANCE.get(name))
    letter_panels(panels, [TITLES[name] for name in shown] + ["in the end"] * count)
    for axes in panels[::count]:
        axes.set_ylim(-0.03, 1.05)
        axes.set_ylabel("accuracy on unseen sequences")
    share_legend(figure, panels[count:], ncols=5)
    return figure


@panel
def draw_learning(learning: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw accuracy over the steps of training, at one head size."""
    clipped = learning.assign(**{name: learning[name].clip(0, 1) for name in ACCURACY[1:]})
    for variant in FOLLOWED:
        rows = select(clipped, variant=variant).sort_values("step")
        draw_line(rows["step"], rows, VARIANTS[variant], columns=ACCURACY, ax=ax)


@panel
def draw_ends(cells: pd.DataFrame, sizes: list[Any], *, ax: Any = None) -> None:
    """Draw the final accuracy of every variant, side by side within each head size."""
    for shift, (variant, look) in spread(read_looks(cells["variant"], VARIANTS).items(), 0.4):
        rows = select(cells, variant=variant).sort_values("d_head")
        at = [sizes.index(size) + shift for size in rows["d_head"]]
        draw_points(at, rows, look, columns=ACCURACY, ax=ax)
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    ax.set(xlim=(-0.6, len(sizes) - 0.4), xlabel="d_head")
