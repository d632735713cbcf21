"""How figures look: sizes of the venues, fonts that embed, colours all eyes can tell apart."""

from __future__ import annotations

import inspect
import io
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict

# Its lists of measures and conditions need torch; they are looked into when a figure is drawn.
from probes.similarity import catalogue
from probes.similarity.catalogue import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from probes.similarity.catalogue.places import Part

P = ParamSpec("P")

PAGE = 6.75
"""Width in inches of an ICML page, for which the figures are laid out."""

WIDTHS: Mapping[str, float] = MappingProxyType(
    {
        "icml-column": 3.25,
        "icml-page": PAGE,
        "neurips": 5.5,
        "acl": 6.3,
        "acl-column": 3.03,
    }
)
"""Widths in inches at which venues print."""

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
class Wishes:
    """What a user wants of the figures.

    Attributes
    ----------
    width
        In inches. Text keeps its size: panels that do not fit beside each other go below.
    labels
        Name of a model, run or condition -> what figures call it.
    style
        rcParams over those of the house.
    """

    width: float = PAGE
    labels: Mapping[str, str] = field(default_factory=dict)
    style: Mapping[str, Any] = field(default_factory=dict)


_USUAL = Wishes()
_WISHES: ContextVar[Wishes] = ContextVar("wishes", default=_USUAL)


@contextmanager
def drawing(
    width: str | float | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    style: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Draw figures of the block as a user wants them; see `Wishes`.

    What is not given is as in the block around, or as usual.

    Parameters
    ----------
    width
        Inches, or a name of `WIDTHS`; as wide as an ICML page without it.

    Raises
    ------
    UsageError
        If there is no such width.
    """
    around = _WISHES.get()
    token = _WISHES.set(
        Wishes(
            around.width if width is None else read_width(width),
            around.labels if labels is None else labels,
            around.style if style is None else style,
        )
    )
    try:
        yield
    finally:
        _WISHES.reset(token)


def read_width(width: str | float | None) -> float:
    """Return a width in inches.

    Raises
    ------
    UsageError
        If it is no name of `WIDTHS` and no number from 1 to 30.

    Examples
    --------
    >>> read_width("neurips"), read_width("4.5"), read_width(None)
    (5.5, 4.5, 6.75)
    """
    from probes.errors import UsageError

    if width is None:
        return PAGE
    if width in WIDTHS:
        return WIDTHS[str(width)]
    try:
        inches = float(width)
    except ValueError:
        inches = float("nan")
    if not 1 <= inches <= 30:
        raise UsageError(
            f"no width {width!r}. Give inches, from 1 to 30, or one of {', '.join(WIDTHS)}."
        )
    return inches


def is_narrow() -> bool:
    """Whether two panels do not fit beside each other."""
    return _WISHES.get().width < 0.75 * PAGE


def relabel(name: str, usual: str | None = None) -> str:
    """Return what figures call a model, run or condition: the user's label, or the usual one."""
    return _WISHES.get().labels.get(name, name if usual is None else usual)


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
        label = relabel(name, condition.label)
        return cls(label, condition.colour, condition.marker, condition.line)

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
        **_WISHES.get().style,
    }
    with rc_context(style):
        yield


class Asked(TypedDict, total=False):
    """What every figure takes by name; see `drawing`."""

    width: str | float | None
    labels: Mapping[str, str] | None
    style: Mapping[str, Any] | None


def whole_figure(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function that draws a figure take ``width=``, ``labels=`` and ``style=``.

    It draws in the house style. Its own ``**asked`` is for type checkers; it gets nothing there.
    """

    @wraps(draw)
    def drawn(*args: P.args, **given: P.kwargs) -> Figure:
        asked: Any = {name: given.pop(name) for name in Asked.__annotations__ if name in given}
        with drawing(**asked), house_style():
            return draw(*args, **given)

    # What it really takes, for help and docs.
    own = inspect.signature(draw)
    taken = [each for each in own.parameters.values() if each.name != "asked"]
    taken += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in Asked.__annotations__.items()
    ]
    drawn.__signature__ = own.replace(parameters=taken)  # type: ignore[attr-defined]
    return drawn


def panel(draw: Callable[P, None]) -> Callable[P, Axes]:
    """Let a function draw into the axes ``ax=``, in the user's style, and return them.

    Without ``ax=`` it draws in the house style into a figure of its own, with a legend.
    """

    @wraps(draw)
    def drawn(*args: Any, **given: Any) -> Any:
        ax = given.get("ax")
        if ax is not None:
            draw(*args, **given)
            return ax
        with house_style():
            given["ax"] = ax = new_figure(2.6, width=WIDTHS["icml-column"]).subplots()
            draw(*args, **given)
            if ax.get_legend() is None and ax.get_legend_handles_labels()[1]:
                ax.legend()
        return ax

    return drawn


def new_figure(height: float, *, width: float | None = None) -> Figure:
    """Make a figure that no global state holds, so that nothing needs closing.

    It embeds its fonts no matter who saves it, and shows itself in a notebook.

    Parameters
    ----------
    width
        In inches; what `drawing` says without it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure: Figure = _own_class()(
        figsize=(width or _WISHES.get().width, height), layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure


@cache
def _own_class() -> Any:
    """Return the class of our figures; matplotlib is loaded when the first is drawn."""
    from matplotlib.figure import Figure

    class HouseFigure(Figure):
        """A figure that is saved in the house style, also when the style has changed since."""

        def savefig(self, *args: Any, **kwargs: Any) -> None:
            # Resolution and fonts are decided when a figure is saved, not when it is drawn.
            with house_style():
                super().savefig(*args, **kwargs)

        def _repr_html_(self) -> str:
            png = io.BytesIO()
            self.savefig(png, format="png")
            return f'<img src="data:image/png;base64,{b64encode(png.getvalue()).decode()}">'

    return HouseFigure


def new_panels(
    height: float, count: int, *, columns: int | None = None, **style: Any
) -> tuple[Figure, NDArray[Any]]:
    """Make a figure with its panels in reading order; at least one.

    Parameters
    ----------
    height
        Of the figure on a page. Where it is narrower and has more rows of panels, it is higher.
    columns
        Panels per row at most, on a page; all in one row if not given.
    style
        For `matplotlib.figure.Figure.subplots`.
    """
    count = max(1, count)
    columns = min(columns or count, count)
    fits = min(columns, max(1, round(columns * _WISHES.get().width / PAGE)))
    rows, usual = -(-count // fits), -(-count // columns)
    ratios = style.pop("width_ratios", None)
    if ratios is not None and fits == columns:
        style["width_ratios"] = ratios
    figure = new_figure(height * rows / usual)
    panels = figure.subplots(rows, fits, squeeze=False, **style).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]
