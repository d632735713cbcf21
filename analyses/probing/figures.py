"""The figures of `analyses.probing.compute`: what keys and values know, head by head, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.shared.drawing import letter
from analyses.shared.style import COLOURS, DIVERGING, LABELS, PAGE, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's other two colours: keys and values are no conditions.
KINDS = {
    "k": ("keys", "#E69F00", "o"),
    "v": ("values", "#56B4E9", "s"),
    "slice": (LABELS["slice"], COLOURS["slice"], "D"),
    "untrained k": ("keys, untrained model", "#E69F00", "o"),
    "untrained v": ("values, untrained model", "#56B4E9", "s"),
    "embedding": ("whole token embedding", COLOURS["grey"], "x"),
}
NOTES = {"accuracy": "accuracy", "r2": "R²"}


def draw_headline(summary: pd.DataFrame) -> Figure:
    """Draw every property's scores of keys, values and controls, and value minus key.

    The properties that values know best compared with keys stand at the top.

    Parameters
    ----------
    summary
        With ``property, score, what, value, ci_low, ci_high, majority, control``.
    """
    gaps = summary[summary["what"] == "v - k"].sort_values("value", ignore_index=True)
    names = list(gaps["property"])
    score_of = dict(zip(gaps["property"], gaps["score"], strict=True))
    with house_style():
        figure = new_figure(PAGE, 1.4 + 0.36 * len(names))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
        for number, (what, (label, colour, marker)) in enumerate(KINDS.items()):
            rows = summary[summary["what"] == what].set_index("property").reindex(names)
            if rows["value"].isna().all():
                continue
            at = np.arange(len(names)) + (2.5 - number) * 0.13
            face = "white" if what.startswith("untrained") else colour
            _draw_points(left, rows, at, colour, marker, label, face=face)
        keys = summary[summary["what"] == "k"].set_index("property").reindex(names)
        for column, style, label in (
            ("majority", ":", "commonest class"),
            ("control", "-", "control task"),
        ):
            left.vlines(
                keys[column],
                np.arange(len(names)) - 0.38,
                np.arange(len(names)) + 0.38,
                color=COLOURS["grey"],
                linestyle=style,
                linewidth=0.9,
                label=label,
            )
        _draw_points(right, gaps.set_index("property"), np.arange(len(names)), "black", "o", "")
        right.axvline(0, color=COLOURS["grey"], linewidth=0.7, linestyle=(0, (4, 2)))
        limit = 1.15 * float(np.nanmax(np.abs(gaps[["ci_low", "ci_high"]].to_numpy()))) + 1e-6
        right.set_xlim(-limit, limit)
        right.set_xlabel("value \N{MINUS SIGN} key")
        right.locator_params(axis="x", nbins=5)
        # Points rise from the lower left to the upper right, so the other two corners are free.
        corner = {"transform": right.transAxes, "fontsize": 6.5}
        right.text(0.03, 0.97, "keys know\nit better", ha="left", va="top", **corner)
        right.text(0.97, 0.03, "values know\nit better", ha="right", va="bottom", **corner)
        left.set_xlabel("held-out score, mean over heads")
        left.set_yticks(
            np.arange(len(names)), [f"{name} ({NOTES[score_of[name]]})" for name in names]
        )
        left.set_ylim(-0.6, len(names) - 0.4)
        for axes in (left, right):
            axes.grid(axis="x", linewidth=0.3, color="#DDDDDD")
            axes.set_axisbelow(True)
        letter(left, "a", "what a linear probe finds")
        letter(right, "b", "difference, 95 % over words")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return figure


def draw_maps(differences: pd.DataFrame) -> Figure:
    """Draw value minus key for every property, layer and kv head.

    A dot marks heads whose difference is not significant at a false discovery rate of 5 %, or, of
    pairs, whose interval includes 0.

    Parameters
    ----------
    differences
        With ``property, comparison, layer, kv_head, value, ci_low, ci_high, q``.
    """
    chosen = differences[differences["comparison"] == "v - k"]
    names = list(dict.fromkeys(chosen["property"]))
    limit = max(float(np.nanmax(np.abs(chosen["value"]))), 1e-6)
    n_layers = int(chosen["layer"].max()) + 1
    with house_style():
        figure = new_figure(PAGE, float(np.clip(1.5 + 0.08 * n_layers, 2.4, 4.6)))
        panels = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
        for axes, name in zip(panels, names, strict=True):
            rows = chosen[chosen["property"] == name]
            table = rows.pivot_table(index="layer", columns="kv_head", values="value")
            mesh = axes.pcolormesh(
                np.arange(len(table.columns) + 1) - 0.5,
                np.arange(len(table) + 1) - 0.5,
                table.to_numpy(),
                cmap=DIVERGING,
                vmin=-limit,
                vmax=limit,
                edgecolors="white",
                linewidth=0.25,
            )
            # Pairs have no q, as those that share a word cannot be exchanged one by one.
            spans_zero = (rows["ci_low"] <= 0) & (rows["ci_high"] >= 0)
            unsure = rows[(rows["q"] >= 0.05).where(rows["q"].notna(), spans_zero)]
            axes.plot(
                unsure["kv_head"],
                unsure["layer"],
                linestyle="none",
                marker=".",
                markersize=2,
                color=COLOURS["grey"],
                markeredgewidth=0,
            )
            axes.set_title("\n".join(_wrap(name)), fontsize=6.5)
            axes.set_xlabel("kv head")
            axes.set_xticks(range(0, len(table.columns), max(1, len(table.columns) // 4)))
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        panels[0].set_ylabel("layer")
        bar = figure.colorbar(mesh, ax=list(panels), orientation="horizontal", aspect=50, pad=0.02)
        note = "dots: q ≥ .05 (of pairs: the interval includes 0)"
        bar.set_label(f"value \N{MINUS SIGN} key (accuracy or R²); {note}")
        bar.outline.set_linewidth(0.4)
        return figure


def draw_learning(learning: pd.DataFrame) -> Figure:
    """Draw, by the number of occurrences trained on, the bits a label of the next words takes.

    Parameters
    ----------
    learning
        With ``property, what, trained_on, accuracy, bits``.
    """
    names = list(dict.fromkeys(learning["property"]))
    with house_style():
        figure = new_figure(PAGE, 2.3)
        panels = np.atleast_1d(figure.subplots(1, len(names)))
        for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
            for what, (label, colour, marker) in KINDS.items():
                rows = learning[(learning["property"] == name) & (learning["what"] == what)]
                if len(rows):
                    axes.plot(
                        rows["trained_on"],
                        rows["bits"],
                        color=colour,
                        marker=marker,
                        markersize=3,
                        label=label,
                    )
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.set_xlabel("occurrences trained on")
            letter(axes, "abcdefgh"[number], name)
        panels[0].set_ylabel("bits a label of unseen words")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return figure


def _draw_points(
    axes: Any,
    rows: pd.DataFrame,
    at: Any,
    colour: str,
    marker: str,
    label: str,
    *,
    face: str | None = None,
) -> None:
    value = rows["value"].to_numpy(dtype=float)
    low, high = (rows[column].to_numpy(dtype=float) for column in ("ci_low", "ci_high"))
    error = np.clip(np.nan_to_num(np.stack([value - low, high - value])), 0, None)
    axes.errorbar(
        value,
        at,
        xerr=error,
        color=colour,
        marker=marker,
        markerfacecolor=face or colour,
        markersize=3.6,
        linestyle="none",
        elinewidth=0.9,
        label=label,
    )


def _wrap(name: str) -> list[str]:
    """Break a name in two where it is long."""
    words = name.split()
    if len(name) < 12 or len(words) < 2:
        return [name]
    breaks = [(" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words))]
    return list(min(breaks, key=lambda lines: max(map(len, lines))))
