"""Every number of a study: a row per model, below them the mean and the next model's interval."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_points, dress_rows, letter_panels, mark, share_legend, wrap
from analyses.shared.style import (
    FAINT,
    GREY,
    INK,
    Asked,
    Look,
    new_panels,
    panel,
    relabel,
    whole_figure,
)
from analyses.shared.tables import select
from kvprobes.study.gather import ALL
from kvprobes.study.numbers import find_number

MEAN, NEXT = "mean over models", "a new model, 95 %"
_MODEL, _APART = Look("a model", INK, "o"), Look("a model of other words", GREY, "s")
_MEAN, _NEXT = Look(MEAN, "#0072B2", "D"), Look(NEXT, FAINT, "")


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the tables of `kvprobes.study.gather.tabulate`."""
    return {"numbers": draw_numbers(tables)}


@whole_figure
def draw_numbers(tables: dict[str, pd.DataFrame], **asked: Unpack[Asked]) -> Figure:
    """Draw a panel per number: models with 95 % intervals, their mean, where the next may be."""
    numbers = tables["numbers"]
    models = [str(m) for m in tables["models"]["model"] if (numbers["model"] == m).any()]
    names = [str(name) for name in numbers["number"].unique()]
    height = (0.95 + 0.2 * len(models)) * max(1, -(-len(names) // 4))
    figure, panels = new_panels(height, len(names), columns=4, sharey=True)
    for axes, name in zip(panels, names, strict=False):
        draw_number(numbers, tables["means"], models, name, ax=axes)
    letter_panels(panels, [wrap(find_number(name).label, 24) for name in names])
    share_legend(figure, panels, ncols=4, samples=[_NEXT.sample(linestyle="-", linewidth=5)])
    return figure


@panel
def draw_number(
    numbers: pd.DataFrame, means: pd.DataFrame, models: list[str], name: str, *, ax: Any = None
) -> None:
    """Draw one number of all models, and below them their mean and where the next may be."""
    own, rows = select(numbers, number=name), [*models, MEAN]
    for look, pooled in ((_MODEL, True), (_APART, False)):
        mine = own[own["pooled"] == pooled]
        draw_points(mine["model"].map(models.index).to_numpy(), mine, look, flat=True, ax=ax)
    mean = select(means, number=name, group=ALL)
    if len(mean):
        low, high = mean[["new_low", "new_high"]].iloc[0]
        ax.fill_betweenx([len(models) - 0.3, len(models) + 0.3], low, high, color=FAINT)
        draw_points([len(models)], mean, _MEAN, flat=True, ax=ax)
    mark(ax, x=find_number(name).nothing)
    dress_rows(ax, [relabel(row) for row in rows], len(rows))
