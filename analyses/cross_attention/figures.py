"""The measures at the sites of an encoder-decoder, side by side with their nulls."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analyses.cross_attention import SHOWN
from analyses.shared.drawing import draw_conditions, letter_panels, share_legend
from analyses.shared.style import house_style, new_panels
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


@house_style()
def draw_sites(summary: pd.DataFrame) -> Figure:
    """Draw each measure at each site: trained heads and every null, with 95 % intervals."""
    functional = select(summary, space="functional")
    sites = present(summary["site"], tuple(NAMES))
    figure, panels = new_panels(2.5, len(SHOWN))
    for axes, (measure, population) in zip(panels, SHOWN, strict=True):
        rows = select(functional, measure=measure, population=population)
        draw_conditions(axes, rows, sites, "site", reach=0.24)
        axes.set_xticks(range(len(sites)), [NAMES.get(site, site) for site in sites])
        low, high = axes.get_ylim()
        axes.set(xlim=(-0.5, len(sites) - 0.5), ylim=(min(low, 0), high))
    letter_panels(panels, [catalogue.find_measure(measure).symbol for measure, _ in SHOWN])
    share_legend(figure, panels, ncols=4)
    return figure
