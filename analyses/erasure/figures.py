"""What the model loses with a property, beside controls."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_points, letter_panels, mark
from analyses.shared.style import GREY, Look, house_style, new_panels
from analyses.shared.tables import select
from probes.similarity.catalogue import PARTS


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the rise of the loss."""
    return {"losses": draw_losses(tables["losses"])}


@house_style()
def draw_losses(losses: pd.DataFrame) -> Figure:
    """Draw the rise of the loss with each property erased from keys or values, and with controls.

    Parameters
    ----------
    losses
        With ``property, part, erased, value, ci_low, ci_high``.
    """
    rows = losses[losses["erased"] != "property - controls"]
    names = list(losses["property"].unique())
    figure, panels = new_panels(2.4, len(names), sharey=True)
    for axes, name in zip(panels, names, strict=False):
        mine = select(rows, property=name)[::-1]
        for part in PARTS:
            look = Look.of_part(part)
            own = ((mine["part"] == part) & (mine["erased"] == "property")).to_numpy()
            controls = ((mine["part"] == part) & (mine["erased"] != "property")).to_numpy()
            draw_points(axes, np.flatnonzero(own), mine[own], look, flat=True)
            grey = Look("", GREY, look.marker)
            draw_points(axes, np.flatnonzero(controls), mine[controls], grey, flat=True)
        axes.set_yticks(range(len(mine)), mine["part"] + ", " + mine["erased"])
        mark(axes, x=0)
        axes.set_xlabel("rise of the loss, nats a token")
    letter_panels(panels, names)
    return figure
