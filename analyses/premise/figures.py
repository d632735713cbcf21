"""The premise lift by layer, beside that of mismatched keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.drawing import letter, share_legend
from analyses.shared.style import COLOURS, LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import present, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the lift by layer."""
    return {"lift": draw_lift(tables["heads"])}


def draw_lift(heads: pd.DataFrame) -> Figure:
    """Draw every head's lift in the functional space, a panel for each share of similar keys."""
    rows = select(heads, space="functional")
    measures = present(rows["measure"], tuple(dict.fromkeys(rows["measure"])))
    with house_style():
        figure = new_figure(PAGE, 2.1)
        axes = figure.subplots(1, len(measures), squeeze=False)
        for name, axis, measure in zip("abcd", axes[0], measures, strict=False):
            own = select(rows, measure=measure)
            axis.scatter(
                own["layer"], own["value"], s=6, color=COLOURS["trained"], alpha=0.45, linewidths=0
            )
            by_layer = own.groupby("layer")
            axis.plot(by_layer["value"].mean(), color=COLOURS["trained"], label=LABELS["trained"])
            if "mismatched_heads_mean" in own:
                axis.plot(
                    by_layer["mismatched_heads_mean"].mean(),
                    color=COLOURS["mismatched_heads"],
                    linestyle="--",
                    label=LABELS["mismatched_heads"],
                )
            axis.axhline(1, color=COLOURS["grey"], linewidth=0.6, linestyle=":")
            axis.set_xlabel("layer")
            share = measure.removeprefix("premise_lift_").removesuffix("%")
            letter(axis, name, f"keys in the top {share} %")
        axes[0, 0].set_ylabel("premise lift")
        share_legend(figure, axes[0, :1], ncols=2)
    return figure
