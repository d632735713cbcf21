"""The headline figure: key similarity against value similarity, and the dissociation ratio."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from analyses.divergence import KINDS as RELATEDNESS
from analyses.divergence.labels import place_labels
from analyses.shared.drawing import (
    draw_conditions,
    letter,
    mark,
    note,
    read_conditions,
    share_legend,
    wrap,
)
from analyses.shared.style import (
    GREY,
    Asked,
    Look,
    can_draw,
    is_narrow,
    new_figure,
    panel,
    whole_figure,
)
from analyses.shared.tables import populations, present, select

FOUNDING = (
    ("network", {"neural", "social"}),
    ("dog", {"guide", "hot"}),
    ("网络", {"神经", "社交"}),
)
"""The pairs that the question came from, and the first of them in Chinese."""

RATIOS = "dissociation_ratio_"
NOTHING = "values know nothing about keys"
# Tol's "muted" scheme: these are kinds of pairs, and must not look like conditions.
KINDS = (("#AA4499", "o"), ("#88CCEE", "s"), ("#DDCC77", "^"), (GREY, "D"))
QUADRANTS = (
    # text, above the median of s_K?, of s_V?
    ("similar keys,\nsimilar values", True, True),
    ("similar keys,\ndissimilar values", True, False),
    ("dissimilar keys,\nsimilar values", False, True),
    ("dissimilar keys,\ndissimilar values", False, False),
)
NAMED = 8


@whole_figure
def draw_headline(pairs: pd.DataFrame, summary: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw s_K against s_V of all pairs, and DR at every top beside the nulls.

    Parameters
    ----------
    pairs
        With ``head``, ``m1``, ``m2``, ``s_k``, ``s_v``, ``dissociation``; ``relatedness`` if known.
    summary
        Rows ``dissociation_ratio_*`` of the functional space are drawn.
    """
    ratios = select(summary[summary["measure"].str.startswith(RATIOS)], space="functional")
    names = populations(ratios)
    below = is_narrow()
    figure = new_figure(5.8 if below else 3.6)
    sizes = [1.3, 1]
    grid = (
        figure.add_gridspec(2, 1, height_ratios=sizes)
        if below
        else figure.add_gridspec(1, 2, width_ratios=sizes)
    )
    scatter = figure.add_subplot(grid[0])
    right = grid[1].subgridspec(1, max(1, len(names)))
    panels: list[Any] = []
    for number, name in enumerate(names):
        axes = figure.add_subplot(right[number], sharey=panels[0] if panels else None)
        draw_ratios(ratios, name, ax=axes)
        letter(axes, number + 1, name)
        axes.tick_params(labelleft=not panels)
        panels.append(axes)
    if panels:
        panels[0].set_ylabel("dissociation ratio DR")
    style: dict[str, Any] = {
        "loc": "outside lower right",
        "columnspacing": 1.2,
        "handletextpad": 0.1,
    }
    share_legend(figure, panels, ncols=3, **style)
    draw_scatter(pairs, ax=scatter)
    return figure


