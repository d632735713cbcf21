"""Labels for points of a crowded scatter, in two columns where there is room for them.

By columns, and not by forces as in the library adjustText: forces promise nothing. On the same
scatters they led lines through other texts, let texts overlap, and hid more points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.transforms import Bbox, BboxBase
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[Any]


def place_labels(
    axes: Any,
    anchors: Array,
    texts: Sequence[str],
    *,
    avoid: Array,
    taken: Sequence[Any] = (),
    bold: Sequence[bool] | None = None,
    fontsize: float = 6,
) -> list[Any]:
    """Write each text in a free place of the axes, joined to its point by a thin line.

    The places are the rows of two columns, at the left and at the right edge, so that no two texts
    can overlap (Bekos et al. 2007, "Boundary labeling"). Texts go to the places of least total
    cost: how far above or below its point a text is, and how many points it hides. Lines are
    then nearly level, and hardly ever run through another text.

    Parameters
    ----------
    axes
        Whose limits are final; the figure's layout is settled here.
    anchors
        The points [label, 2] in data coordinates.
    avoid
        All points [point, 2] that should rather stay visible.
    taken
        Artists already in the axes that no label may touch.

    Returns
    -------
    The annotations; fewer than the texts where the axes have not enough room.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    styles = [
        {"fontsize": fontsize, "fontweight": "bold" if strong else "normal"}
        for strong in (bold if bold is not None else [False] * len(texts))
    ]
    sizes = [
        _measure(axes, text, renderer, style) for text, style in zip(texts, styles, strict=True)
    ]
    boxes = _lay_out(
        axes.get_window_extent(renderer),
        np.array(sizes) + 2 * scale,
        [artist.get_window_extent(renderer) for artist in taken],
    )
    targets, points = (
        axes.transData.transform(np.asarray(some, dtype=float)) for some in (anchors, avoid)
    )
    cost = np.array(
        [
            [_weigh(box, target, targets, points, scale) for box in row]
            for row, target in zip(boxes, targets, strict=True)
        ]
    )
    labels = []
    for number, place in zip(*linear_sum_assignment(cost), strict=True):
        box, target = boxes[number][place], targets[number]
        label = axes.annotate(
            texts[number],
            anchors[number],
            xytext=tuple(((box.min + box.max) / 2 - target) / scale),
            textcoords="offset points",
            ha="center",
            va="center",
            bbox={"boxstyle": "square,pad=0.08", "facecolor": "white", "alpha": 0.75, "lw": 0},
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.5,
                "color": "#333333",
                "shrinkA": 0,
                "shrinkB": 2.5,
                "relpos": tuple((_reach(box, target) - box.min) / (box.max - box.min)),
            },
            zorder=6,
            **styles[number],
        )
        label.set_in_layout(False)  # the placement must not move the axes it was measured in
        labels.append(label)
    return labels


def _measure(axes: Any, text: str, renderer: Any, style: dict[str, Any]) -> tuple[float, float]:
    """Return the width and height of a text in pixels."""
    artist = axes.text(0, 0, text, **style)
    extent = artist.get_window_extent(renderer)
    artist.remove()
    return extent.width, extent.height


def _lay_out(frame: BboxBase, sizes: Array, taken: Sequence[BboxBase]) -> list[list[Bbox]]:
    """Return the box [label][place] that every label would fill in every free place.

    In the left column texts start at the left edge, in the right one they end at the right edge.
    """
    width, height = sizes.max(axis=0) * np.array([1, 1.12])
    margin = 0.35 * height
    left, right = frame.x0 + margin, frame.x1 - margin - width
    columns = [right, left] if frame.width > 2 * width else [left]
    rows = np.arange(frame.y0 + margin, frame.y1 - margin - height, height)
    free = [
        (x, y)
        for x in columns
        for y in rows
        if not any(Bbox.from_bounds(x, y, width, height).overlaps(other) for other in taken)
    ]
    return [
        [Bbox.from_bounds(x + (width - w) * (x > left), y, w, h) for x, y in free] for w, h in sizes
    ]


def _weigh(box: Bbox, target: Array, targets: Array, points: Array, scale: float) -> float:
    """Return the cost of a text in that box, for the point that it names."""
    across, up = (_reach(box, target) - target) / scale
    hidden = 0.3 * box.count_contains(points) + 20 * box.count_contains(targets)
    return float(0.002 * up**2 + 0.01 * np.hypot(across, up) + hidden)


def _reach(box: Bbox, target: Array) -> Array:
    """Return the place of the box that is nearest to a point."""
    return np.clip(target, box.min, box.max)
