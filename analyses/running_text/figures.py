"""What the moments of a running text say, by layer."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_by_layer, letter_panels, share_legend
from analyses.shared.style import Asked, Look, new_panels, panel, whole_figure
from analyses.shared.tables import select
from probes.similarity import catalogue


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw every measure by layer."""
    return {"layers": draw_layers(tables["heads"])}


@whole_figure
def draw_layers(heads: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw a panel per measure, functional space: a dot per kv head, lines the layers' means.

    Parameters
    ----------
    heads
        ``layer, kv_head, space, measure``, and a column per condition.
    """
    rows = select(heads, space="functional")
    measures = list(rows["measure"].unique())
    figure, panels = new_panels(2.2, len(measures))
    for axes, measure in zip(panels, measures, strict=False):
        draw_measure(heads, measure, ax=axes)
    # The CKA of moments is the plain one, which no other question asks.
    own_names = {"linear_cka": "linear CKA"}
    letter_panels(
        panels, [own_names.get(name) or catalogue.find_measure(name).symbol for name in measures]
    )
    share_legend(figure, panels, ncols=3)
    return figure


@panel
def draw_measure(heads: pd.DataFrame, measure: str, *, ax: Any = None) -> None:
    """Draw one measure of all kv heads by layer, with a line per condition."""
    own = select(heads, space="functional", measure=measure)
    names = [condition.name for condition in catalogue.list_conditions() if condition.name in own]
    lines = {name: Look.of_condition(name) for name in names if own[name].notna().any()}
    draw_by_layer(own, lines=lines, dots=catalogue.TRAINED, ax=ax)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
