"""What keys and values know, head by head, and how fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_line,
    draw_points,
    letter_panels,
    line_up,
    mark,
    note,
    share_legend,
    spread,
)
from analyses.shared.maps import draw_head_maps
from analyses.shared.numbers import CLEAR
from analyses.shared.style import FAINT, GREY, Look, house_style, new_panels
from analyses.shared.tables import present, select

DIFFERENCE = "values - keys"
NOTES = {"accuracy": "accuracy", "r2": "R²"}


def list_looks() -> dict[str, Look]:
    """Return what a probe can be given, in order, with the look of each."""
    keys, values = Look.of_part("keys"), Look.of_part("values")
    return {
        "keys": keys,
        "values": values,
        "random_slice": Look.of_condition("random_slice"),
        "untrained keys": keys.open("keys, untrained model"),
        "untrained values": values.open("values, untrained model"),
        "embedding": Look("whole token embedding", GREY, "x"),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the headline, the maps of values less keys, and the learning curves."""
    drawn = {
        "headline": draw_headline(tables["summary"]),
        "maps": draw_maps(tables["differences"]),
    }
    if len(tables["learning"]):
        drawn["learning"] = draw_learning(tables["learning"])
    return drawn


@house_style()
def draw_headline(summary: pd.DataFrame) -> Figure:
    """Draw every property's scores of keys, values and controls, and values less keys.

    The properties that values know best compared with keys stand at the top.

    Parameters
    ----------
    summary
        With ``property, score, part, value, ci_low, ci_high, majority, control``.
    """
    gaps = select(summary, part=DIFFERENCE).sort_values("value", ignore_index=True)
    names, rows = list(gaps["property"]), np.arange(len(gaps))
    height = 1.4 + 0.36 * len(names)
    figure, (left, right) = new_panels(height, 2, sharey=True, width_ratios=[1.5, 1])
    for shift, (part, look) in spread(list_looks().items(), 0.325):
        mine = line_up(select(summary, part=part), names, "property")
        draw_points(left, rows - shift, mine, look, flat=True)
    keys = line_up(select(summary, part="keys"), names, "property")
    for column, style, label in (
        ("majority", ":", "commonest class"),
        ("control", "-", "control task"),
    ):
        line = {"color": GREY, "linestyle": style, "linewidth": 0.9, "label": label}
        left.vlines(keys[column], rows - 0.38, rows + 0.38, **line)
    left.set_xlabel("held-out score, mean over heads")
    scores = zip(names, gaps["score"], strict=True)
    left.set_yticks(rows, [f"{name} ({NOTES[score]})" for name, score in scores])
    left.set_ylim(-0.6, len(names) - 0.4)
    draw_points(right, rows, gaps, Look("", "black"), flat=True)
    mark(right, x=0)
    drawn = gaps[["value", "ci_low", "ci_high"]].to_numpy(dtype=float)
    limit = 1.15 * np.nanmax(np.abs(drawn), initial=1e-6)
    right.set(xlim=(-limit, limit), xlabel="values \N{MINUS SIGN} keys")
    right.locator_params(axis="x", nbins=5)
    # Points rise from the lower left to the upper right, so the other two corners are free.
    corner: dict[str, Any] = {"xycoords": "axes fraction", "fontsize": 6.5}
    note(right, "keys know\nit better", (0, 1), ha="left", va="top", **corner)
    note(right, "values know\nit better", (1, 0), ha="right", **corner)
    for axes in (left, right):
        axes.grid(axis="x", linewidth=0.3, color=FAINT)
        axes.set_axisbelow(True)
    letter_panels((left, right), ("what a linear probe finds", "difference, 95 % over words"))
    share_legend(figure, [left], ncols=4)
    return figure


def draw_maps(differences: pd.DataFrame) -> Figure:
    """Draw values less keys for every property, layer and kv head.

    Heads are marked whose difference is clear: its p, corrected over the heads for a false
    discovery rate, is below `CLEAR`, or, of pairs, its interval excludes 0.

    Parameters
    ----------
    differences
        With ``property, part, layer, kv_head, value, ci_low, ci_high, p_bh``.
    """
    chosen = select(differences, part=DIFFERENCE)
    groups = {name: select(chosen, property=name) for name in chosen["property"].unique()}
    label = "values \N{MINUS SIGN} keys (accuracy or R²)"
    return draw_head_maps(groups, label, is_clear=_is_clear)


def _is_clear(rows: pd.DataFrame) -> pd.Series[bool]:
    # Pairs have no p, as those that share a word cannot be exchanged one by one.
    excludes_zero = (rows["ci_low"] > 0) | (rows["ci_high"] < 0)
    return (rows["p_bh"] < CLEAR).where(rows["p_bh"].notna(), excludes_zero)


@house_style()
def draw_learning(learning: pd.DataFrame) -> Figure:
    """Draw, by the number of occurrences trained on, the bits a label of the next words takes.

    Parameters
    ----------
    learning
        With ``property, part, trained_on, accuracy, bits``.
    """
    names, looks = list(learning["property"].unique()), list_looks()
    figure, panels = new_panels(2.3, len(names))
    for axes, name in zip(panels, names, strict=False):
        mine = select(learning, property=name)
        for part in present(mine["part"], tuple(looks)):
            rows = select(mine, part=part)
            draw_line(axes, rows["trained_on"], rows, looks[part], columns=["bits"])
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("occurrences trained on")
    letter_panels(panels, names)
    panels[0].set_ylabel("bits a label of unseen words")
    share_legend(figure, panels, ncols=3)
    return figure
