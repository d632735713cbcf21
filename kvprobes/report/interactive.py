"""Maps of heads and scatters of pairs as SVG that answers: point at one, search a word, save it.

Without a script every shape still has its title, which browsers show on hovering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.colors import Normalize, to_hex

from analyses.shared.section import HeadMap, Scatter
from analyses.shared.style import DIVERGING, SEQUENTIAL

CELL, GAP, LEFT, TOP = 14.0, 1.0, 44.0, 8.0
WIDTH, HEIGHT, EDGE = 560.0, 420.0, 46.0
UNKNOWN = "#bbbbbb"


@dataclass(frozen=True)
class Shape:
    """A cell or a point: where it is, its colour, and what is said of it."""

    x: float
    y: float
    fill: str
    told: str


@dataclass(frozen=True)
class Drawing:
    """A drawing for the page.

    Attributes
    ----------
    kind
        ``map`` or ``scatter``.
    columns
        How many shapes a row has: what the arrow keys step by; 0 in a scatter.
    x_ticks, y_ticks
        Where a label is, and its text.
    """

    kind: str
    title: str
    width: float
    height: float
    shapes: tuple[Shape, ...]
    columns: int
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    legend: tuple[tuple[str, str], ...] = ()


def lay_out_map(heads: HeadMap) -> Drawing:
    """Lay out a map: a row per layer, a column per head."""
    layers = sorted({row[0] for row in heads.rows})
    columns = sorted({row[1] for row in heads.rows})
    values = [row[2] for row in heads.rows if math.isfinite(row[2])] or [0.0]
    if heads.middle is None:
        stops = [min(0.0, *values), max(0.0, *values) or 1.0]
        colours, norm = colormaps[SEQUENTIAL], Normalize(stops[0], stops[1])
    else:
        far = max(abs(value - heads.middle) for value in values) or 1.0
        stops = [heads.middle - far, heads.middle, heads.middle + far]
        colours, norm = colormaps[DIVERGING], Normalize(stops[0], stops[2])

    def fill(value: float) -> str:
        return to_hex(colours(norm(value))) if math.isfinite(value) else UNKNOWN

    step = CELL + GAP
    shapes = [
        Shape(
            LEFT + columns.index(head) * step, TOP + layers.index(layer) * step, fill(value), told
        )
        for layer, head, value, told in sorted(heads.rows, key=lambda row: row[:2])
    ]
    width, height = LEFT + len(columns) * step + 8, TOP + len(layers) * step + 34
    every = max(1, len(layers) // 10)
    return Drawing(
        "map",
        heads.title,
        max(width, 150.0),
        height,
        tuple(shapes),
        len(columns),
        "head",
        "layer",
        tuple(
            (LEFT + place * step + CELL / 2, str(head))
            for place, head in enumerate(columns)
            if place % max(1, len(columns) // 12) == 0
        ),
        tuple(
            (TOP + place * step + CELL - 3, str(layer))
            for place, layer in enumerate(layers)
            if place % every == 0
        ),
        tuple((f"{stop:.3g}", fill(stop)) for stop in stops),
    )


def lay_out_scatter(scatter: Scatter) -> Drawing:
    """Lay out a scatter; points that are not finite are left out."""
    points = [point for point in scatter.points if math.isfinite(point[0] + point[1])]
    sides = [(min(side), max(side)) for side in zip(*((p[0], p[1]) for p in points), strict=True)]
    sides = sides or [(0.0, 1.0), (0.0, 1.0)]

    def place(value: float, side: int) -> float:
        low, high = sides[side]
        share = (value - low) / (high - low) if high > low else 0.5
        if side == 0:
            return round(EDGE + share * (WIDTH - EDGE - 10), 1)
        return round(HEIGHT - EDGE - share * (HEIGHT - EDGE - 10), 1)

    def tick(side: int) -> tuple[tuple[float, str], ...]:
        low, high = sides[side]
        return tuple(
            (place(value, side), f"{value:.3g}") for value in (low, (low + high) / 2, high)
        )

    shapes = tuple(Shape(place(x, 0), place(y, 1), "", told) for x, y, told in points)
    labels = scatter.x_label, scatter.y_label
    return Drawing("scatter", scatter.title, WIDTH, HEIGHT, shapes, 0, *labels, tick(0), tick(1))