@panel
def draw_scatter(pairs: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw every pair, the medians, the quadrants' shares and the names of some pairs."""
    points = pairs[["s_k", "s_v"]].to_numpy(dtype=float)
    draw_pairs(pairs, ax=ax)
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.maximum(high - low, 1e-6)
    ax.set_xlim(low[0] - 0.06 * room[0], high[0] + 0.16 * room[0])
    ax.set_ylim(low[1] - 0.30 * room[1], high[1] + 0.14 * room[1])
    corners = _draw_quadrants(ax, *points.T)
    ax.set_xlabel(r"key similarity  $s_K$  (functional, mean over heads)")
    ax.set_ylabel(r"value similarity  $s_V$  (functional, mean over heads)")
    letter(ax, 0, f"{len(pairs):,} word pairs")
    _name_pairs(ax, pairs, points, corners)


@panel
def draw_pairs(pairs: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw a point per pair, in a mixed order, so that no kind of pairs hides the others."""
    rows = pairs.sample(frac=1, random_state=0)
    many = len(rows) > 3000
    style: dict[str, Any] = {
        "s": float(np.clip(9000 / max(1, len(rows)), 3, 12)),
        "alpha": 0.45 if many else 0.7,
        "linewidth": 0,
        "rasterized": many,
        "zorder": 2,
    }
    kind = rows["relatedness"].fillna("unknown").astype(str) if "relatedness" in rows else None
    kinds = [] if kind is None else present(kind, RELATEDNESS)
    if not 0 < len(kinds) <= len(KINDS):
        ax.scatter(rows["s_k"], rows["s_v"], color=GREY, **style)
        return
    looks = dict(zip(kinds, KINDS, strict=False))
    sns.scatterplot(
        x=rows["s_k"],
        y=rows["s_v"],
        hue=kind,
        style=kind,
        hue_order=kinds,
        palette={name: colour for name, (colour, _) in looks.items()},
        markers={name: marker for name, (_, marker) in looks.items()},
        ax=ax,
        legend=False,
        **style,
    )
    ax.legend(
        handles=[Look(name, *look).sample() for name, look in looks.items()],
        title="the two words are",
        title_fontsize=6.5,
        loc="upper left",
        bbox_to_anchor=(0.005, 0.88),
        alignment="left",
        handletextpad=0.1,
        borderpad=0,
        labelspacing=0.3,
    )


def _draw_quadrants(axes: Any, x: Any, y: Any) -> list[Any]:
    """Draw the two medians and write in each corner what it means and how many pairs it holds."""
    middle_x, middle_y = np.median(x), np.median(y)
    mark(axes, x=middle_x, y=middle_y)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.fill_between([middle_x, right], bottom, middle_y, color="#F2F2F2", linewidth=0, zorder=0)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    corners = []
    for text, far_right, up in QUADRANTS:
        share = np.mean(((x > middle_x) == far_right) & ((y > middle_y) == up))
        corners.append(
            axes.text(
                0.985 if far_right else 0.015,
                0.985 if up else 0.015,
                f"{text}: {100 * share:.0f} %",
                transform=axes.transAxes,
                ha="right" if far_right else "left",
                va="top" if up else "bottom",
                fontsize=6.5,
                color="#333333",
                fontweight="bold" if far_right and not up else "normal",
                zorder=5,
            )
        )
    return corners


def _name_pairs(axes: Any, pairs: pd.DataFrame, points: Any, taken: list[Any]) -> None:
    """Name the founding pairs, if they are there, and those that dissociate most."""
    founding = np.flatnonzero(
        [
            any(row.head == head and {row.m1, row.m2} == words for head, words in FOUNDING)
            for row in pairs[["head", "m1", "m2"]].itertuples()
        ]
    )
    most = np.argsort(-pairs["dissociation"].to_numpy(dtype=float), kind="stable")[:NAMED]
    chosen = [*founding, *(n for n in most if n not in founding)]
    if not chosen:
        return
    axes.scatter(
        *points[chosen].T, s=20, facecolors="none", edgecolors="black", linewidths=0.7, zorder=4
    )
    rows = pairs.iloc[chosen]
    legend = axes.get_legend()
    place_labels(
        axes,
        points[chosen],
        [_escape(_name(row)) for row in rows.to_dict("records")],
        avoid=points,
        taken=[*taken, *([legend] if legend is not None else [])],
        bold=[n in founding for n in chosen],
    )


def _name(pair: dict[Any, Any]) -> str:
    """Name a pair in its own script, or in English (or by its number) where no font has that."""
    name = f"{pair['head']}: {pair['m1']} / {pair['m2']}"
    if can_draw(name):
        return name
    return str(pair.get("english") or pair["pair_id"])


def _escape(text: str) -> str:
    """Keep a word's dollar signs from being read as mathematics."""
    return text.replace("$", r"\$")


@panel
def draw_ratios(ratios: pd.DataFrame, population: str, *, ax: Any = None) -> None:
    """Draw DR at the tops, a marker per condition, between its two reference lines."""
    measures = list(ratios["measure"].unique())
    mine = select(ratios, population=population)
    draw_conditions(mine, measures, "measure", reach=0.22, ax=ax)
    middle = (len(measures) - 1) / 2
    mark(ax, y=1)
    mark(ax, y=0)
    note(ax, wrap(NOTHING), (middle, 1))
    note(ax, "similar keys\nalways mean\nsimilar values", (middle, 0), va="top")
    drawn = ratios[ratios["condition"].isin(read_conditions(ratios))]
    top = np.nanmax([1.16, 1.04 * drawn["ci_high"].max(), 1.04 * drawn["value"].max()])
    ax.set(xlim=(-0.6, len(measures) - 0.4), ylim=(-0.24, top), yticks=np.arange(0, top, 0.25))
    tops = [name.removeprefix(RATIOS).replace("%", " %") for name in measures]
    ax.set_xticks(range(len(measures)), tops)
    ax.set_xlabel("share of pairs with\nthe highest $s_K$")
