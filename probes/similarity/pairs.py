"""Similarity of the two occurrences of each pair, for every head at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import hardshrink

from probes.errors import UsageError
from probes.stats.checks import require_finite, require_indices, require_same_shape
from probes.stats.rounding import computing_dtype, tolerance

_BYTES = 4 * 2**20  # per gathered tensor: it and its partner stay in the cache


def pair_cosines(
    coordinates: Float[Tensor, "*head occurrence d"],
    left: Int[Tensor, "pair"],
    right: Int[Tensor, "pair"],
) -> Float[Tensor, "*head pair"]:
    """Cosine of the two vectors of each pair.

    1 for an occurrence with itself or any positive multiple, 0 for orthogonal ones, -1 for
    opposite ones. Unchanged by rotations of the coordinates and by a positive factor per vector;
    *not* by adding a constant: centre first.

    Parameters
    ----------
    coordinates
        [occurrence, d] or [head, occurrence, d], from
        :func:`probes.similarity.coordinates.to_coordinates`, or raw vectors.
    left, right
        Which occurrences make each pair.

    Returns
    -------
    Float[Tensor, "*head pair"]
        In [-1, 1], same dtype. NaN where a vector is zero: it has no direction, and any number
        would be made up. The measures over pairs refuse NaN and say how many there are.

    Raises
    ------
    UsageError
        If `left` and `right` differ in length or point outside the occurrences, or the coordinates
        have other axes.
    NonFiniteError
        If a coordinate is NaN or infinite.
    """
    _check(coordinates, left, right)
    # Once per occurrence, not once per pair; half precision would tell equal directions apart.
    directions = _direction(coordinates.to(computing_dtype(coordinates.dtype)))
    nothing = tolerance(directions.dtype)

    def compare(x: Tensor, y: Tensor) -> Tensor:
        return hardshrink((x * y).sum(dim=-1).clamp(-1, 1), nothing)  # of orthogonal ones 0

    return _over_pairs(directions, left, right, compare).to(coordinates.dtype)


def pair_distances(
    coordinates: Float[Tensor, "*head occurrence d"],
    left: Int[Tensor, "pair"],
    right: Int[Tensor, "pair"],
) -> Float[Tensor, "*head pair"]:
    """Euclidean distance between the two vectors of each pair.

    0 for equal vectors. Unchanged by rotations and by adding a constant; a factor multiplies it.
    In functional coordinates it is d_K and d_V.

    Parameters
    ----------
    coordinates
        [occurrence, d] or [head, occurrence, d], from
        :func:`probes.similarity.coordinates.to_coordinates`, or raw vectors.
    left, right
        Which occurrences make each pair.

    Returns
    -------
    Float[Tensor, "*head pair"]
        Same dtype.

    Raises
    ------
    UsageError
        If `left` and `right` differ in length or point outside the occurrences, or the coordinates
        have other axes.
    NonFiniteError
        If a coordinate is NaN or infinite.
    """
    _check(coordinates, left, right)
    vectors = coordinates.to(computing_dtype(coordinates.dtype))
    limits = torch.finfo(vectors.dtype)
    largest = float(vectors.abs().max()) if vectors.numel() else 1.0
    is_usual = limits.tiny**0.25 < largest < limits.max**0.25

    def compare(x: Tensor, y: Tensor) -> Tensor:
        gap = x - y
        length: Tensor
        if is_usual:
            length = gap.norm(dim=-1)
            return length
        size = gap.abs().amax(-1, keepdim=True)  # squares of tiny or huge numbers are 0 or infinite
        length = (gap / torch.where(size > 0, size, 1.0)).norm(dim=-1) * size[..., 0]
        return length

    return _over_pairs(vectors, left, right, compare).to(coordinates.dtype)


def average_pairs(
    compare: Callable[[Tensor, Tensor, Tensor], Tensor],
    coordinates: Float[Tensor, "*head occurrence d"],
    left: Int[Tensor, "pair template"],
    right: Int[Tensor, "pair template"],
) -> Float[Tensor, "*head pair"]:
    """Compare pairs in each template, and average over the templates.

    Parameters
    ----------
    compare
        `pair_cosines` or `pair_distances`, whose errors these are.
    left, right
        The occurrence of each pair's words in each template.
    """
    figures = compare(coordinates, left.flatten(), right.flatten())
    mean: Tensor = figures.reshape(*figures.shape[:-1], *left.shape).mean(dim=-1)
    return mean


def _direction(vectors: Tensor) -> Tensor:
    """Scale to length 1, by the largest entry first: the square of a tiny number would be 0."""
    scaled = vectors / vectors.abs().amax(dim=-1, keepdim=True)
    unit: Tensor = scaled / scaled.norm(dim=-1, keepdim=True)
    return unit


def _check(coordinates: Tensor, left: Tensor, right: Tensor) -> None:
    if coordinates.ndim not in (2, 3) or coordinates.shape[-1] == 0:
        raise UsageError(
            f"The coordinates have shape {tuple(coordinates.shape)}; expected [occurrence, d] or "
            "[head, occurrence, d], with d above 0. Of a model's cache [batch, position, head, d] "
            "put the heads in front and choose the occurrences: cache[0].transpose(0, 1)."
        )
    require_same_shape("left", left, "right", right)
    require_indices("left", left, coordinates.shape[-2])
    require_indices("right", right, coordinates.shape[-2])
    require_finite("the coordinates", coordinates)


def _over_pairs(
    vectors: Tensor, left: Tensor, right: Tensor, compare: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Compare the gathered vectors of as many pairs at a time as memory allows."""
    per_pair = max(1, vectors[..., 0, :].numel() * vectors.element_size())
    step = max(1, _BYTES // per_pair)
    result = vectors.new_empty((*vectors.shape[:-2], left.shape[0]))
    for start in range(0, left.shape[0], step):
        part = slice(start, start + step)
        result[..., part] = compare(
            vectors.index_select(-2, left[part]), vectors.index_select(-2, right[part])
        )
    return result
