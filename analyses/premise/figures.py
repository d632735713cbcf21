"""The premise lift by layer, beside that of mismatched keys."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_by_layer, letter_panels, mark, share_legend
from analyses.shared.style import Asked, new_panels, panel, whole_figure
from analyses.shared.tables import select


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the lift by layer."""
    return {"lift": draw_lift(tables["heads"])}


@whole_figure
def draw_lift(heads: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw every head's lift in the functional space, a panel for each share of similar keys."""
    rows = select(heads, space="functional")
    shares = {name.removeprefix("premise_lift_"): name for name in rows["measure"].unique()}
    figure, panels = new_panels(2.1, len(shares))
    for axes, measure in zip(panels, shares.values(), strict=False):
        draw_share(rows, measure, ax=axes)
    letter_panels(panels, [f"keys in the top {share.replace('%', ' %')}" for share in shares])
    panels[0].set_ylabel("premise lift")
    share_legend(figure, panels, ncols=3)
    return figure


@panel
def draw_share(heads: pd.DataFrame, measure: str, *, ax: Any = None) -> None:
    """Draw the lift of every head for one share of similar keys, such as ``premise_lift_5%``."""
    draw_by_layer(select(heads, space="functional", measure=measure), ax=ax)
    mark(ax, y=1)
