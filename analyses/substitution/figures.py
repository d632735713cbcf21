"""Draw what a model loses when values are made from keys, and what tells it beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import letter
from analyses.shared.style import COLOURS, PAGE, SEQUENTIAL, house_style, new_figure
from analyses.shared.tables import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {
    "keys": ("own keys", COLOURS["trained"], "o"),
    "other keys": ("another head's keys", COLOURS["mismatched"], "s"),
    "slice": ("random slice of x", COLOURS["slice"], "D"),
    "clamp": ("keys as they are", COLOURS["random"], "^"),
    "mean": ("mean value", COLOURS["grey"], "v"),
    "reverse": ("keys from values", "#E69F00", "P"),
}
"""Kind -> what is put in, its colour and marker."""

SCOPES = {"all": "all layers", "layer": "one layer", "head": "one kv head"}
MEASURE_LABELS = {
    "r2_text": "R² of the fit, this text",
    "tieability": "tieability",
    "excess_tieability_vs_mismatched": "excess over mismatched",
    "excess_tieability_vs_slice": "excess over slice",
    "representational_similarity": "repr. similarity",
    "dissociation_ratio_5%": "DR(5 %)",
}
COST_LABELS = {
    "rise": ("rise", "o", COLOURS["trained"]),
    "rise of mean ablation": ("rise of mean ablation", "s", COLOURS["grey"]),
    "rise, mean ablation held constant": (
        "rise, ablation held constant",
        "D",
        COLOURS["mismatched"],
    ),
    "share not recovered": ("share not recovered", "^", COLOURS["random"]),
}


def draw_summary(summary: pd.DataFrame, ranks: pd.DataFrame) -> Figure:
    """Draw the rise of every kind and scope, what comes back, and the curve over ranks.

    Parameters
    ----------
    summary
        ``scope, kind, fit, rise, ci_low, ci_high, recovered, recovered_low, recovered_high``.
    ranks
        ``directions, rank, recovered, recovered_low, recovered_high``; rank -1 is all.
    """
    with house_style():
        figure = new_figure(PAGE, 2.9)
        rise, back, curve = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 1))
        rows = [
            (scope, fit)
            for scope in SCOPES
            for fit in ("at once", "in order")
            if len(select(summary, scope=scope, fit=fit))
        ]
        for number, (scope, fit) in enumerate(rows):
            mine = select(summary, scope=scope, fit=fit)
            shown = [kind for kind in KINDS if kind in set(mine["kind"])]
            for place, kind in enumerate(shown):
                y = -number + 0.32 - 0.64 * place / max(1, len(shown) - 1)
                row = select(mine, kind=kind).iloc[0]
                _draw_point(rise, row, y, kind, ("rise", "ci_low", "ci_high"))
                if pd.notna(row["recovered"]) and kind != "mean":
                    columns = ("recovered", "recovered_low", "recovered_high")
                    _draw_point(back, row, y, kind, columns)
        labels = [
            SCOPES[scope] + (f",\nfitted {fit}" if scope == "all" else "") for scope, fit in rows
        ]
        for axes in (rise, back):
            axes.set_yticks([-number for number in range(len(rows))], labels)
            axes.set_ylim(-len(rows) + 0.5, 0.5)
            axes.tick_params(axis="y", length=0)
        back.tick_params(labelleft=False)
        rise.set_xscale("symlog", linthresh=0.01, linscale=0.5)
        rise.set_xticks([0, 0.01, 0.1, 1, 10], ["0", ".01", ".1", "1", "10"])
        lowest, highest = float(summary["ci_low"].min()), float(summary["ci_high"].max())
        rise.set_xlim(min(1.5 * lowest, -0.002), 1.5 * max(highest, 0.1))
        rise.axvline(0, color=COLOURS["grey"], lw=0.6)
        rise.set_xlabel("rise of cross-entropy (nats a token)")
        lowest = float(summary.loc[summary["kind"].isin(["keys", "slice"]), "recovered"].min())
        back.set_xlim(min(-0.05, lowest - 0.1), 1.05)
        for at in (0, 1):
            back.axvline(at, color=COLOURS["grey"], lw=0.6, ls=(0, (4, 3)), zorder=0)
        back.set_xlabel("recovered: 1 - rise / rise of mean")
        _draw_curve(curve, ranks)
        letter(rise, "a", "what is lost")
        letter(back, "b", "what comes back")
        letter(curve, "c", "how much of k is needed")
        handles, names = _legend()
        figure.legend(handles, names, loc="outside lower center", ncols=6, handletextpad=0.2)
    return figure


def _draw_point(axes: Any, row: pd.Series[Any], y: float, kind: str, columns: Any) -> None:
    value, low, high = (float(row[column]) for column in columns)
    _, colour, marker = KINDS[kind]
    error = np.clip(np.nan_to_num([[value - low], [high - value]]), 0, None)
    axes.errorbar(
        value, y, xerr=error, color=colour, marker=marker, ms=3.6, ls="none", elinewidth=0.9
    )


def _legend() -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, marker=m, ls="none", ms=4) for _, c, m in KINDS.values()]
    return handles, [label for label, _, _ in KINDS.values()]


def _draw_curve(axes: Any, ranks: pd.DataFrame) -> None:
    """Draw what comes back against the number of directions; all of them stand at the right."""
    most = int(ranks["rank"].max())
    for directions, label, colour, marker in (
        ("best", "best for the values", COLOURS["trained"], "o"),
        ("top", "largest of the keys", COLOURS["mismatched"], "s"),
    ):
        mine = select(ranks, directions=directions).copy()
        mine["place"] = mine["rank"].replace({0: 0.5, -1: 2 * most})
        mine = mine.sort_values("place")
        low, high = mine["recovered_low"], mine["recovered_high"]
        axes.fill_between(mine["place"], low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(mine["place"], mine["recovered"], color=colour, marker=marker, ms=3, label=label)
    axes.set_xscale("log", base=2)
    ticks = sorted({rank for rank in ranks["rank"] if rank > 0})
    places, names = [0.5, *ticks, 2 * most], ["0", *map(str, ticks), "all"]
    axes.set_xticks(places, names)
    axes.minorticks_off()
    axes.axhline(0, color=COLOURS["grey"], lw=0.6, ls=(0, (4, 3)), zorder=0)
    axes.set_xlabel("directions of each key")
    axes.set_ylabel("recovered")
    axes.legend(loc="best")


def draw_heads(heads: pd.DataFrame, layers: pd.DataFrame) -> Figure:
    """Map the rise when one head's values come from keys, or are their mean; and by layer.

    Parameters
    ----------
    heads
        ``kind, layer, kv_head, rise``.
    layers
        ``kind, layer, rise``.
    """
    from matplotlib.colors import SymLogNorm

    n_layers = int(layers["layer"].max()) + 1
    shown = [kind for kind in ("keys", "mean") if kind in set(heads["kind"])]
    top = max(float(heads.loc[heads["kind"].isin(shown), "rise"].max()), 1e-3)
    norm = SymLogNorm(linthresh=1e-3, vmin=0, vmax=top)
    with house_style():
        figure = new_figure(PAGE, float(np.clip(1.45 + 0.075 * n_layers, 2.4, 4.6)))
        *maps, line = figure.subplots(
            1, len(shown) + 1, sharey=True, width_ratios=[*[0.8] * len(shown), 1.6]
        )
        for number, (axes, kind) in enumerate(zip(maps, shown, strict=True)):
            mine = select(heads, kind=kind)
            grid = mine.pivot_table(index="layer", columns="kv_head", values="rise", dropna=False)
            grid = grid.reindex(range(n_layers)).clip(lower=0)
            image = axes.imshow(
                grid.to_numpy(dtype=float),
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                cmap=SEQUENTIAL,
                norm=norm,
            )
            axes.set_xticks(range(len(grid.columns)))
            axes.set_xlabel("kv head")
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            letter(axes, "ab"[number], KINDS[kind][0])
        if maps:
            maps[0].set_ylabel("layer")
            bar = figure.colorbar(
                image, ax=maps, location="bottom", pad=0.03, aspect=30, shrink=0.9
            )
            bar.set_label("rise, one head (nats a token)")
            bar.outline.set_visible(False)
            ticks = [0, *(10.0**power for power in range(-3, 2) if 10.0**power <= top)]
            bar.set_ticks(ticks, labels=["≤ 0", *(f"{tick:g}" for tick in ticks[1:])], minor=False)
        for kind, (label, colour, marker) in KINDS.items():
            mine = select(layers, kind=kind).sort_values("layer")
            if len(mine):
                line.plot(
                    mine["rise"],
                    mine["layer"],
                    color=colour,
                    marker=marker,
                    ms=2.5,
                    lw=0.9,
                    label=label,
                )
        line.set_xscale("symlog", linthresh=0.01)
        line.set_xlim(left=min(1.2 * float(layers["rise"].min()), -0.002))
        line.axvline(0, color=COLOURS["grey"], lw=0.6)
        line.set_xlabel("rise, whole layer (nats a token)")
        line.set_xticks([0, 0.01, 0.1, 1, 10], ["0", ".01", ".1", "1", "10"])
        line.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
        letter(line, "abc"[len(shown)], "whole layers")
    return figure


def draw_geometry(heads: pd.DataFrame, geometry: pd.DataFrame) -> Figure:
    """Draw whether geometry predicts cost: a scatter over heads, and all rank correlations.

    Parameters
    ----------
    heads
        ``kind, layer, kv_head, rise, r2_text``.
    geometry
        ``measure, cost, value, ci_low, ci_high``.
    """
    with house_style():
        measures = list(dict.fromkeys(geometry["measure"]))
        figure = new_figure(PAGE, max(2.6, 1.6 + 0.34 * len(measures)))
        scatter, dots = figure.subplots(1, 2, width_ratios=(1, 1.25))
        mine = select(heads, kind="keys")
        points = scatter.scatter(
            mine["r2_text"],
            mine["rise"],
            c=mine["layer"],
            cmap=SEQUENTIAL,
            s=11,
            lw=0,
        )
        bar = figure.colorbar(points, ax=scatter, pad=0.02, aspect=25)
        bar.set_label("layer")
        bar.outline.set_visible(False)
        scatter.set_yscale("symlog", linthresh=1e-2)
        scatter.axhline(0, color=COLOURS["grey"], lw=0.6)
        scatter.set_xlabel("R² of values from keys (functional, this text)")
        scatter.set_ylabel("rise, one head's values from its keys (nats)")
        letter(scatter, "a", "one point a kv head")
        for column, (cost, (label, marker, colour)) in enumerate(COST_LABELS.items()):
            rows = select(geometry, cost=cost).set_index("measure").reindex(measures)
            y = -np.arange(len(measures)) + 0.24 - 0.16 * column
            value = rows["value"].to_numpy(dtype=float)
            ends = np.stack([value - rows["ci_low"], rows["ci_high"] - value])
            dots.errorbar(
                value,
                y,
                xerr=np.clip(np.nan_to_num(ends), 0, None),
                ls="none",
                marker=marker,
                ms=3.4,
                color=colour,
                elinewidth=0.9,
                label=label,
            )
        dots.set_yticks(
            -np.arange(len(measures)), [MEASURE_LABELS.get(name, name) for name in measures]
        )
        dots.tick_params(axis="y", length=0)
        dots.axvline(0, color=COLOURS["grey"], lw=0.6)
        dots.set_xlim(-1, 1)
        dots.set_xticks([-1, -0.5, 0, 0.5, 1], ["-1", "-.5", "0", ".5", "1"])
        dots.set_xlabel("Spearman correlation over kv heads, 95 % interval")
        figure.legend(*dots.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        letter(dots, "b", "does the measure predict the cost?")
    return figure
