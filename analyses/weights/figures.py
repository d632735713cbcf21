"""The overlap of the row spaces of W_K and W_V by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.drawing import letter, share_legend
from analyses.shared.style import COLOURS, PAGE, house_style, new_figure
from analyses.shared.tables import present, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_angles(heads: pd.DataFrame) -> Figure:
    """Draw the mean squared cosine of every head, a panel a site."""
    sites = present(heads["site"], ("encoder", "decoder", "cross"))
    with house_style():
        figure = new_figure(PAGE, 2.1)
        axes = figure.subplots(1, len(sites), squeeze=False)
        for name, axis, site in zip("abc", axes[0], sites, strict=False):
            own = select(heads, site=site)
            means = own.groupby("layer")[["value", "mismatched_mean", "chance"]].mean()
            axis.scatter(
                own["layer"], own["value"], s=7, color=COLOURS["trained"], alpha=0.5, linewidths=0
            )
            axis.plot(means["value"], color=COLOURS["trained"], label="own head")
            axis.plot(
                means["mismatched_mean"],
                color=COLOURS["mismatched"],
                linestyle="--",
                label="W_V of another head",
            )
            axis.plot(
                means["chance"], color=COLOURS["grey"], linestyle=":", label="random subspaces"
            )
            axis.set_ylim(bottom=0)
            axis.set_xlabel("layer")
            letter(axis, name, site)
        axes[0, 0].set_ylabel("mean squared cosine")
        share_legend(figure, axes[0, :1], ncols=3)
    return figure
