"""Draw the headline, the divergence curve, the maps of all heads, and what the spaces change."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.divergence import RATIO
from analyses.divergence.headline import NOTHING, RATIOS, draw_headline
from analyses.shared.drawing import (
    draw_by_layer,
    draw_conditions,
    draw_line,
    letter_panels,
    mark,
    note,
    read_conditions,
    share_legend,
    wrap,
)
from analyses.shared.maps import add_bar, draw_map, give_height, scale_around_zero, scale_from_zero
from analyses.shared.style import (
    DIVERGING,
    FAINT,
    INK,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
from analyses.shared.tables import populations, select
from probes.similarity import catalogue
from probes.similarity.catalogue import EXCESS, SPACES, WORD_PAIRS

SPACE_PANELS = {
    # measure: panel title, label, reference line
    "mean_key_cosine": ("how alike keys look", "mean cosine of pairs", 0.0),
    "mean_value_cosine": ("how alike values look", "mean cosine of pairs", 0.0),
    RATIO: ("dissociation", "DR(5 %)", 1.0),
    "key_dimension": ("spread of the keys", "effective dimension", None),
}
DASHED: dict[str, Any] = {"linewidth": 0.8, "linestyle": (0, (2, 1.5))}
SOLID: dict[str, Any] = {"linewidth": 0.8, "linestyle": "-"}


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw headline, divergence curve, maps and spaces."""
    return {
        "headline": draw_headline(tables["pairs"], tables["summary"]),
        "curve": draw_curve(tables["curve"]),
        "maps": draw_maps(tables["heads"]),
        "spaces": draw_spaces(tables["summary"]),
    }


