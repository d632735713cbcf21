"""The premise lift by layer, beside that of mismatched keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.drawing import draw_by_layer, letter_panels, mark, share_legend
from analyses.shared.style import PAGE, house_style, new_figure
from analyses.shared.tables import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the lift by layer."""
    return {"lift": draw_lift(tables["heads"])}


def draw_lift(heads: pd.DataFrame) -> Figure:
    """Draw every head's lift in the functional space, a panel for each share of similar keys."""
    rows = select(heads, space="functional")
    measures = list(dict.fromkeys(rows["measure"]))
    with house_style():
        figure = new_figure(PAGE, 2.1)
        panels = figure.subplots(1, max(1, len(measures)), squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=False):
            draw_by_layer(axes, select(rows, measure=measure))
            mark(axes, y=1)
        shares = [name.removeprefix("premise_lift_").removesuffix("%") for name in measures]
        letter_panels(panels[: len(shares)], [f"keys in the top {share} %" for share in shares])
        panels[0].set_ylabel("premise lift")
        share_legend(figure, panels[:1], ncols=3)
    return figure
