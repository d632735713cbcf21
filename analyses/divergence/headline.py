"""The headline figure: key similarity against value similarity, and the dissociation ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.divergence.compute.labels import place_labels
from analyses.shared.drawing import CONDITIONS, draw_points, letter
from analyses.shared.style import COLOURS, LABELS, PAGE, can_draw, house_style, new_figure
from analyses.shared.tables import populations, present, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOUNDING = (
    ("network", {"neural", "social"}),
    ("dog", {"guide", "hot"}),
    ("网络", {"神经", "社交"}),
)
"""The pairs that the question came from, and the first of them in Chinese."""

TOPS = ("1%", "5%", "10%")
RELATEDNESS = ("related", "mid", "unrelated")
# Tol's "muted" scheme: these are kinds of pairs, and must not look like conditions.
KINDS = (("#332288", "o"), ("#88CCEE", "s"), ("#DDCC77", "^"))
QUADRANTS = (
    # text, above the median of s_K?, of s_V?
    ("similar keys,\nsimilar values", True, True),
    ("similar keys,\ndissimilar values", True, False),
    ("dissimilar keys,\nsimilar values", False, True),
    ("dissimilar keys,\ndissimilar values", False, False),
)
NAMED = 8


def draw_headline(pairs: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw s_K against s_V of all pairs, and DR at 1, 5 and 10 % beside both nulls.

    Parameters
    ----------
    pairs
        With ``head``, ``m1``, ``m2``, ``s_k``, ``s_v``, ``dissociation``; ``relatedness`` if known.
    summary
        Rows ``dissociation_ratio_*`` of the functional space are drawn.
    """
    with house_style():
        figure = new_figure(PAGE, 3.6)
        names = populations(summary)
        grid = figure.add_gridspec(1, 2, width_ratios=[1.3, 1])
        scatter = figure.add_subplot(grid[0])
        right = grid[1].subgridspec(1, max(1, len(names)))
        shared = None
        for number, name in enumerate(names):
            axes = figure.add_subplot(right[number], sharey=shared)
            _draw_ratios(axes, summary, name, first=number == 0)
            letter(axes, "bcdefgh"[number], name)
            shared = shared or axes
        if shared is not None:
            figure.legend(
                *shared.get_legend_handles_labels(),
                loc="outside lower right",
                ncols=3,
                columnspacing=1.2,
                handletextpad=0.1,
            )
        _draw_scatter(scatter, pairs)
        return figure


def _draw_scatter(axes: Any, pairs: pd.DataFrame) -> None:
    """Draw every pair, the medians, the quadrants' shares and the names of the telling pairs."""
    x, y = pairs["s_k"].to_numpy(dtype=float), pairs["s_v"].to_numpy(dtype=float)
    many = len(pairs) > 3000
    style: dict[str, Any] = {
        "s": float(np.clip(9000 / max(1, len(pairs)), 3, 12)),
        "alpha": 0.45 if many else 0.7,
        "linewidths": 0,
        "rasterized": many,
        "zorder": 2,
    }
    kinds = present(pairs["relatedness"], RELATEDNESS) if "relatedness" in pairs else []
    if 0 < len(kinds) <= len(KINDS):
        # Drawn in a mixed order, so that no kind lies on top of the others.
        kind = pairs["relatedness"].astype(str).to_numpy()
        for part in np.array_split(np.random.default_rng(0).permutation(len(pairs)), 12):
            for name, (colour, marker) in zip(kinds, KINDS, strict=False):
                chosen = part[kind[part] == name]
                axes.scatter(x[chosen], y[chosen], color=colour, marker=marker, **style)
        for name, (colour, marker) in zip(kinds, KINDS, strict=False):
            axes.scatter([], [], color=colour, marker=marker, s=14, label=name)
        axes.legend(
            title="the two words are",
            title_fontsize=6.5,
            loc="upper left",
            bbox_to_anchor=(0.005, 0.88),
            alignment="left",
            handletextpad=0.1,
            borderpad=0,
            labelspacing=0.3,
        )
    else:
        axes.scatter(x, y, color=COLOURS["grey"], **style)
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    room = np.maximum(high - low, 1e-6)
    axes.set_xlim(low[0] - 0.06 * room[0], high[0] + 0.16 * room[0])
    axes.set_ylim(low[1] - 0.30 * room[1], high[1] + 0.14 * room[1])
    corners = _draw_quadrants(axes, x, y)
    axes.set_xlabel(r"key similarity  $s_K$  (functional, mean over heads)")
    axes.set_ylabel(r"value similarity  $s_V$  (functional, mean over heads)")
    letter(axes, "a", f"{len(pairs):,} word pairs")
    _name_pairs(axes, pairs, np.stack([x, y], axis=1), corners)


def _draw_quadrants(axes: Any, x: Any, y: Any) -> list[Any]:
    """Draw the two medians and write in each corner what it means and how many pairs it holds."""
    middle_x, middle_y = np.median(x), np.median(y)
    for draw, at in ((axes.axvline, middle_x), (axes.axhline, middle_y)):
        draw(at, color=COLOURS["grey"], linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
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


def _draw_ratios(axes: Any, summary: pd.DataFrame, population: str, *, first: bool) -> None:
    """Draw DR at the three tops, a marker a condition, between its two reference lines."""
    for number, condition in enumerate(CONDITIONS):
        rows = select(summary, population=population, space="functional", condition=condition)
        rows = rows.set_index("measure").reindex([f"dissociation_ratio_{top}" for top in TOPS])
        if rows["value"].isna().all():
            continue
        at = np.arange(len(TOPS)) + 0.22 * (number - 1)
        draw_points(axes, at, rows, condition, label=LABELS[condition])
    for height, text, va in (
        (1, "values know\nnothing of keys", "bottom"),
        (0, "similar keys\nalways mean\nsimilar values", "top"),
    ):
        axes.axhline(height, color=COLOURS["grey"], linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
        axes.text(
            1,
            height + (0.015 if va == "bottom" else -0.02),
            text,
            ha="center",
            va=va,
            fontsize=6,
            color="#444444",
            linespacing=1.05,
        )
    drawn = select(summary, space="functional")
    drawn = drawn[drawn["measure"].str.startswith("dissociation_ratio")]
    drawn = drawn[drawn["condition"].isin(CONDITIONS)]
    top = np.nanmax([1.16, 1.04 * drawn["ci_high"].max(), 1.04 * drawn["value"].max()])
    axes.set(xlim=(-0.6, len(TOPS) - 0.4), ylim=(-0.24, top))
    axes.set_xticks(range(len(TOPS)), [top.replace("%", " %") for top in TOPS])
    axes.set_yticks(np.arange(0, top, 0.25))
    axes.set_xlabel("share of pairs with\nthe highest $s_K$")
    if first:
        axes.set_ylabel("dissociation ratio DR")
    else:
        axes.tick_params(labelleft=False)
