"""The measures at the sites of an encoder-decoder, side by side with their nulls."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.cross_attention import SHOWN
from analyses.shared.drawing import draw_conditions, letter_panels, share_legend
from analyses.shared.style import Asked, new_panels, panel, whole_figure
from analyses.shared.tables import present, select
from probes.similarity import catalogue

NAMES = {
    "encoder": "encoder\nself-attention",
    "decoder": "decoder\nself-attention",
    "cross": "cross-\nattention",
}


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the measures at the three sites."""
    return {"sites": draw_sites(tables["summary"])}


@whole_figure
def draw_sites(summary: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw each measure at each site: trained heads and every null, with 95 % intervals."""
    figure, panels = new_panels(2.5, len(SHOWN))
    for axes, (measure, population) in zip(panels, SHOWN, strict=True):
        draw_measure(summary, measure, population, ax=axes)
    letter_panels(panels, [catalogue.find_measure(measure).symbol for measure, _ in SHOWN])
    share_legend(figure, panels, ncols=4)
    return figure


@panel
def draw_measure(summary: pd.DataFrame, measure: str, population: str, *, ax: Any = None) -> None:
    """Draw one measure at each site: trained heads and every null."""
    sites = present(summary["site"], tuple(NAMES))
    rows = select(summary, space="functional", measure=measure, population=population)
    draw_conditions(rows, sites, "site", reach=0.24, ax=ax)
    ax.set_xticks(range(len(sites)), [NAMES.get(site, site) for site in sites])
    low, high = ax.get_ylim()
    ax.set(xlim=(-0.5, len(sites) - 0.5), ylim=(min(low, 0), high))
