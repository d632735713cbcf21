"""How figures look: sizes of the venues, fonts that embed, colours all eyes can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

# Its lists of measures and conditions need torch; they are looked into when a figure is drawn.
from probes.similarity import catalogue
from probes.similarity.catalogue import PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from probes.similarity.catalogue.places import Part

PAGE = 6.75
"""Width in inches of an ICML page."""

GREY, INK, FAINT = "#666666", "#444444", "#DDDDDD"
"""Lines of reference and what is no condition; small notes; the lines of a grid."""

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
"""Colour maps from nothing to much, and to both sides of 0."""

# Fonts that have the characters which the first one lacks, on one system or another.
FONTS = (
    "DejaVu Sans",
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS"),
)


@dataclass(frozen=True)
class Look:
    """How one thing looks in every figure: its words, colour, marker (filled or open) and line."""

    label: str
    colour: str
    marker: str = "o"
    line: str = "-"
    hollow: bool = False

    @classmethod
    def of_condition(cls, name: str) -> Look:
        """Return the look of a condition of the catalogue."""
        condition = catalogue.find_condition(name)
        return cls(condition.label, condition.colour, condition.marker, condition.line)

    @classmethod
    def of_part(cls, part: Part) -> Look:
        """Return the look of keys or of values."""
        return cls(part, *PARTS[part])

    def named(self, label: str) -> Look:
        """Return the same under another label."""
        return replace(self, label=label)

    def open(self, label: str | None = None) -> Look:
        """Return the same with an open marker, under another label if one is given."""
        return replace(self, hollow=True, label=self.label if label is None else label)

    @property
    def style(self) -> dict[str, Any]:
        """The same as matplotlib's properties of a line."""
        return {
            "label": self.label,
            "color": self.colour,
            "marker": self.marker,
            "markerfacecolor": "white" if self.hollow else self.colour,
            "linestyle": self.line,
        }

    def sample(self, **style: Any) -> Line2D:
        """Return a mark for a legend, without a line unless `style` asks for one."""
        from matplotlib.lines import Line2D

        return Line2D([], [], **self.style | {"markersize": 3.8, "linestyle": "none"} | style)


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
    """Apply the house style to the figures made in the block, or by the function it decorates."""
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


def new_panels(
    height: float, count: int, *, columns: int | None = None, **style: Any
) -> tuple[Figure, NDArray[Any]]:
    """Make a figure as wide as a page, with its panels in reading order; at least one.

    Parameters
    ----------
    columns
        Panels a row at most; all in one row if not given.
    style
        For `matplotlib.figure.Figure.subplots`.
    """
    count = max(1, count)
    columns = min(columns or count, count)
    figure = new_figure(PAGE, height)
    panels = figure.subplots(-(-count // columns), columns, squeeze=False, **style).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]
