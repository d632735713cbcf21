"""What keys and values know, head by head, and how fast."""

from __future__ import annotations

from typing import Any, Unpack

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
from analyses.shared.style import (
    FAINT,
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
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


@whole_figure
def draw_headline(summary: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw every property's scores of keys, values and controls, and values less keys.

    The properties that values know best compared with keys are at the top.

    Parameters
    ----------
    summary
        With ``property, score, part, value, ci_low, ci_high, majority, control``.
    """
    gaps = select(summary, part=DIFFERENCE).sort_values("value", ignore_index=True)
    height = 1.4 + 0.36 * len(gaps)
    figure, (left, right) = new_panels(height, 2, sharey=True, width_ratios=[1.5, 1])
    draw_scores(summary, ax=left)
    draw_gaps(gaps, ax=right)
    letter_panels((left, right), ("what a linear probe finds", "difference, 95 % over words"))
    share_legend(figure, [left], ncols=4)
    return figure


@panel
def draw_scores(summary: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw every property's scores of keys, values and controls, a row per property."""
    gaps = select(summary, part=DIFFERENCE).sort_values("value", ignore_index=True)
    names, rows = list(gaps["property"]), np.arange(len(gaps))
    for shift, (part, look) in spread(list_looks().items(), 0.325):
        mine = line_up(select(summary, part=part), names, "property")
        draw_points(rows - shift, mine, look, flat=True, ax=ax)
    keys = line_up(select(summary, part="keys"), names, "property")
    for column, style, label in (
        ("majority", ":", "most frequent class"),
        ("control", "-", "control task"),
    ):
        line = {"color": GREY, "linestyle": style, "linewidth": 0.9, "label": label}
        ax.vlines(keys[column], rows - 0.38, rows + 0.38, **line)
    ax.set_xlabel("held-out score, mean over heads")
    scores = zip(names, gaps["score"], strict=True)
    ax.set_yticks(rows, [f"{name} ({NOTES[score]})" for name, score in scores])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.grid(axis="x", linewidth=0.3, color=FAINT)
    ax.set_axisbelow(True)


@panel
def draw_gaps(gaps: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw values less keys with intervals, a row per property, in the order of the table."""
    draw_points(np.arange(len(gaps)), gaps, Look("", "black"), flat=True, ax=ax)
    mark(ax, x=0)
    drawn = gaps[["value", "ci_low", "ci_high"]].to_numpy(dtype=float)
    limit = 1.15 * np.nanmax(np.abs(drawn), initial=1e-6)
    ax.set(xlim=(-limit, limit), xlabel="values \N{MINUS SIGN} keys")
    ax.locator_params(axis="x", nbins=5)
    # Points rise from the lower left to the upper right, so the other two corners are free.
    corner: dict[str, Any] = {"xycoords": "axes fraction", "fontsize": 6.5}
    note(ax, "keys know\nit better", (0, 1), ha="left", va="top", **corner)
    note(ax, "values know\nit better", (1, 0), ha="right", **corner)
    ax.grid(axis="x", linewidth=0.3, color=FAINT)
    ax.set_axisbelow(True)


@whole_figure
def draw_maps(differences: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
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


@whole_figure
def draw_learning(learning: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the bits that a label of the next words takes, by the occurrences trained on.

    Parameters
    ----------
    learning
        With ``property, part, trained_on, accuracy, bits``.
    """
    names = list(learning["property"].unique())
    figure, panels = new_panels(2.3, len(names))
    for axes, name in zip(panels, names, strict=False):
        draw_curves(learning, name, ax=axes)
    letter_panels(panels, names)
    panels[0].set_ylabel("bits per label of unseen words")
    share_legend(figure, panels, ncols=3)
    return figure


@panel
def draw_curves(learning: pd.DataFrame, name: str, *, ax: Any = None) -> None:
    """Draw the bits that a label of one property takes, by the occurrences trained on."""
    mine, looks = select(learning, property=name), list_looks()
    for part in present(mine["part"], tuple(looks)):
        rows = select(mine, part=part)
        draw_line(rows["trained_on"], rows, looks[part], columns=["bits"], ax=ax)
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("occurrences trained on")
