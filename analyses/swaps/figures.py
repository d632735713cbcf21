"""Draw what swapping keys, values or both changes after the head word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import letter
from analyses.shared.style import COLOURS, DIVERGING, PAGE, SEQUENTIAL, house_style, new_figure
from analyses.shared.tables import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = {
    "key": ("keys", COLOURS["trained"], "o"),
    "value": ("values", COLOURS["mismatched"], "s"),
    "both": ("both", COLOURS["grey"], "D"),
}
SCOPES = {"all": "all layers", "layer": "one layer", "head": "one kv head"}
WORDS, RANDOM = "word pairs", "random pairs"


def draw_swaps(summary: pd.DataFrame, indices: pd.DataFrame) -> Figure:
    """Draw the change of the next-token distribution and of attention, and the index.

    Parameters
    ----------
    summary
        ``population, scope, part, measure, value, ci_low, ci_high``; filled: word pairs, open:
        random pairs.
    indices
        ``population, scope, measure, value, ci_low, ci_high``.
    """
    with house_style():
        figure = new_figure(PAGE, 2.8)
        panels = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.05))
        titles = {
            "total_variation": ("next token", "total variation"),
            "transfer": ("towards the other", "shift / gap of the logit difference"),
            "attention": ("attention of the head word", "total variation, mean over heads"),
        }
        for number, (measure, (title, label)) in enumerate(titles.items()):
            axes = panels[number]
            for part, (_, colour, marker) in PARTS.items():
                for population, shift, fill in ((WORDS, -0.07, colour), (RANDOM, 0.07, "white")):
                    rows = select(summary, measure=measure, part=part, population=population)
                    rows = rows.set_index("scope").reindex(list(SCOPES))
                    offset = 0.26 * (list(PARTS).index(part) - 1) + shift
                    _draw(axes, np.arange(3) + offset, rows, colour, marker, fill)
            axes.set_xticks(range(3), [label.replace(" ", "\n", 1) for label in SCOPES.values()])
            axes.set_xlim(-0.5, 2.5)
            if measure == "transfer":
                axes.set_yscale("symlog", linthresh=0.01)
                axes.set_yticks([0, 0.01, 0.1, 1], ["0", ".01", ".1", "1"])
                axes.axhline(0, color=COLOURS["grey"], lw=0.6)
                lowest = float(summary.loc[summary["measure"] == measure, "ci_low"].min())
                axes.set_ylim(bottom=min(1.2 * lowest, -0.002))
            else:
                axes.set_yscale("log")
            axes.set_ylabel(label)
            letter(axes, "abc"[number], title)
        axes = panels[3]
        for population, shift, fill in ((WORDS, -0.1, "black"), (RANDOM, 0.1, "white")):
            rows = select(indices, population=population, measure="total_variation")
            rows = rows.set_index("scope").reindex(list(SCOPES))
            _draw(axes, np.arange(3) + shift, rows, "black", "o", fill)
        axes.axhline(0, color=COLOURS["grey"], lw=0.6, ls=(0, (4, 3)))
        axes.set_ylim(-1.05, 1.05)
        axes.set_xticks(range(3), [label.replace(" ", "\n", 1) for label in SCOPES.values()])
        axes.set_xlim(-0.5, 2.5)
        axes.set_ylabel(r"$(d_v - d_k)\,/\,(d_v + d_k)$")
        axes.text(2.45, 1.0, "values matter", ha="right", va="top", fontsize=6, style="italic")
        axes.text(2.45, -1.0, "keys matter", ha="right", va="bottom", fontsize=6, style="italic")
        letter(axes, "d", "index")
        figure.legend(*_legend(), loc="outside lower center", ncols=5)
    return figure


def _draw(axes: Any, x: Any, rows: pd.DataFrame, colour: str, marker: str, fill: str) -> None:
    value = rows["value"].to_numpy(dtype=float)
    ends = np.stack(
        [
            value - rows["ci_low"].to_numpy(dtype=float),
            rows["ci_high"].to_numpy(dtype=float) - value,
        ]
    )
    axes.errorbar(
        x,
        value,
        yerr=np.clip(np.nan_to_num(ends), 0, None),
        color=colour,
        marker=marker,
        markerfacecolor=fill,
        ms=3.4,
        ls="none",
        elinewidth=0.9,
    )


def _legend() -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, marker=m, ls="none", ms=4) for _, c, m in PARTS.values()]
    names = [f"{label} swapped" for label, _, _ in PARTS.values()]
    for fill, name in (("black", WORDS), ("white", "random matched pairs")):
        handles.append(
            Line2D([], [], color="black", marker="o", markerfacecolor=fill, ls="none", ms=4)
        )
        names.append(name)
    return handles, names


def draw_swap_maps(heads: pd.DataFrame) -> Figure:
    """Map the index of every kv head, and scatter what swapping its keys and its values changes.

    Parameters
    ----------
    heads
        ``population, layer, kv_head, key, value, index``.
    """
    mine = select(heads, population=WORDS)
    n_layers = int(mine["layer"].max()) + 1
    with house_style():
        figure = new_figure(PAGE, float(np.clip(1.3 + 0.07 * n_layers, 2.5, 4.2)))
        axes, scatter = figure.subplots(1, 2, width_ratios=(0.8, 1.6))
        grid = mine.pivot_table(index="layer", columns="kv_head", values="index", dropna=False)
        image = axes.imshow(
            grid.reindex(range(n_layers)).to_numpy(dtype=float),
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap=DIVERGING,
            vmin=-1,
            vmax=1,
        )
        axes.set(xlabel="kv head", ylabel="layer", xticks=range(len(grid.columns)))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, location="bottom", pad=0.03, aspect=20)
        bar.set_label("keys matter            values matter")
        bar.outline.set_visible(False)
        letter(axes, "a", "index, one head")
        points = scatter.scatter(
            mine["key"], mine["value"], c=mine["layer"], cmap=SEQUENTIAL, s=12, lw=0
        )
        bar = figure.colorbar(points, ax=scatter, pad=0.02, aspect=25)
        bar.set_label("layer")
        bar.outline.set_visible(False)
        ends = np.array([mine[["key", "value"]].min().min(), mine[["key", "value"]].max().max()])
        scatter.plot(ends, ends, color=COLOURS["grey"], lw=0.7, ls=(0, (4, 3)), zorder=0)
        scatter.set_xscale("log")
        scatter.set_yscale("log")
        scatter.set_xlabel("total variation when its keys are swapped")
        scatter.set_ylabel("when its values are swapped")
        share = float((mine["value"] > mine["key"]).mean())
        letter(scatter, "b", f"above the line: {share:.0%} of heads")
    return figure
