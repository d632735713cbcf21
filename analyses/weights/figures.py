"""The overlap of the row spaces of W_K and W_V by layer."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_by_layer, letter_panels, list_lines, share_legend
from analyses.shared.style import (
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
from analyses.shared.tables import present, select

CHANCE = Look("random subspaces", GREY, "", ":")


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the overlap by layer."""
    return {"angles": draw_angles(tables["heads"])}


@whole_figure
def draw_angles(heads: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the mean squared cosine of every head, a panel per site."""
    sites = present(heads["site"], ("encoder", "decoder", "cross"))
    figure, panels = new_panels(2.1, len(sites))
    for axes, site in zip(panels, sites, strict=False):
        draw_site(heads, site, ax=axes)
    letter_panels(panels, sites)
    panels[0].set_ylabel("mean squared cosine")
    share_legend(figure, panels, ncols=3)
    return figure


@panel
def draw_site(heads: pd.DataFrame, site: str, *, ax: Any = None) -> None:
    """Draw the mean squared cosine of every head of one site, by layer."""
    rows = select(heads, site=site)
    draw_by_layer(rows, lines=list_lines(rows) | {"chance": CHANCE}, ax=ax)
    ax.set_ylim(bottom=0)
