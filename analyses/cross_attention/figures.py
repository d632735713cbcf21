"""The measures at the sites of an encoder-decoder, side by side with their nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import draw_points, letter
from analyses.shared.style import LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import present, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SITES = ("encoder", "decoder", "cross")
NAMES = {
    "encoder": "encoder\nself-attention",
    "decoder": "decoder\nself-attention",
    "cross": "cross-\nattention",
}
PANELS = (
    ("dissociation_ratio_5%", "word pairs", "dissociation ratio, top 5 % of keys"),
    ("representational_similarity", "word pairs", "representational similarity"),
    ("tieability", "occurrences", "tieability, $R^2$"),
)
CONDITIONS = ("trained", "mismatched", "random", "slice")


def draw_sites(summary: pd.DataFrame) -> Figure:
    """Draw each measure at each site: trained heads and every null, with 95 % intervals."""
    with house_style():
        figure = new_figure(PAGE, 2.5)
        axes = figure.subplots(1, len(PANELS))
        for name, axis, (measure, population, title) in zip("abc", axes, PANELS, strict=True):
            rows = select(summary, measure=measure, population=population, space="functional")
            _draw_panel(axis, rows)
            letter(axis, name, title)
        handles, labels = axes[-1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _draw_panel(axis: Any, rows: pd.DataFrame) -> None:
    sites = present(rows["site"], SITES)
    conditions = [name for name in CONDITIONS if (rows["condition"] == name).any()]
    offsets = np.linspace(-0.24, 0.24, len(conditions)) if len(conditions) > 1 else [0.0]
    for condition, offset in zip(conditions, offsets, strict=True):
        mine = select(rows, condition=condition).set_index("site").reindex(sites).reset_index()
        x = np.arange(len(sites)) + offset
        draw_points(axis, x, mine, condition, label=LABELS[condition])
    axis.set_xticks(range(len(sites)), [NAMES.get(site, site) for site in sites])
    axis.set_xlim(-0.5, len(sites) - 0.5)
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, 0), high)
