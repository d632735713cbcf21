"""Draw the headline, the divergence curve, the maps of all heads, and what the spaces change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.divergence.headline import draw_headline
from analyses.shared.drawing import (
    INTERVAL,
    draw_by_layer,
    draw_line,
    draw_points,
    letter_panels,
    line_up,
    mark,
    note,
    read_conditions,
    share_legend,
    spread,
)
from analyses.shared.maps import add_bar, draw_map, give_height, scale_around_zero, scale_from_zero
from analyses.shared.style import DIVERGING, FAINT, INK, PAGE, Look, house_style, new_figure
from analyses.shared.tables import populations, select
from probes.similarity import catalogue
from probes.similarity.catalogue import SPACES, WORD_PAIRS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIO = "dissociation_ratio_5%"
EXCESS = "excess_tieability_vs_"
# Panel title, measure, label, reference line.
PANELS = (
    ("how alike keys look", "mean_key_cosine", "mean cosine of pairs", 0.0),
    ("how alike values look", "mean_value_cosine", "mean cosine of pairs", 0.0),
    ("dissociation", RATIO, "DR(5 %)", 1.0),
    ("spread of the keys", "key_dimension", "effective dimension", None),
)
NOTHING = "values know nothing of keys"


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw headline, divergence curve, maps and spaces."""
    return {
        "headline": draw_headline(tables["pairs"], tables["summary"]),
        "curve": draw_curve(tables["curve"]),
        "maps": draw_maps(tables["heads"]),
        "spaces": draw_spaces(tables["summary"]),
    }


def draw_curve(curve: pd.DataFrame) -> Figure:
    """Draw E[1 - s_V] by the rank of s_K under each condition, a panel a population.

    Parameters
    ----------
    curve
        With ``population, condition, rank, value, ci_low, ci_high``.
    """
    names = populations(curve)
    with house_style():
        figure = new_figure(PAGE, 2.7)
        panels = figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=False):
            mine = select(curve, population=name).sort_values("rank")
            for condition in read_conditions(mine):
                rows = select(mine, condition=condition)
                draw_line(axes, 100 * rows["rank"], rows, Look.of_condition(condition))
            trained = select(mine, condition="trained")["value"]
            mark(axes, y=trained.mean())
            # Where the curve lies on the other side of the line, there is room for the text.
            left = bool(trained.iloc[0] <= trained.mean())
            side = {"horizontal": "left" if left else "right"}
            note(
                axes, NOTHING, (1 - left, trained.mean()), within=("axes fraction", "data"), **side
            )
            style = {"within": "axes fraction", "fontstyle": "italic", "fontsize": 6.5}
            note(axes, "most similar keys", (0, 0), horizontal="left", **style)
            note(axes, "least similar keys", (1, 0), horizontal="right", **style)
            axes.set(xlim=(0, 100), xticks=np.arange(0, 101, 25))
            axes.set_xlabel(r"rank of $s_K$: share of pairs with more similar keys (%)")
        letter_panels(panels[: len(names)], names)
        panels[0].set_ylabel(r"mean value dissimilarity  $E[1 - s_V]$")
        if names:
            panels[-1].legend(loc="lower right", bbox_to_anchor=(1, 0.08))
        return figure


