"""Draw what swapping keys, values or both changes after the head word."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.shared.drawing import (
    DASHES,
    draw_points,
    letter_panels,
    line_up,
    mark,
    note,
    read_looks,
    scatter_heads,
    share_legend,
    spread,
)
from analyses.shared.maps import add_bar, draw_map, give_height
from analyses.shared.style import (
    DIVERGING,
    GREY,
    Asked,
    Look,
    new_panels,
    panel,
    whole_figure,
)
from analyses.shared.tables import present, select
from probes.similarity.catalogue import WORD_PAIRS

LOOKS = {
    "keys": Look.of_part("keys"),
    "values": Look.of_part("values"),
    "both": Look("both", GREY, "D"),
}
SCOPES = {"all": "all\nlayers", "layer": "one\nlayer", "head": "one\nkv head"}
MEASURES = {
    # measure: panel title, label
    "total_variation": ("next token", "total variation"),
    "transfer": ("towards the other", "shift / gap of the logit difference"),
    "attention": ("attention of the head word", "total variation, mean over heads"),
}
BLACK = Look("", "black")


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw what swaps of keys and of values change."""
    drawn = {"summary": draw_swaps(tables["summary"], tables["indices"])}
    if len(tables["heads"]):
        drawn["heads"] = draw_swap_maps(tables["heads"])
    return drawn


@whole_figure
def draw_swaps(summary: pd.DataFrame, indices: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Draw the change of the next-token distribution and of attention, and the index.

    Parameters
    ----------
    summary
        ``population, scope, part, measure, value, ci_low, ci_high``; filled: word pairs, open:
        matched random pairs.
    indices
        ``population, scope, measure, value, ci_low, ci_high``.
    """
    populations = present(summary["population"], (WORD_PAIRS,))
    looks = read_looks(summary["part"], LOOKS)
    figure, panels = new_panels(2.8, 4, width_ratios=(1, 1, 1, 1.05))
    *changes, index = panels
    for axes, measure in zip(changes, MEASURES, strict=True):
        draw_change(summary, measure, ax=axes)
    draw_index(indices, ax=index)
    letter_panels(panels, [*(title for title, _ in MEASURES.values()), "index"])
    samples = [look.named(f"{look.label} swapped").sample() for look in looks.values()]
    for number, name in enumerate(populations):
        samples.append((BLACK.open(name) if number else BLACK.named(name)).sample())
    share_legend(figure, samples=samples, ncols=len(samples), handletextpad=0.1)
    return figure


@panel
def draw_change(summary: pd.DataFrame, measure: str, *, ax: Any = None) -> None:
    """Draw what swapping keys, values or both changes of one of `MEASURES`, by scope."""
    populations, rows = (
        present(summary["population"], (WORD_PAIRS,)),
        select(summary, measure=measure),
    )
    for shift, (part, look) in spread(read_looks(summary["part"], LOOKS).items(), 0.26):
        draw_scopes(select(rows, part=part), populations, look, shift, ax=ax)
    if measure == "transfer":
        ax.set_yscale("symlog", linthresh=0.01)
        ax.set_yticks([0, 0.01, 0.1, 1], ["0", ".01", ".1", "1"])
        mark(ax, y=0, solid=True)
        lowest, highest = float(rows["ci_low"].min()), float(rows["ci_high"].max())
        ax.set_ylim(min(1.2 * lowest, -0.002), 1.5 * max(highest, 1))
    else:
        ax.set_yscale("log")
    ax.set_ylabel(MEASURES[measure][1])


@panel
def draw_index(indices: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw the index of the change of the next token: 1 if only values matter, -1 if only keys."""
    rows = select(indices, measure="total_variation")
    draw_scopes(rows, present(indices["population"], (WORD_PAIRS,)), BLACK, ax=ax)
    mark(ax, y=0)
    ax.set(ylim=(-1.05, 1.05), ylabel=r"$(d_v - d_k)\,/\,(d_v + d_k)$")
    style = {"xycoords": "axes fraction", "ha": "right", "style": "italic"}
    note(ax, "values matter", (1, 1), va="top", **style)
    note(ax, "keys matter", (1, 0), **style)


@panel
def draw_scopes(
    rows: pd.DataFrame, populations: list[str], look: Look, shift: float = 0.0, *, ax: Any = None
) -> None:
    """Draw a point per scope for every population, the word pairs filled and the others open."""
    for aside, name in spread(populations, 0.07):
        scopes = present(rows["scope"], tuple(SCOPES))
        mine = line_up(select(rows, population=name), scopes, "scope")
        shown = look if name == WORD_PAIRS else look.open()
        draw_points(np.arange(len(scopes)) + shift + aside, mine, shown, ax=ax)
        ax.set_xticks(range(len(scopes)), [SCOPES.get(scope, scope) for scope in scopes])
        ax.set_xlim(-0.5, len(scopes) - 0.5)


@whole_figure
def draw_swap_maps(heads: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Map the index of every kv head, and scatter what swapping its keys and its values changes.

    Parameters
    ----------
    heads
        ``population, layer, kv_head, keys, values, index``.
    """
    mine = select(heads, population=WORD_PAIRS)
    keys, values = mine["keys"], mine["values"]
    figure, panels = new_panels(give_height(mine["layer"].nunique()), 2, width_ratios=(0.8, 1.6))
    axes, scatter = panels
    image = draw_map(mine, Normalize(-1, 1), value="index", colours=DIVERGING, ax=axes)
    axes.set_ylabel("layer")
    add_bar(image, axes, "keys matter            values matter", aspect=20)
    draw_exchange(mine, ax=scatter)
    share = 100 * float((values > keys).mean())
    letter_panels(panels, ("index, one head", f"above the line: {share:.0f} % of heads"))
    return figure


@panel
def draw_exchange(heads: pd.DataFrame, *, ax: Any = None) -> None:
    """Draw a point per kv head: what swapping its values changes, against swapping its keys."""
    keys, values = heads["keys"], heads["values"]
    scatter_heads(keys, values, heads["layer"], ax=ax)
    ends = [min(keys.min(), values.min()), max(keys.max(), values.max())]
    ax.plot(ends, ends, color=GREY, linewidth=0.7, linestyle=DASHES, zorder=0)
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel("total variation when its keys are swapped")
    ax.set_ylabel("when its values are swapped")
