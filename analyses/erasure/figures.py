"""What the model loses with a property, beside controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analyses.shared.drawing import draw_points, letter_panels, mark
from analyses.shared.style import GREY, PAGE, Look, house_style, new_figure
from analyses.shared.tables import select
from probes.similarity.catalogue import PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the rise of the loss."""
    return {"losses": draw_losses(tables["losses"])}


def draw_losses(losses: pd.DataFrame) -> Figure:
    """Draw the rise of the loss with each property erased from keys or values, and with controls.

    Parameters
    ----------
    losses
        With ``property, part, erased, value, ci_low, ci_high``.
    """
    names = list(dict.fromkeys(losses["property"]))
    with house_style():
        figure = new_figure(PAGE, 2.4)
        panels = figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0]
        labels: list[str] = []
        for axes, name in zip(panels, names, strict=False):
            labels = []
            for part in reversed(PARTS):
                rows = select(losses, property=name, part=part)
                rows = rows[rows["erased"] != "property - controls"][::-1]
                place = len(labels) + np.arange(len(rows))
                is_control = (rows["erased"] != "property").to_numpy()
                look = Look.of_part(part)
                draw_points(axes, place[~is_control], rows[~is_control], look, flat=True)
                grey = Look("", GREY, look.marker)
                draw_points(axes, place[is_control], rows[is_control], grey, flat=True)
                labels += [f"{part}, {erased}" for erased in rows["erased"]]
            mark(axes, x=0)
            axes.set_xlabel("rise of the loss, nats a token")
        panels[0].set_yticks(range(len(labels)), labels)
        letter_panels(panels[: len(names)], names)
        return figure
