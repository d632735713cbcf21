"""Every number of a study: a row a model, and below them the mean with the interval of the next."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_points, dress_rows, letter_panels, mark, share_legend, wrap
from analyses.shared.style import FAINT, GREY, INK, Look, house_style, new_panels, relabel
from analyses.shared.tables import select
from kvprobes.study.gather import ALL
from kvprobes.study.numbers import find_number

MEAN, NEXT = "mean over models", "a new model, 95 %"
_MODEL, _APART = Look("a model", INK, "o"), Look("a model of other words", GREY, "s")
_MEAN, _NEXT = Look(MEAN, "#0072B2", "D"), Look(NEXT, FAINT, "")


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the tables of `kvprobes.study.gather.tabulate`."""
    return {"numbers": draw_numbers(tables)}


@house_style()
def draw_numbers(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draw a panel a number: models with 95 % intervals, their mean, and where the next may be."""
    numbers, means = tables["numbers"], tables["means"]
    models = [str(m) for m in tables["models"]["model"] if (numbers["model"] == m).any()]
    names = [str(name) for name in numbers["number"].unique()]
    rows = [*models, MEAN]
    height = (0.75 + 0.2 * len(rows)) * max(1, -(-len(names) // 4))
    figure, panels = new_panels(height, len(names), columns=4, sharey=True)
    for axes, name in zip(panels, names, strict=False):
        own = select(numbers, number=name)
        for look, pooled in ((_MODEL, True), (_APART, False)):
            mine = own[own["pooled"] == pooled]
            draw_points(axes, mine["model"].map(models.index).to_numpy(), mine, look, flat=True)
        mean = select(means, number=name, group=ALL)
        if len(mean):
            low, high = mean[["new_low", "new_high"]].iloc[0]
            axes.fill_betweenx([len(models) - 0.3, len(models) + 0.3], low, high, color=FAINT)
            draw_points(axes, [len(models)], mean, _MEAN, flat=True)
        mark(axes, x=find_number(name).nothing)
        dress_rows(axes, [relabel(row) for row in rows], len(rows))
    letter_panels(panels, [wrap(find_number(name).label, 24) for name in names])
    share_legend(figure, panels, ncols=4, samples=[_NEXT.sample(linestyle="-", linewidth=5)])
    return figure
