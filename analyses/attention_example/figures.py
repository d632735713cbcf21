"""Draw the founding example: attention to its words, likeness of their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.style import (
    COLOURS,
    DIVERGING,
    PAGE,
    SEQUENTIAL,
    house_style,
    new_figure,
    spell,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORD_COLOURS = (COLOURS["trained"], COLOURS["mismatched"])
POPULATION, SPACE = "word pairs", "functional"


def draw_attention(attention: pd.DataFrame) -> Figure:
    """Map the attention to each word, layer by query head, means over templates.

    Parameters
    ----------
    attention
        ``head_word, word, layer, head, weight, expected`` with a row a template.
    """
    words = list(attention["word"].unique())
    head_word = spell(attention["head_word"].iloc[0])
    means = attention.groupby(["word", "layer", "head"])["weight"].mean()
    others = attention.groupby("layer")["expected"].mean()
    top = float(means.max())
    with house_style():
        figure = new_figure(PAGE, _height(len(others)))
        *axes, line = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
        for axis, word, colour in zip(axes, words, WORD_COLOURS, strict=True):
            image = _map(axis, _grid(means[word]), SEQUENTIAL, top)
            axis.set(title=f"{head_word} → {spell(word)}", xlabel="query head")
            by_layer = means[word].groupby("layer").mean()
            line.plot(by_layer, by_layer.index, color=colour, label=spell(word), marker="o", ms=2)
        axes[0].set_ylabel("layer")
        axes[1].tick_params(labelleft=False)
        _add_bar(figure, image, axes, f"attention weight of “{head_word}” on the word")
        line.plot(others, others.index, color=COLOURS["grey"], lw=0.8, ls="--", label="others")
        line.set(title="Mean over heads", xlabel="attention weight", ylabel="layer")
        line.set(xlim=(0, None), ylim=axes[0].get_ylim(), yticks=axes[0].get_yticks())
        # In the free corner beside the colour bar, where it hides no line.
        line.legend(
            loc="lower right",
            bbox_to_anchor=(1, 0.01),
            bbox_transform=figure.transFigure,
            ncols=3,
            handlelength=1.6,
            columnspacing=1,
        ).set_in_layout(False)
    return figure


def draw_similarity(
    similarity: pd.DataFrame, summary: pd.DataFrame, words: Sequence[str]
) -> Figure:
    """Map how alike the two words' keys and values are among the word pairs, head by head.

    Parameters
    ----------
    similarity
        ``layer, kv_head, space, population, key_percentile, value_percentile``.
    summary
        Its ``pattern_share`` says how many heads show the claim's pattern, in this and other pairs.
    words
        The two words, for the labels.
    """
    mine = _select(similarity).set_index(["layer", "kv_head"])
    share = _select(summary).set_index("measure").loc[["pattern_share"]].iloc[0]
    between = " and ".join(map(spell, words))
    with house_style():
        n_layers = mine.index.get_level_values("layer").nunique()
        figure = new_figure(PAGE, _height(n_layers))
        maps, right = figure.subfigures(1, 2, width_ratios=(1.15, 1), squeeze=False)[0]
        axes = maps.subplots(1, 2, sharey=True)
        for axis, kind in zip(axes, ("key", "value"), strict=True):
            image = _map(axis, _grid(mine[f"{kind}_percentile"]), DIVERGING, 100.0)
            axis.set(title=f"{kind.capitalize()} similarity", xlabel="kv head")
        axes[0].set_ylabel("layer")
        bar = _add_bar(maps, image, axes, f"percentile of {between} among the word pairs")
        bar.set_ticks([0, 25, 50, 75, 100])
        _draw_quadrants(right.subplots(), mine, share)
    return figure


def _draw_quadrants(axis: Axes, heads: pd.DataFrame, share: pd.Series[Any]) -> None:
    """Scatter the heads, shade the claim's quadrant and say how many heads are in it."""
    axis.fill_between((50, 100), 0, 50, color=COLOURS["random"], alpha=0.13, lw=0)
    for line in (axis.axhline, axis.axvline):
        line(50, color=COLOURS["grey"], lw=0.6, ls=(0, (4, 3)), zorder=1)
    axis.scatter(
        heads["key_percentile"],
        heads["value_percentile"],
        s=max(5, min(18, 1500 / len(heads))),
        color=COLOURS["trained"],
        alpha=0.75,
        lw=0,
        clip_on=False,
        zorder=2,
    )
    axis.text(
        98,
        2,
        "claim: keys alike, values not",
        ha="right",
        va="bottom",
        fontsize=6.5,
        bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5},
        zorder=3,
    )
    axis.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xticks=range(0, 101, 25),
        yticks=range(0, 101, 25),
        xlabel="key similarity, percentile",
        ylabel="value similarity, percentile",
        title=f"Shaded: {share['value']:.0%} of heads; other pairs: {share['expected']:.0%}\n"
        f"(this pair stands at percentile {share['percentile']:.0f} among {share['others']:.0f})",
    )


def _map(axis: Axes, grid: pd.DataFrame, colours: str, top: float) -> Any:
    """Draw layers upwards and heads to the right; return what a colour bar needs."""
    n_layers, n_heads = grid.shape
    image = axis.imshow(
        grid.to_numpy(dtype=float),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=0,
        vmax=top,
    )
    axis.set_xticks(range(0, n_heads, -(-n_heads // 8)))
    axis.set_yticks(range(0, n_layers, -(-n_layers // 11)))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return image


def _grid(figures: pd.Series[float]) -> pd.DataFrame:
    """Lay figures indexed by (layer, head) out as [layer, head]."""
    return figures.unstack()  # noqa: PD010 - a series has no pivot_table


def _add_bar(figure: Any, image: Any, axes: Any, label: str) -> Any:
    """Add one colour bar below the maps."""
    bar = figure.colorbar(
        image, ax=axes, location="bottom", label=label, shrink=0.7, aspect=35, pad=0.03
    )
    bar.outline.set_visible(False)
    return bar


def _select(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the population and space that the figure shows."""
    return table[(table["population"] == POPULATION) & (table["space"] == SPACE)]


def _height(n_layers: int) -> float:
    """Give every layer room, within what a page can spare."""
    return min(4.2, max(2.5, 1.3 + 0.07 * n_layers))