def draw_maps(heads: pd.DataFrame) -> Figure:
    """Draw DR(5 %) of the word pairs and the excess tieability of every kv head, beside the nulls.

    The excess is over the first null of the catalogue that it was measured against: mismatched
    heads, or another one where a layer has one kv head.

    Parameters
    ----------
    heads
        With ``layer, kv_head, population, space, measure, value`` and the nulls' ``*_mean``.
    """
    functional = select(heads, space="functional")
    ratio = select(functional, measure=RATIO, population=WORD_PAIRS)
    tied = select(functional, measure="tieability")
    excesses = [
        (null.label, select(functional, measure=EXCESS + null.name))
        for null in sorted(catalogue.list_nulls(), key=lambda null: null.name == "random_heads")
    ]
    label, excess = next((found for found in excesses if len(found[1])), ("", functional[:0]))
    with house_style():
        figure = new_figure(PAGE, give_height(int(heads["layer"].max()) + 1))
        panels = figure.subplots(1, 4, sharey=True, width_ratios=[1, 0.85, 1, 0.85])
        for axes, rows, name in ((panels[1], ratio, "DR(5 %)"), (panels[3], tied, "held-out R²")):
            if len(rows):
                draw_by_layer(axes, rows, beside_map=True)
                axes.set_xlim(left=min(0.0, float(rows["value"].min()) - 0.02))
            axes.set_xlabel(name)
            axes.locator_params(axis="x", nbins=4)
            axes.grid(axis="x", linewidth=0.3, color=FAINT)
        bar = {"aspect": 16, "pad": 0.02}
        if len(ratio):
            image = draw_map(panels[0], ratio, scale_from_zero(ratio["value"]))
            add_bar(figure, image, panels[0], "DR(5 %)", **bar).ax.locator_params(nbins=4)
        if len(excess):
            norm = scale_around_zero(excess["value"])
            image = draw_map(panels[2], excess, norm, colours=DIVERGING)
            name = f"excess over {label}"
            add_bar(figure, image, panels[2], name, **bar).ax.locator_params(nbins=4)
        titles = ("dissociation", "beside its nulls", "excess tieability", "tieability")
        letter_panels(panels, titles)
        panels[0].set_ylabel("layer")
        share_legend(figure, panels[1::2], ncols=4)
        return figure


def draw_spaces(summary: pd.DataFrame) -> Figure:
    """Draw mean key and value cosines, DR(5 %) and the effective dimension of keys in every space.

    Parameters
    ----------
    summary
        With ``population, space, measure, condition, value, ci_low, ci_high``.
    """
    shown = summary[summary["measure"].isin([measure for _, measure, _, _ in PANELS])]
    names = populations(shown)
    with house_style():
        figure = new_figure(PAGE, 2.75)
        panels = figure.subplots(1, len(PANELS))
        for axes, (_, measure, label, reference) in zip(panels, PANELS, strict=True):
            rows = select(shown, measure=measure)
            for name in populations(rows) or ["occurrences"]:
                _draw_population(axes, select(rows, population=name), hollow=name in names[1:])
            axes.set_ylabel(label, labelpad=1)
            if reference is None:
                axes.set_ylim(bottom=0)
                continue
            mark(axes, y=reference)
            if reference:
                note(axes, NOTHING.replace(" nothing", "\nnothing"), (1, reference))
            axes.set_ylim(bottom=min(-0.05, axes.get_ylim()[0]), top=1.16 if reference else 1.08)
        letter_panels(panels, [title for title, *_ in PANELS])
        for axes in panels:
            axes.set_xlim(-0.4, len(SPACES) - 0.6)
            axes.set_xticks(range(len(SPACES)), list(SPACES), rotation=20)
        line = {"linewidth": 0.8, "linestyle": "-"}
        samples = [Look.of_condition(name).sample(**line) for name in read_conditions(shown)]
        for name in names:
            look = Look(name, INK)
            dashed = name in names[1:]
            samples.append(look.open().sample(**_DASHED) if dashed else look.sample(**line))
        share_legend(figure, samples=samples, ncols=7, columnspacing=1.1, handletextpad=0.3)
        return figure


_DASHED: dict[str, Any] = {"linewidth": 0.8, "linestyle": (0, (2, 1.5))}


def _draw_population(axes: Any, rows: pd.DataFrame, *, hollow: bool) -> None:
    """Draw every condition over the spaces: solid and filled, or dashed and open."""
    conditions = read_conditions(rows)
    for condition, shift in zip(conditions, spread(len(conditions), 0.07), strict=True):
        look, style = Look.of_condition(condition), {"linewidth": 0.8, "linestyle": "-"}
        if hollow:
            look, style = look.open(), _DASHED
        line = line_up(select(rows, condition=condition), list(SPACES), "space")
        draw_points(axes, np.arange(len(SPACES)) + shift, line, look, columns=INTERVAL, **style)
