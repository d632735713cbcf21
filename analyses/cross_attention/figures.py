"""The measures at the sites of an encoder-decoder, side by side with their nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import (
    draw_points,
    letter_panels,
    line_up,
    read_conditions,
    share_legend,
    spread,
)
from analyses.shared.style import PAGE, Look, house_style, new_figure
from analyses.shared.tables import present, select
from probes.similarity import catalogue
from probes.similarity.catalogue import OCCURRENCES, WORD_PAIRS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {
    "encoder": "encoder\nself-attention",
    "decoder": "decoder\nself-attention",
    "cross": "cross-\nattention",
}
PANELS = (
    ("dissociation_ratio_5%", WORD_PAIRS),
    ("representational_similarity", WORD_PAIRS),
    ("tieability", OCCURRENCES),
)


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the measures at the three sites."""
    return {"sites": draw_sites(tables["summary"])}


def draw_sites(summary: pd.DataFrame) -> Figure:
    """Draw each measure at each site: trained heads and every null, with 95 % intervals."""
    with house_style():
        figure = new_figure(PAGE, 2.5)
        panels = figure.subplots(1, len(PANELS))
        for axes, (measure, population) in zip(panels, PANELS, strict=True):
            _draw_panel(
                axes, select(summary, measure=measure, population=population, space="functional")
            )
        letter_panels(panels, [catalogue.find_measure(measure).symbol for measure, _ in PANELS])
        share_legend(figure, panels, ncols=4)
    return figure


def _draw_panel(axes: Any, rows: pd.DataFrame) -> None:
    sites = present(rows["site"], tuple(NAMES))
    conditions = read_conditions(rows)
    for condition, shift in zip(conditions, spread(len(conditions), 0.24), strict=True):
        mine = line_up(select(rows, condition=condition), sites, "site")
        draw_points(axes, np.arange(len(sites)) + shift, mine, Look.of_condition(condition))
    axes.set_xticks(range(len(sites)), [NAMES.get(site, site) for site in sites])
    axes.set_xlim(-0.5, len(sites) - 0.5)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), high)
