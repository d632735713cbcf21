"""How figures look: sizes of the venues, fonts that embed, colours all eyes can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN, PAGE, TEXT = 3.25, 6.75, 5.5
"""Widths in inches: an ICML column, an ICML page, a NeurIPS text block."""

# Okabe & Ito (2008); one colour a condition, the same in every figure.
COLOURS = {
    "trained": "#0072B2",
    "mismatched": "#D55E00",
    "random": "#009E73",
    "slice": "#CC79A7",
    "grey": "#666666",
}
LABELS = {
    "trained": "trained heads",
    "mismatched": "mismatched heads",
    "random": "random heads",
    "slice": "random slice of x",
}
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"


# Fonts that have the characters which the first one lacks, on one system or another.
FONTS = (
    "DejaVu Sans",
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS"),
)


@cache
def list_fonts() -> dict[str, str]:
    """Return those of `FONTS` that this machine has, with the file of each."""
    from matplotlib import font_manager

    known = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    return {name: known[name] for name in FONTS if name in known}


def can_draw(text: str) -> bool:
    """Whether every character of a text is in a font of the house style."""
    from matplotlib.ft2font import FT2Font

    missing = {ord(character) for character in text}
    for path in list_fonts().values():
        missing -= set(FT2Font(path).get_charmap())
    return not missing


def spell(word: str) -> str:
    """Return a word as the figures can write it: in code points where no font has its script."""
    if can_draw(word):
        return word
    return " ".join(f"U+{ord(character):04X}" for character in word)


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the house style to the figures made in the block."""
    import seaborn as sns
    from matplotlib import rc_context

    style = {
        **sns.axes_style("ticks"),
        "font.family": "sans-serif",
        "font.sans-serif": list(list_fonts()),
        "font.size": 7,
        "axes.labelsize": 7,
        "axes.titlesize": 8,
        "legend.fontsize": 6.5,
        "xtick.labelsize": 6.5,
        "ytick.labelsize": 6.5,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.2,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "savefig.dpi": 200,
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "svg.hashsalt": "kvprobes",
    }
    with rc_context(style):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that no global state holds, so that nothing needs closing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