@whole_figure
def draw_curve(curve: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw E[1 - s_V] by the rank of s_K under each condition, a panel per population.

    Parameters
    ----------
    curve
        With ``population, condition, rank, value, ci_low, ci_high``.
    """
    names = populations(curve)
    figure, panels = new_panels(2.7, len(names), sharey=True)
    for number, (axes, name) in enumerate(zip(panels, names, strict=False)):
        draw_ranks(curve, name, ax=axes)
        if number:
            axes.set_ylabel("")
    letter_panels(panels, names)
    if names:
        panels[-1].legend(loc="lower right", bbox_to_anchor=(1, 0.08))
    return figure


@panel
def draw_ranks(curve: pd.DataFrame, population: str, *, ax: Any = None) -> None:
    """Draw E[1 - s_V] of one population by the rank of s_K, a line per condition."""
    mine = select(curve, population=population).sort_values("rank")
    for condition in read_conditions(mine):
        rows = select(mine, condition=condition)
        draw_line(100 * rows["rank"], rows, Look.of_condition(condition), ax=ax)
    trained = select(mine, condition="trained")["value"]
    level = trained.mean()
    mark(ax, y=level)
    # Where the curve lies on the other side of the line, there is room for the text.
    at, side = (0, "left") if trained.iloc[0] <= level else (1, "right")
    within = ("axes fraction", "data")
    note(ax, NOTHING, (at, level), xycoords=within, ha=side)
    for at, side, text in ((0, "left", "most"), (1, "right", "least")):
        style = {"fontsize": 6.5, "fontstyle": "italic", "xycoords": "axes fraction"}
        note(ax, f"{text} similar keys", (at, 0), ha=side, **style)
    ax.set(xlim=(0, 100), xticks=np.arange(0, 101, 25))
    ax.set_xlabel(r"rank of $s_K$: share of pairs with more similar keys (%)")
    ax.set_ylabel(r"mean value dissimilarity  $E[1 - s_V]$")


@whole_figure
def draw_maps(heads: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw DR(5 %) of the word pairs and the excess tieability of every kv head, beside the nulls.

    The excess is over mismatched heads, or over another null where a layer has one kv head.

    Parameters
    ----------
    heads
        With ``layer, kv_head, population, space, measure, value`` and the nulls' ``*_mean``.
    """
    functional = select(heads, space="functional")
    ratio = select(functional, measure=RATIO, population=WORD_PAIRS)
    tied = select(functional, measure="tieability")
    height = give_height(int(heads["layer"].max()) + 1)
    figure, panels = new_panels(height, 4, sharey=True, width_ratios=[1, 0.85, 1, 0.85])
    for axes, rows, label in ((panels[1], ratio, "DR(5 %)"), (panels[3], tied, "held-out R²")):
        draw_beside_map(rows, label, ax=axes)
    bar = {"aspect": 16, "pad": 0.02}
    if len(ratio):
        image = draw_map(ratio, scale_from_zero(ratio["value"]), ax=panels[0])
        add_bar(image, panels[0], "DR(5 %)", **bar).ax.locator_params(nbins=4)
    for null in sorted(catalogue.list_nulls(), key=lambda null: null.name == "random_heads"):
        excess = select(functional, measure=EXCESS + null.name)
        if len(excess):
            norm = scale_around_zero(excess["value"])
            image = draw_map(excess, norm, colours=DIVERGING, ax=panels[2])
            label = f"excess over {null.label}"
            add_bar(image, panels[2], label, **bar).ax.locator_params(nbins=4)
            break
    letter_panels(panels, ("dissociation", "beside its nulls", "excess tieability", "tieability"))
    panels[0].set_ylabel("layer")
    share_legend(figure, panels[1::2], ncols=4)
    return figure


@panel
def draw_beside_map(rows: pd.DataFrame, label: str, *, ax: Any = None) -> None:
    """Draw one measure of all heads by layer, upwards as in the map beside it, with its nulls."""
    if len(rows):
        draw_by_layer(rows, beside_map=True, ax=ax)
        ax.set_xlim(left=min(0.0, float(rows["value"].min()) - 0.02))
    ax.set_xlabel(label)
    ax.locator_params(axis="x", nbins=4)
    ax.grid(axis="x", linewidth=0.3, color=FAINT)


@whole_figure
def draw_spaces(summary: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw what the spaces change: cosines, DR(5 %), dimension, and every measure of pairs.

    Parameters
    ----------
    summary
        With ``population, space, measure, condition, value, ci_low, ci_high``.
    """
    shown = dict(SPACE_PANELS)
    for other in catalogue.list_pair_measures():
        if other.name in set(summary["measure"]) and not other.name.startswith(RATIOS):
            shown[other.name] = ("", other.symbol, None)
    rows = summary[summary["measure"].isin(list(shown))]
    names = populations(rows)
    height = 0.55 + 2.2 * -(-len(shown) // 5)
    figure, panels = new_panels(height, len(shown), columns=5)
    for axes, (measure, (_, label, reference)) in zip(panels, shown.items(), strict=True):
        draw_measure(select(rows, measure=measure), label, reference, ax=axes)
    letter_panels(panels, [wrap(title, 18) for title, *_ in shown.values()])
    looks = [Look.of_condition(name) for name in read_conditions(rows)]
    samples = [look.sample(**SOLID) for look in looks]
    samples += [
        Look(name, INK).open().sample(**DASHED) if number else Look(name, INK).sample(**SOLID)
        for number, name in enumerate(names)
    ]
    share_legend(figure, samples=samples, ncols=7, columnspacing=1.1, handletextpad=0.3)
    return figure


@panel
def draw_measure(
    rows: pd.DataFrame, label: str, reference: float | None, *, ax: Any = None
) -> None:
    """Draw one measure over the spaces, the word pairs solid and the other pairs dashed."""
    spaces = list(SPACES)
    for name in populations(rows) or list(rows["population"].unique()):
        other = name in populations(rows)[1:]
        style = {"hollow": other, **(DASHED if other else SOLID)}
        mine = select(rows, population=name)
        draw_conditions(mine, spaces, "space", reach=0.07, ax=ax, **style)
    ax.set_ylabel(label, labelpad=1)
    ax.set_xlim(-0.4, len(spaces) - 0.6)
    ax.set_xticks(range(len(spaces)), spaces, rotation=20)
    low, high = ax.get_ylim()
    if reference is None:
        ax.set_ylim(min(0, low), high)
        return
    mark(ax, y=reference)
    ax.set_ylim(min(-0.05, low), 1.16 if reference else 1.08)
    if reference:
        note(ax, wrap(NOTHING), (1, reference))
