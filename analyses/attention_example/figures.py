"""Draw the founding example: attention to its words, similarity of their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.shared.drawing import draw_by_layer, letter_panels, mark, note
from analyses.shared.maps import add_bar, draw_map, give_height, scale_from_zero
from analyses.shared.style import (
    DIVERGING,
    GREY,
    Asked,
    Look,
    new_figure,
    new_panels,
    panel,
    spell,
    whole_figure,
)
from analyses.shared.tables import select
from probes.similarity import catalogue
from probes.similarity.catalogue import WORD_PAIRS

# Okabe & Ito's: the two words and the claim are no conditions.
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


@whole_figure
def draw_attention(attention: pd.DataFrame, **asked: Unpack[Asked]) -> Figure:
    """Map the attention to each word, layer by query head, means over templates.

    Parameters
    ----------
    attention
        ``head_word, word, layer, head, weight, expected`` with a row per template.
    """
    head_word = spell(attention["head_word"].iloc[0])
    places = ["layer", "head"]
    means = attention.groupby(["word", *places], sort=False)[["weight"]].mean().reset_index()
    others = attention.groupby(places)[["expected"]].mean().reset_index()
    norm = scale_from_zero(means["weight"])
    height = give_height(others["layer"].nunique())
    figure, panels = new_panels(height, 3, sharey=True, width_ratios=(1.2, 1.2, 1))
    *maps, curve = panels
    lines: dict[str, Look] = {}
    for axes, word, look in zip(maps, means["word"].unique(), WORD_LOOKS, strict=True):
        mine = select(means, word=word)
        image = draw_map(mine, norm, value="weight", head="head", ax=axes)
        axes.set_xlabel("query head")
        others = others.merge(mine.rename(columns={"weight": word}).drop(columns="word"), on=places)
        lines[word] = Look(spell(word), *look)
    maps[0].set_ylabel("layer")
    add_bar(image, maps, f"attention weight of “{head_word}” on the word", shrink=0.7)
    lines["expected"] = Look("others", GREY, "", ":")
    draw_by_layer(others, lines=lines, dots=None, beside_map=True, ax=curve)
    curve.set(xlabel="attention weight", xlim=(0, None))
    # In the free corner beside the colour bar, where it hides no line.
    corner = {"bbox_to_anchor": (1, 0.01), "bbox_transform": figure.transFigure}
    legend = curve.legend(loc="lower right", ncols=3, handlelength=1.6, columnspacing=1, **corner)
    legend.set_in_layout(False)
    titles = [f"{head_word} → {lines[word].label}" for word in means["word"].unique()]
    letter_panels(panels, (*titles, "mean over heads"))
    return figure


@whole_figure
def draw_similarity(
    similarity: pd.DataFrame, summary: pd.DataFrame, words: Sequence[str], **asked: Unpack[Asked]
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
    place = {"space": "functional", "population": WORD_PAIRS}
    heads = select(similarity, **place)
    share = select(summary, measure="pattern_share", **place).iloc[0]
    figure = new_figure(give_height(heads["layer"].nunique()))
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1), squeeze=False)[0]
    maps = left.subplots(1, 2, sharey=True)
    for axes, column in zip(maps, ("key_percentile", "value_percentile"), strict=True):
        image = draw_map(heads, Normalize(0, 100), value=column, colours=DIVERGING, ax=axes)
    maps[0].set_ylabel("layer")
    between = " and ".join(map(spell, words))
    bar = add_bar(image, maps, f"percentile of {between} among the word pairs")
    bar.set_ticks([0, 25, 50, 75, 100])
    scatter = right.subplots()
    draw_quadrants(heads, ax=scatter)
    of_heads, of_others = (100 * share[name] for name in ("value", "expected"))
    title = (
        f"shaded: {of_heads:.0f} % of heads; other pairs: {of_others:.0f} %\n"
        f"(this pair is at percentile {share['percentile']:.0f} among {share['others']:.0f})"
    )
    letter_panels((*maps, scatter), ("key similarity", "value similarity", title))
    return figure


@panel
def draw_quadrants(heads: pd.DataFrame, *, ax: Any = None) -> None:
    """Scatter the heads and shade the claim's quadrant."""
    ax.fill_between((50, 100), 0, 50, color=SHADE, alpha=0.13, lw=0)
    mark(ax, x=50, y=50)
    ax.scatter(
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
    note(ax, claim, (100, 0), ha="right", bbox=box, fontsize=6.5, zorder=3)
    ticks = range(0, 101, 25)
    ax.set(xlim=(0, 100), ylim=(0, 100), xticks=ticks, yticks=ticks)
    ax.set(xlabel="key similarity, percentile", ylabel="value similarity, percentile")
