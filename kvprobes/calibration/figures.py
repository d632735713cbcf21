"""Planted against found: numbers, sizes, answers by dose, and a real model."""

from __future__ import annotations

from typing import Any, Unpack

import pandas as pd
from matplotlib.figure import Figure

from analyses.shared.drawing import letter_panels, mark, note, share_legend
from analyses.shared.style import (
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
from analyses.shared.tables import select
from kvprobes.calibration.reading import PLANTED_SOURCE

TARGET = 0.95
DOSES = {
    "nothing": 0.0,
    "classes, .2 of heads": 0.2,
    "classes, .5 of heads": 0.5,
    "classes": 1.0,
}
"""Cells with the same plant in more and more heads: their shares."""


@whole_figure
def draw(tables: dict[str, pd.DataFrame], **asked: Unpack[Asked]) -> Figure:
    """Draw a calibration from its tables (`kvprobes.calibration.tables.tabulate`)."""
    figure, panels = new_panels(2.1, 4)
    runs = tables["runs"]
    mine = runs[(runs["model"] == "small") & (runs["source"] == PLANTED_SOURCE)]
    keys, values = Look.of_part("keys"), Look.of_part("values")
    for look, measure in ((keys, "key_percentile"), (values, "value_percentile")):
        draw_planted(select(mine, measure=measure), look, ax=panels[0])
    _draw_equal(panels[0], 45.0, 80.0)
    panels[0].set(xlabel="planted percentile", ylabel="found")
    draw_planted(select(mine, measure="key_gap"), keys, ax=panels[1])
    panels[1].set(xscale="log", yscale="log", xlabel="planted key gap, nats", ylabel="found")
    _draw_equal(panels[1], 0.02, 2.0)
    mark(panels[1], x=0.1, y=0.1)
    note(panels[1], "one key", (0.02, 0.1), ha="left")
    draw_doses(tables, ax=panels[2])
    draw_heads(tables["heads"], ax=panels[3])
    titles = ("how alike", "how large", "answers yes", "a real model")
    letter_panels(panels, titles)
    share_legend(figure, panels, ncols=7)
    return figure


@panel
def draw_planted(rows: pd.DataFrame, look: Look, *, ax: Any = None) -> None:
    """Draw what was found against what was planted, a point per model."""
    style = look.style | {"linestyle": "none", "markersize": 2.4, "markeredgewidth": 0}
    ax.plot(rows["planted"], rows["found"], **style | {"alpha": 0.6})


def _draw_equal(ax: Any, low: float, high: float) -> None:
    ax.plot([low, high], [low, high], color=GREY, linewidth=0.7, zorder=1)
    ax.set(xlim=(low, high), ylim=(low, high))


@panel
def draw_doses(tables: dict[str, pd.DataFrame], *, ax: Any = None) -> None:
    """Draw how often each answer is yes, by the share of the heads that are planted."""
    answers = select(tables["answers"], model="small", source=PLANTED_SOURCE)
    looks = {
        "values less alike": Look("values less alike", GREY, "^", hollow=True),
        "values dissimilar": Look.of_part("values").named("values dissimilar"),
        "keys alike": Look.of_part("keys").named("keys alike"),
    }
    sizes = (6, 4, 3)  # where lines lie on each other, all are seen
    for size, (name, look) in zip(sizes, looks.items(), strict=True):
        found = select(answers, answer=name).set_index("cell")["yes"]
        shown = [cell for cell in DOSES if cell in found]
        ax.plot(
            [DOSES[cell] for cell in shown],
            [found[cell] for cell in shown],
            **look.style | {"markersize": size},
        )
    mark(ax, y=TARGET)
    ax.set(xlabel="share of heads planted", ylabel="share of seeds")
    ax.set_ylim(-0.04, 1.04)


@panel
def draw_heads(heads: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the share of the heads that are found, by how many are planted."""
    rows = heads[heads["model"] != "small"]
    dose = rows["cell"].str.extract(r"^(\d+)", expand=False).astype(float)
    looks = {"planted": Look("planted heads", "black", "s"), "other": Look("others", GREY, "o")}
    for kind, look in looks.items():
        mine = rows["heads"] == kind
        if mine.any():
            ordered = dose[mine].sort_values()
            ax.plot(ordered, rows.loc[ordered.index, "found"], **look.style | {"markersize": 3})
    mark(ax, y=TARGET)
    ax.set(xlabel="kv heads planted", ylabel="share of heads")
    ax.set_ylim(-0.04, 1.04)
