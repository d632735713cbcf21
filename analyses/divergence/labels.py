"""Labels for points of a crowded scatter, in two columns where there is room for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[Any]
_STARTS = 5


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
    can overlap. Texts go to places at the least total cost: the length of the line, and how many
    points text and line hide. Of all assignments of straight lines the shortest has no crossing
    (Bekos et al. 2007, "Boundary labeling"); lines through texts are then mended by exchanges,
    from a few starts, the same every time.

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
    weights = ["bold" if bold is not None and bold[n] else "normal" for n in range(len(texts))]
    sizes = np.array(
        [
            _measure(axes, text, renderer, fontsize=fontsize, fontweight=weight)
            for text, weight in zip(texts, weights, strict=True)
        ]
    )
    targets = axes.transData.transform(np.asarray(anchors, dtype=float))
    boxes = _lay_out(
        _box(axes.get_window_extent(renderer)),
        sizes + 2 * scale,
        [_box(artist.get_window_extent(renderer)) for artist in taken],
    )
    points = axes.transData.transform(np.asarray(avoid, dtype=float))
    labels = []
    for number, place in _assign(boxes, targets, points, scale):
        box = boxes[number, place]
        end = np.clip(targets[number], box[:2], box[2:])
        label = axes.annotate(
            texts[number],
            anchors[number],
            xytext=tuple(((box[:2] + box[2:]) / 2 - targets[number]) / scale),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=fontsize,
            fontweight=weights[number],
            bbox={
                "boxstyle": "square,pad=0.08",
                "facecolor": "white",
                "alpha": 0.75,
                "linewidth": 0,
            },
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.5,
                "color": "#333333",
                "shrinkA": 0,
                "shrinkB": 2.5,
                "relpos": tuple((end - box[:2]) / (box[2:] - box[:2])),
            },
            zorder=6,
        )
        label.set_in_layout(False)  # the placement must not move the axes it was measured in
        labels.append(label)
    return labels


def _measure(axes: Any, text: str, renderer: Any, **style: Any) -> tuple[float, float]:
    """Return the width and height of a text in pixels."""
    artist = axes.text(0, 0, text, **style)
    extent = artist.get_window_extent(renderer)
    artist.remove()
    return extent.width, extent.height


def _box(extent: Any) -> Array:
    return np.array([extent.x0, extent.y0, extent.x1, extent.y1])


def _lay_out(frame: Array, sizes: Array, taken: Sequence[Array]) -> Array:
    """Return the box [label, place, 4] that every label would fill in every free place.

    In the left column texts start at the left edge, in the right one they end at the right edge.
    """
    width, height = sizes.max(axis=0) * np.array([1, 1.12])
    margin = 0.35 * height
    columns = [frame[0] + margin]
    if frame[2] - frame[0] > 2 * width:  # else one column is all there is room for
        columns.insert(0, frame[2] - margin - width)
    rows = np.arange(frame[1] + margin, frame[3] - margin - height, height)
    corners = np.array([(x, y) for x in columns for y in rows]).reshape(-1, 2)
    free = [
        corner
        for corner in corners
        if not any(
            _overlap(np.array([*corner, corner[0] + width, corner[1] + height]), other)
            for other in taken
        )
    ]
    low = np.tile(np.array(free).reshape(1, -1, 2), (len(sizes), 1, 1))
    low[..., 0] += np.where(low[..., 0] > columns[-1], width - sizes[:, :1], 0)
    return np.concatenate([low, low + sizes[:, None]], axis=-1)


def _assign(boxes: Array, targets: Array, points: Array, scale: float) -> list[tuple[int, int]]:
    """Return (label, place) of the best assignment found."""
    ends = np.clip(targets[:, None], boxes[..., :2], boxes[..., 2:])
    cost = 0.05 * np.hypot(*np.moveaxis(ends - targets[:, None], -1, 0)) / scale
    for label, target in enumerate(targets):
        others = np.delete(targets, label, axis=0)
        cost[label] += 0.3 * _count_inside(points, boxes[label])
        cost[label] += 20 * _count_inside(targets, boxes[label])
        cost[label] += 0.25 * _count_near(points, target, ends[label], 1.5 * scale)
        cost[label] += 10 * _count_near(others, target, ends[label], 3 * scale)
    struck = _strike(targets, ends, boxes)
    labels = linear_sum_assignment(cost)[0]

    def total(places: Array) -> float:
        lines = struck[labels, places]
        return float(cost[labels, places].sum() + 40 * lines[:, labels, places].sum())

    random = np.random.default_rng(0)
    found = []
    for start in range(_STARTS):
        noise = random.exponential(2.0, cost.shape) * (start > 0)
        found.append(_exchange(linear_sum_assignment(cost + noise)[1], cost.shape[1], total))
    best, _ = min(found, key=lambda pair: pair[1])
    return list(zip(labels.tolist(), best.tolist(), strict=True))


def _exchange(places: Array, n_places: int, total: Callable[[Array], float]) -> tuple[Array, float]:
    """Move texts to free places, or exchange two, as long as that lowers the total."""
    best, improved = total(places), True
    while improved:
        improved = False
        for label, place in np.ndindex(len(places), n_places):
            trial = places.copy()
            trial[places == place] = places[label]
            trial[label] = place
            if (value := total(trial)) < best - 1e-9:
                places, best, improved = trial, value, True
    return places, best


def _strike(targets: Array, ends: Array, boxes: Array) -> Array:
    """Say which line runs through which box of another label: [label, place, label, place].

    A line is tried at 40 places along it.
    """
    steps = np.linspace(0, 1, 40)[:, None, None]
    struck = np.zeros((*boxes.shape[:2], *boxes.shape[:2]), dtype=bool)
    for label, target in enumerate(targets):
        along = target + steps * (ends[label] - target)  # [step, place, xy]
        for other in range(len(targets)):
            if other != label:
                low, high = boxes[other, :, :2], boxes[other, :, 2:]
                inside = (along[:, :, None] > low) & (along[:, :, None] < high)
                struck[label, :, other] = inside.all(axis=-1).any(axis=0)
    return struck


def _overlap(one: Array, other: Array) -> bool:
    return bool((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())


def _count_inside(points: Array, boxes: Array) -> Array:
    """Count the points inside each of the boxes."""
    inside = (points[:, None] > boxes[:, :2]) & (points[:, None] < boxes[:, 2:])
    return np.asarray(inside.all(axis=-1).sum(axis=0))


def _count_near(points: Array, start: Array, ends: Array, distance: float) -> Array:
    """Count the points within a distance of each of the lines from one start."""
    along = ends - start
    length = np.maximum((along**2).sum(axis=-1), 1e-9)
    share = np.clip((points - start) @ along.T / length, 0, 1)  # [point, line]
    gap = points[:, None] - start - share[..., None] * along
    return np.asarray((np.hypot(gap[..., 0], gap[..., 1]) < distance).sum(axis=0))
