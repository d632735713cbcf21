"""Scores of meaning against keys and against values, in every space, and the difference."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    draw_points,
    dress_rows,
    letter_panels,
    line_up,
    mark,
    read_conditions,
    share_legend,
    spread,
)
from analyses.shared.maps import draw_head_maps
from analyses.shared.style import (
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
from analyses.shared.tables import select
from probes.similarity import catalogue
from probes.similarity.catalogue import PARTS, SPACES

NAMES = {
    "glove_cos": "GloVe cosine",
    "wup": "Wu-Palmer",
    "lin": "Lin",
    "path": "path",
    "score": "human scores",
}


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw keys beside values for every score, and the difference by head."""
    plain = select(tables["heads"], measure="plain")
    maps = {
        f"{dataset}: {NAMES.get(score, score)}": select(plain, dataset=dataset, score=score)
        for dataset, score, _ in list_scores(tables["summary"])
    }
    return {
        "meaning": draw_meaning(tables["summary"]),
        "meaning_heads": draw_head_maps(maps, "rank correlation with values less that with keys"),
    }


def list_scores(summary: pd.DataFrame) -> list[tuple[str, str, int]]:
    """List (data set, score, number of pairs), in the table's order."""
    keys = summary[["dataset", "score", "pairs"]].drop_duplicates()
    return [(str(d), str(s), int(n)) for d, s, n in keys.itertuples(index=False)]


@whole_figure
def draw_meaning(summary: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the rank correlations of every score with keys and values, and their difference.

    Parameters
    ----------
    summary
        With ``dataset, score, pairs, space, condition, measure, part, value, ci_low, ci_high``.
    """
    scores = list_scores(summary)
    spaces = list(SPACES)[::-1]
    figure, panels = new_panels(1.35 + 0.3 * len(scores), 4, width_ratios=[1, 1, 1, 1.25])
    for axes, space in zip(panels, spaces, strict=False):
        draw_parts(select(summary, space=space, measure="plain"), scores, ax=axes)
        axes.set_xlabel("rank correlation")
    low, high = zip(*(axes.get_xlim() for axes in panels[:3]), strict=True)
    for axes in panels[:3]:
        axes.set_xlim(min(low), max(high))
    draw_differences(select(summary, part="values - keys"), scores, ax=panels[3])
    panels[3].set_xlabel("difference")
    labels = [f"{name} ({count:,}):\n{NAMES.get(score, score)}" for name, score, count in scores]
    for axes in panels:
        dress_rows(axes, labels if axes is panels[0] else None, len(scores))
        mark(axes, x=0)
    letter_panels(panels, [*(f"{space} space" for space in spaces), "values less keys"])
    share_legend(figure, panels, ncols=4)
    return figure


def _draw(
    axes: Any, rows: pd.DataFrame, scores: list[tuple[str, str, int]], shift: float, look: Look
) -> None:
    """Draw a point per score, that far below the middle of its row."""
    line = line_up(rows, [score[:2] for score in scores], ["dataset", "score"])
    draw_points(np.arange(len(scores)) + shift, line, look, flat=True, ax=axes)


@panel
def draw_parts(rows: pd.DataFrame, scores: list[tuple[str, str, int]], *, ax: Any = None) -> None:
    """Draw keys above values: filled as trained, open under every null."""
    for shift, part in spread(PARTS, 0.13):
        for name in read_conditions(rows)[::-1]:
            look = Look.of_part(part).named(f"{part}, {catalogue.find_condition(name).label}")
            look = look if name == catalogue.TRAINED else look.open()
            _draw(ax, select(rows, part=part, condition=name), scores, shift, look)


@panel
def draw_differences(
    rows: pd.DataFrame, scores: list[tuple[str, str, int]], *, ax: Any = None
) -> None:
    """Draw the difference in the functional space, partial, in another space, and under nulls."""
    trained, *nulls = read_conditions(rows)
    look = Look.of_condition(trained)
    shown = [
        # look, space, condition, measure
        (look.named("functional"), "functional", trained, "plain"),
        (look.open("partial"), "functional", trained, "partial"),
        (Look("centred", GREY, "D"), "centred", trained, "plain"),
        *((Look.of_condition(null), "functional", null, "plain") for null in nulls),
    ]
    for shift, (look, space, condition, measure) in spread(shown, 0.27):
        mine = select(rows, space=space, condition=condition, measure=measure)
        _draw(ax, mine, scores, shift, look.named(f"difference, {look.label}"))
