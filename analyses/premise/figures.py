"""The premise lift by layer, beside that of mismatched keys."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_by_layer, letter_panels, mark, share_legend
from analyses.shared.style import house_style, new_panels
from analyses.shared.tables import select


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the lift by layer."""
    return {"lift": draw_lift(tables["heads"])}


@house_style()
def draw_lift(heads: pd.DataFrame) -> Figure:
    """Draw every head's lift in the functional space, a panel for each share of similar keys."""
    rows = select(heads, space="functional")
    shares = {name.removeprefix("premise_lift_"): name for name in rows["measure"].unique()}
    figure, panels = new_panels(2.1, len(shares))
    for axes, measure in zip(panels, shares.values(), strict=False):
        draw_by_layer(axes, select(rows, measure=measure))
        mark(axes, y=1)
    letter_panels(panels, [f"keys in the top {share.replace('%', ' %')}" for share in shares])
    panels[0].set_ylabel("premise lift")
    share_legend(figure, panels, ncols=3)
    return figure
