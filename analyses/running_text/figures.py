"""What the moments of a running text say, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.drawing import letter, share_legend
from analyses.shared.style import COLOURS, LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "tieability": "held-out tieability (R²)",
    "linear_cka": "linear CKA",
    "canonical_correlation": "canonical correlations (mean r²)",
}


def draw_layers(heads: pd.DataFrame) -> Figure:
    """Draw a panel a measure, functional space: a dot a kv head, lines the layers' means."""
    rows = select(heads, space="functional")
    with house_style():
        figure = new_figure(PAGE, 2.2)
        panels = figure.subplots(1, len(TITLES), squeeze=False)[0]
        for name, axes, (measure, title) in zip("abc", panels, TITLES.items(), strict=True):
            own = select(rows, measure=measure)
            style = {"color": COLOURS["trained"], "alpha": 0.45, "linewidths": 0}
            axes.scatter(own["layer"], own["trained"], s=6, **style)
            by_layer = own.groupby("layer")
            for condition, line in (("trained", "-"), ("mismatched", "--"), ("slice", ":")):
                if condition in own:
                    axes.plot(
                        by_layer[condition].mean(),
                        color=COLOURS[condition],
                        linestyle=line,
                        label=LABELS[condition],
                    )
            axes.set_ylim(bottom=0)
            axes.set_xlabel("layer")
            letter(axes, name, title)
        share_legend(figure, panels[:1], ncols=3)
    return figure
