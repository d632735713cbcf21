"""Draw the founding example: attention to its words, likeness of their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.drawing import draw_by_layer, letter_panels, mark, note
from analyses.shared.maps import add_bar, draw_map, give_height, scale_from_zero
from analyses.shared.style import DIVERGING, GREY, PAGE, Look, house_style, new_figure, spell
from analyses.shared.tables import select
from probes.similarity import catalogue
from probes.similarity.catalogue import WORD_PAIRS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's, but those of no condition beside which they could stand.
WORD_LOOKS = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"))
SHADE = "#009E73"


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the attention to the two words and how alike they are."""
    attention = tables["attention"]
    words = list(attention["word"].unique())
    return {
        "attention": draw_attention(attention),
        "similarity": draw_similarity(tables["similarity"], tables["summary"], words),
    }


def draw_attention(attention: pd.DataFrame) -> Figure:
    """Map the attention to each word, layer by query head, means over templates.

    Parameters
    ----------
    attention
        ``head_word, word, layer, head, weight, expected`` with a row a template.
    """
    head_word = spell(attention["head_word"].iloc[0])
    places = ["layer", "head"]
    means = attention.groupby(["word", *places], as_index=False, sort=False)["weight"].mean()
    others = attention.groupby(places, as_index=False)["expected"].mean()
    norm = scale_from_zero(means["weight"])
    lines: dict[str, Look] = {}
    with house_style():
        figure = new_figure(PAGE, give_height(others["layer"].nunique()))
        *maps, curve = figure.subplots(1, 3, sharey=True, width_ratios=(1.2, 1.2, 1))
        for number, (axes, word) in enumerate(zip(maps, means["word"].unique(), strict=True)):
            mine = select(means, word=word)
            image = draw_map(axes, mine, norm, value="weight", head="head")
            axes.set_xlabel("query head")
            others[word] = mine["weight"].to_numpy()
            lines[word] = Look(spell(word), *WORD_LOOKS[number])
        maps[0].set_ylabel("layer")
        add_bar(figure, image, maps, f"attention weight of “{head_word}” on the word", shrink=0.7)
        lines["expected"] = Look("others", GREY, "", ":")
        draw_by_layer(curve, others, lines=lines, dots=None, beside_map=True)
        curve.set(xlabel="attention weight", xlim=(0, None))
        # In the free corner beside the colour bar, where it hides no line.
        curve.legend(
            loc="lower right",
            bbox_to_anchor=(1, 0.01),
            bbox_transform=figure.transFigure,
            ncols=3,
            handlelength=1.6,
            columnspacing=1,
        ).set_in_layout(False)
        titles = [f"{head_word} → {look.label}" for look in list(lines.values())[:2]]
        letter_panels((*maps, curve), (*titles, "mean over heads"))
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
    from matplotlib.colors import Normalize

    place = {"space": "functional", "population": WORD_PAIRS}
    heads = select(similarity, **place)
    share = select(summary, measure="pattern_share", **place).iloc[0]
    between = " and ".join(map(spell, words))
    with house_style():
        figure = new_figure(PAGE, give_height(heads["layer"].nunique()))
        left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1), squeeze=False)[0]
        maps = left.subplots(1, 2, sharey=True)
        for axes, side in zip(maps, ("key", "value"), strict=True):
            percentile, norm = f"{side}_percentile", Normalize(0, 100)
            image = draw_map(axes, heads, norm, value=percentile, colours=DIVERGING)
        maps[0].set_ylabel("layer")
        bar = add_bar(left, image, maps, f"percentile of {between} among the word pairs")
        bar.set_ticks([0, 25, 50, 75, 100])
        scatter = right.subplots()
        _draw_quadrants(scatter, heads)
        title = (
            f"shaded: {share['value']:.0%} of heads; other pairs: {share['expected']:.0%}\n"
            f"(this pair stands at percentile {share['percentile']:.0f} "
            f"among {share['others']:.0f})"
        )
        letter_panels((*maps, scatter), ("key similarity", "value similarity", title))
    return figure


def _draw_quadrants(axes: Axes, heads: pd.DataFrame) -> None:
    """Scatter the heads and shade the claim's quadrant."""
    axes.fill_between((50, 100), 0, 50, color=SHADE, alpha=0.13, lw=0)
    mark(axes, x=50, y=50)
    axes.scatter(
        heads["key_percentile"],
        heads["value_percentile"],
        s=max(5, min(18, 1500 / len(heads))),
        color=Look.of_condition(catalogue.TRAINED).colour,
        alpha=0.75,
        lw=0,
        clip_on=False,
        zorder=2,
    )
    box: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5}
    claim = "claim: keys alike, values not"
    note(axes, claim, (100, 0), horizontal="right", bbox=box, fontsize=6.5, zorder=3)
    ticks = range(0, 101, 25)
    axes.set(xlim=(0, 100), ylim=(0, 100), xticks=ticks, yticks=ticks)
    axes.set(xlabel="key similarity, percentile", ylabel="value similarity, percentile")
