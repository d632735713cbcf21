"""Scores of meaning against keys and against values, in every space, and the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import MARKERS, letter, share_legend
from analyses.shared.forest import KINDS, draw_head_maps, draw_rows, dress_rows, mark
from analyses.shared.style import COLOURS, LABELS, PAGE, house_style, new_figure
from analyses.shared.tables import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {
    "glove_cos": "GloVe cosine",
    "wup": "Wu-Palmer",
    "lin": "Lin",
    "path": "path",
    "score": "human scores",
}
SPACES = ("functional", "centred", "raw")


def draw_meaning(summary: pd.DataFrame) -> Figure:
    """Draw the rank correlations of every score with keys and values, and their difference.

    Parameters
    ----------
    summary
        With ``dataset, score, pairs, space, condition, measure, kind, value, ci_low, ci_high``.
    """
    rows = list_scores(summary)
    with house_style():
        figure = new_figure(PAGE, 1.35 + 0.3 * len(rows))
        panels = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.25])
        for axes, name, space in zip(panels, "abc", SPACES, strict=False):
            _draw_space(axes, summary, rows, space)
            letter(axes, name, f"{space} space")
        shared = [axes.get_xlim() for axes in panels[:3]]
        for axes in panels[:3]:
            axes.set_xlim(min(low for low, _ in shared), max(high for _, high in shared))
        _draw_difference(panels[3], summary, rows)
        letter(panels[3], "d", "values less keys")
        labels = [
            f"{dataset} ({pairs:,}):\n{NAMES.get(score, score)}" for dataset, score, pairs in rows
        ]
        for number, axes in enumerate(panels):
            dress_rows(axes, labels if number == 0 else None, len(rows))
            axes.set_xlabel("rank correlation" if number < 3 else "difference")
        share_legend(figure, panels, ncols=4, columnspacing=1.4, handletextpad=0.4)
    return figure


def list_scores(summary: pd.DataFrame) -> list[tuple[str, str, int]]:
    """List (data set, score, number of pairs), in the table's order."""
    keys = summary[["dataset", "score", "pairs"]].drop_duplicates()
    return [(str(d), str(s), int(n)) for d, s, n in keys.itertuples(index=False)]


def _line(summary: pd.DataFrame, rows: list[tuple[str, str, int]], **where: str) -> pd.DataFrame:
    mine = select(summary, **where).set_index(["dataset", "score"])
    return mine.reindex([row[:2] for row in rows]).reset_index()


def _draw_space(
    axes: Any, summary: pd.DataFrame, rows: list[tuple[str, str, int]], space: str
) -> None:
    at = np.arange(len(rows))
    for shift, (kind, (colour, marker)) in zip((-0.13, 0.13), KINDS.items(), strict=True):
        for condition, hollow in (("random", True), ("trained", False)):
            line = _line(
                summary, rows, space=space, condition=condition, measure="plain", kind=kind
            )
            if line["value"].isna().all():
                continue
            draw_rows(
                axes,
                line,
                at + shift,
                colour=colour,
                marker=marker,
                label=f"{kind}s, {LABELS[condition]}",
                hollow=hollow,
            )
    mark(axes, 0.0)


def _draw_difference(axes: Any, summary: pd.DataFrame, rows: list[tuple[str, str, int]]) -> None:
    at = np.arange(len(rows))
    shown = (
        # told, shift, colour, marker, hollow, where
        ("functional", -0.27, COLOURS["trained"], "o", False, ("functional", "trained", "plain")),
        (
            "partial",
            -0.09,
            COLOURS["trained"],
            "o",
            True,
            ("functional", "trained", "partial"),
        ),
        ("centred", 0.09, COLOURS["slice"], "D", False, ("centred", "trained", "plain")),
        (
            "random heads",
            0.27,
            COLOURS["random"],
            MARKERS["random"],
            False,
            ("functional", "random", "plain"),
        ),
    )
    for told, shift, colour, marker, hollow, (space, condition, measure) in shown:
        line = _line(
            summary, rows, space=space, condition=condition, measure=measure, kind="value - key"
        )
        draw_rows(
            axes,
            line,
            at + shift,
            colour=colour,
            marker=marker,
            label=f"difference, {told}",
            hollow=hollow,
        )
    mark(axes, 0.0)


def draw_meaning_heads(heads: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Map values minus keys over all heads, a panel a score."""
    plain = select(heads, measure="plain")
    groups = [
        (
            f"{dataset}: {NAMES.get(score, score)}",
            (plain["dataset"] == dataset) & (plain["score"] == score),
        )
        for dataset, score, _ in list_scores(summary)
    ]
    return draw_head_maps(plain, groups, "rank correlation with values less that with keys")
