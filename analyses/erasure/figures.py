"""The figure of `analyses.erasure.compute`: what the model loses with a property, beside controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analyses.probing.figures import KINDS
from analyses.shared.drawing import draw_points, letter
from analyses.shared.style import COLOURS, PAGE, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_losses(losses: pd.DataFrame) -> Figure:
    """Draw the rise of the loss with each property erased from keys or values, and with controls.

    Parameters
    ----------
    losses
        With ``property, what, erased, value, ci_low, ci_high``.
    """
    names = list(dict.fromkeys(losses["property"]))
    with house_style():
        figure = new_figure(PAGE, 2.4)
        panels = np.atleast_1d(figure.subplots(1, len(names)))
        for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
            labels: list[str] = []
            for what in ("v", "k"):
                word, colour, marker = KINDS[what]
                rows = losses[(losses["property"] == name) & (losses["what"] == what)]
                rows = rows[rows["erased"] != "property - controls"][::-1]
                place = len(labels) + np.arange(len(rows))
                is_control = (rows["erased"] != "property").to_numpy()
                for some, shade in ((is_control, COLOURS["grey"]), (~is_control, colour)):
                    style = {"color": shade, "marker": marker}
                    draw_points(axes, place[some], rows[some], "trained", flat=True, **style)
                labels += [f"{word}, {erased}" for erased in rows["erased"]]
            axes.axvline(0, color=COLOURS["grey"], linewidth=0.7, linestyle=(0, (4, 2)))
            axes.set_yticks(range(len(labels)), labels if number == 0 else [""] * len(labels))
            axes.set_xlabel("rise of the loss, nats a token")
            letter(axes, "abcdefgh"[number], name)
        return figure
