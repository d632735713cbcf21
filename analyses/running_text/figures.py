"""What the moments of a running text say, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.drawing import draw_by_layer, letter_panels, share_legend
from analyses.shared.style import PAGE, Look, house_style, new_figure
from analyses.shared.tables import select
from probes.similarity import catalogue

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw every measure by layer."""
    return {"layers": draw_layers(tables["heads"])}


def draw_layers(heads: pd.DataFrame) -> Figure:
    """Draw a panel a measure, functional space: a dot a kv head, lines the layers' means.

    Parameters
    ----------
    heads
        ``layer, kv_head, space, measure``, and a column a condition.
    """
    rows = select(heads, space="functional")
    measures = list(dict.fromkeys(rows["measure"]))
    names = [condition.name for condition in catalogue.list_conditions() if condition.name in rows]
    with house_style():
        figure = new_figure(PAGE, 2.2)
        panels = figure.subplots(1, max(1, len(measures)), squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=False):
            own = select(rows, measure=measure)
            lines = {name: Look.of_condition(name) for name in names if own[name].notna().any()}
            draw_by_layer(axes, own, lines=lines, dots=catalogue.TRAINED)
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        letter_panels(panels[: len(measures)], [tell_measure(name) for name in measures])
        share_legend(figure, panels, ncols=3)
    return figure


def tell_measure(name: str) -> str:
    """Name a measure of the moments; their CKA is the plain one, which no other question asks."""
    return "linear CKA" if name == "linear_cka" else catalogue.find_measure(name).symbol
