"""Draw what swapping keys, values or both changes after the head word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import (
    DASHES,
    draw_points,
    letter_panels,
    line_up,
    mark,
    note,
    scatter_heads,
    share_legend,
    spread,
)
from analyses.shared.maps import add_bar, draw_map, give_height
from analyses.shared.style import DIVERGING, GREY, PAGE, Look, house_style, new_figure
from analyses.shared.tables import present, select
from probes.similarity.catalogue import WORD_PAIRS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = {
    "keys": Look.of_part("keys"),
    "values": Look.of_part("values"),
    "both": Look("both", GREY, "D"),
}
SCOPES = {"all": "all\nlayers", "layer": "one\nlayer", "head": "one\nkv head"}
TITLES = {
    "total_variation": ("next token", "total variation"),
    "transfer": ("towards the other", "shift / gap of the logit difference"),
    "attention": ("attention of the head word", "total variation, mean over heads"),
}
INDEX = r"$(d_v - d_k)\,/\,(d_v + d_k)$"


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw what swaps of keys and of values change."""
    return {
        "summary": draw_swaps(tables["summary"], tables["indices"]),
        "heads": draw_swap_maps(tables["heads"]),
    }


def draw_swaps(summary: pd.DataFrame, indices: pd.DataFrame) -> Figure:
    """Draw the change of the next-token distribution and of attention, and the index.

    Parameters
    ----------
    summary
        ``population, scope, part, measure, value, ci_low, ci_high``; filled: word pairs, open:
        matched random pairs.
    indices
        ``population, scope, measure, value, ci_low, ci_high``.
    """
    populations = [
        name for name in present(summary["population"], (WORD_PAIRS,)) if " - " not in name
    ]
    parts = present(summary["part"], tuple(LOOKS))
    with house_style():
        figure = new_figure(PAGE, 2.8)
        panels = figure.subplots(1, len(TITLES) + 1, width_ratios=(*[1] * len(TITLES), 1.05))
        for axes, (measure, (_, label)) in zip(panels, TITLES.items(), strict=False):
            rows = select(summary, measure=measure)
            for shift, part in zip(spread(len(parts), 0.26), parts, strict=True):
                _draw_scopes(axes, select(rows, part=part), populations, shift, _find(part))
            if measure == "transfer":
                axes.set_yscale("symlog", linthresh=0.01)
                axes.set_yticks([0, 0.01, 0.1, 1], ["0", ".01", ".1", "1"])
                mark(axes, y=0, solid=True)
                axes.set_ylim(bottom=min(1.2 * float(rows["ci_low"].min()), -0.002))
            else:
                axes.set_yscale("log")
            axes.set_ylabel(label)
        black = Look("", "black")
        _draw_scopes(panels[-1], select(indices, measure="total_variation"), populations, 0.0, black)
        mark(panels[-1], y=0)
        panels[-1].set(ylim=(-1.05, 1.05), ylabel=INDEX)
        style = {"within": "axes fraction", "horizontal": "right", "style": "italic"}
        note(panels[-1], "values matter", (1, 1), vertical="top", **style)
        note(panels[-1], "keys matter", (1, 0), **style)
        for axes in panels:
            axes.set_xticks(range(len(SCOPES)), list(SCOPES.values()))
            axes.set_xlim(-0.5, len(SCOPES) - 0.5)
        letter_panels(panels, [*(title for title, _ in TITLES.values()), "index"])
        samples = [_find(part).named(f"{part} swapped").sample() for part in parts]
        for name in populations:
            look = black.named(name)
            samples.append((look if name == WORD_PAIRS else look.open()).sample())
        share_legend(figure, samples=samples, ncols=len(samples), handletextpad=0.1)
    return figure


def _find(part: str) -> Look:
    return LOOKS.get(part, Look(part, GREY, "*"))


def _draw_scopes(
    axes: Any, rows: pd.DataFrame, populations: list[str], shift: float, look: Look
) -> None:
    """Draw a point a scope for every population, the word pairs filled and the others open."""
    for aside, name in zip(spread(len(populations), 0.07), populations, strict=True):
        mine = line_up(select(rows, population=name), list(SCOPES), "scope")
        shown = look if name == WORD_PAIRS else look.open()
        draw_points(axes, np.arange(len(SCOPES)) + shift + aside, mine, shown, label=None)


def draw_swap_maps(heads: pd.DataFrame) -> Figure:
    """Map the index of every kv head, and scatter what swapping its keys and its values changes.

    Parameters
    ----------
    heads
        ``population, layer, kv_head, keys, values, index``.
    """
    from matplotlib.colors import Normalize

    mine = select(heads, population=WORD_PAIRS)
    with house_style():
        figure = new_figure(PAGE, give_height(mine["layer"].nunique()))
        axes, scatter = panels = figure.subplots(1, 2, width_ratios=(0.8, 1.6))
        image = draw_map(axes, mine, Normalize(-1, 1), value="index", colours=DIVERGING)
        axes.set_ylabel("layer")
        add_bar(figure, image, axes, "keys matter            values matter", aspect=20)
        scatter_heads(figure, scatter, mine["keys"], mine["values"], mine["layer"])
        both = mine[["keys", "values"]].to_numpy()
        ends = np.array([both.min(), both.max()])
        scatter.plot(ends, ends, color=GREY, linewidth=0.7, linestyle=DASHES, zorder=0)
        scatter.set(xscale="log", yscale="log")
        scatter.set_xlabel("total variation when its keys are swapped")
        scatter.set_ylabel("when its values are swapped")
        share = float((mine["values"] > mine["keys"]).mean())
        letter_panels(panels, ("index, one head", f"above the line: {100 * share:.0f} % of heads"))
    return figure
