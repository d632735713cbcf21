"""Draw the lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.style import house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw a histogram."""
    with house_style():
        figure = new_figure(1.5)
        figure.subplots().hist(tables["summary"]["value"])
    return {"lengths": figure}
