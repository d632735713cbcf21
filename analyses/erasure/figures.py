"""What the model loses with a property, beside controls."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_points, letter_panels, mark
from analyses.shared.style import GREY, Asked, Look, new_panels, panel, whole_figure
from analyses.shared.tables import select
from probes.similarity.catalogue import PARTS


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the rise of the loss."""
    return {"losses": draw_losses(tables["losses"])}


@whole_figure
def draw_losses(losses: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the rise of the loss with each property erased from keys or values, and with controls.

    Parameters
    ----------
    losses
        With ``property, part, erased, value, ci_low, ci_high``.
    """
    names = list(losses["property"].unique())
    figure, panels = new_panels(2.4, len(names), sharey=True)
    for axes, name in zip(panels, names, strict=False):
        draw_property(losses, name, ax=axes)
    letter_panels(panels, names)
    return figure


@panel
def draw_property(losses: pd.DataFrame, name: str, *, ax: Any = None) -> None:
    """Draw the rise of the loss with one property erased, and with its controls."""
    rows = losses[losses["erased"] != "property - controls"]
    mine = select(rows, property=name)[::-1]
    for part in PARTS:
        look = Look.of_part(part)
        own = ((mine["part"] == part) & (mine["erased"] == "property")).to_numpy()
        controls = ((mine["part"] == part) & (mine["erased"] != "property")).to_numpy()
        draw_points(np.flatnonzero(own), mine[own], look, flat=True, ax=ax)
        grey = Look("", GREY, look.marker)
        draw_points(np.flatnonzero(controls), mine[controls], grey, flat=True, ax=ax)
    ax.set_yticks(range(len(mine)), mine["part"] + ", " + mine["erased"])
    mark(ax, x=0)
    ax.set_xlabel("rise of the loss, nats per token")
