"""Scores of meaning against keys and against values, in every space, and the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
from analyses.shared.style import GREY, PAGE, Look, house_style, new_figure
from analyses.shared.tables import select
from probes.similarity import catalogue
from probes.similarity.catalogue import PARTS, SPACES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {
    "glove_cos": "GloVe cosine",
    "wup": "Wu-Palmer",
    "lin": "Lin",
    "path": "path",
    "score": "human scores",
}
DIFFERENCE = "values - keys"


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw keys beside values for every score, and the difference by head."""
    plain = select(tables["heads"], measure="plain")
    return {
        "meaning": draw_meaning(tables["summary"]),
        "meaning_heads": draw_head_maps(
            {
                f"{dataset}: {NAMES.get(score, score)}": select(plain, dataset=dataset, score=score)
                for dataset, score, _ in list_scores(tables["summary"])
            },
            "rank correlation with values less that with keys",
        ),
    }


def draw_meaning(summary: pd.DataFrame) -> Figure:
    """Draw the rank correlations of every score with keys and values, and their difference.

    Parameters
    ----------
    summary
        With ``dataset, score, pairs, space, condition, measure, part, value, ci_low, ci_high``.
    """
    scores = list_scores(summary)
    with house_style():
        figure = new_figure(PAGE, 1.35 + 0.3 * len(scores))
        panels = figure.subplots(1, len(SPACES) + 1, width_ratios=[1] * len(SPACES) + [1.25])
        plain = select(summary, measure="plain")
        spaces = list(SPACES)[::-1]
        for axes, space in zip(panels, spaces, strict=False):
            _draw_parts(axes, select(plain, space=space), scores)
            axes.set_xlabel("rank correlation")
        shared = [axes.get_xlim() for axes in panels[:-1]]
        for axes in panels[:-1]:
            axes.set_xlim(min(low for low, _ in shared), max(high for _, high in shared))
        _draw_differences(panels[-1], select(summary, part=DIFFERENCE), scores)
        panels[-1].set_xlabel("difference")
        letter_panels(panels, [*(f"{space} space" for space in spaces), "values less keys"])
        labels = [
            f"{dataset} ({pairs:,}):\n{NAMES.get(score, score)}" for dataset, score, pairs in scores
        ]
        for axes in panels:
            dress_rows(axes, labels if axes is panels[0] else None, len(scores))
            mark(axes, x=0)
        share_legend(figure, panels, ncols=4)
    return figure


def list_scores(summary: pd.DataFrame) -> list[tuple[str, str, int]]:
    """List (data set, score, number of pairs), in the table's order."""
    keys = summary[["dataset", "score", "pairs"]].drop_duplicates()
    return [(str(d), str(s), int(n)) for d, s, n in keys.itertuples(index=False)]


def _draw(
    axes: Any, rows: pd.DataFrame, scores: list[tuple[str, str, int]], shift: float, look: Look
) -> None:
    """Draw a point a score, that far below the middle of its row."""
    line = line_up(rows, [score[:2] for score in scores], ["dataset", "score"])
    draw_points(axes, np.arange(len(scores)) + shift, line, look, flat=True)


def _draw_parts(axes: Any, rows: pd.DataFrame, scores: list[tuple[str, str, int]]) -> None:
    """Draw keys above values: filled as trained, open under every null."""
    for shift, part in zip(spread(len(PARTS), 0.13), PARTS, strict=True):
        for condition in read_conditions(rows)[::-1]:
            label = f"{part}, {catalogue.find_condition(condition).label}"
            look = Look.of_part(part).named(label)
            mine = select(rows, part=part, condition=condition)
            _draw(axes, mine, scores, shift, look if condition == "trained" else look.open())


def _draw_differences(axes: Any, rows: pd.DataFrame, scores: list[tuple[str, str, int]]) -> None:
    """Draw the difference in the functional space, partial, in other spaces, and under nulls."""
    trained = Look.of_condition(catalogue.TRAINED)
    shown = [
        # look, space, condition, measure
        (trained.named("functional"), "functional", "trained", "plain"),
        (trained.open("partial"), "functional", "trained", "partial"),
        (Look("centred", GREY, "D"), "centred", "trained", "plain"),
    ]
    nulls = [name for name in read_conditions(rows) if name != catalogue.TRAINED]
    shown += [(Look.of_condition(name), "functional", name, "plain") for name in nulls]
    for shift, (look, space, condition, measure) in zip(
        spread(len(shown), 0.27), shown, strict=True
    ):
        mine = select(rows, space=space, condition=condition, measure=measure)
        _draw(axes, mine, scores, shift, look.named(f"difference, {look.label}"))
