"""Similarity of every two words in one head: what any pair of words would measure.

The figures are those of `compare_pairs`, means over templates; a word x word matrix costs a matrix
product per template, and every pairing of the words can then be read from it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite, require_indices
from probes.stats.rounding import to_unit_size

_ROWS = 64  # of a word matrix, at a time: what fits the cache

WordMatrix = Callable[[Tensor, Tensor], Tensor]
"""Coordinates ``[occurrence, d]`` and rows ``[word, template]`` -> figures ``[word, word]``."""


def word_cosines(
    coordinates: Float[Tensor, "occurrence d"], rows: Int[Tensor, "word template"]
) -> Float[Tensor, "word word"]:
    """Compute the cosine of every two words, mean over templates.

    Parameters
    ----------
    coordinates
        One head's vectors in one space.
    rows
        The row of each word in each template.

    Returns
    -------
    Float[Tensor, "word word"]
        Same dtype, in [-1, 1] except for rounding. NaN for a word whose vector is zero.

    Raises
    ------
    UsageError
        If a row is out of range.
    NonFiniteError
        If a coordinate is NaN or infinite.
    """
    _check(coordinates, rows)
    vectors = coordinates[rows]
    vectors = vectors / vectors.abs().amax(dim=-1, keepdim=True)  # a tiny number's square is 0
    directions = (vectors / vectors.norm(dim=-1, keepdim=True)).flatten(1)
    cosines: Tensor = (directions @ directions.T).div_(rows.shape[1])
    return cosines


def word_distances(
    coordinates: Float[Tensor, "occurrence d"], rows: Int[Tensor, "word template"]
) -> Float[Tensor, "word word"]:
    """Compute the Euclidean distance of every two words, mean over templates.

    By matrix products, so with an error of about 1e-3 of the vectors' lengths (float32) where
    two words all but coincide.

    Parameters and errors are those of :func:`word_cosines`.

    Returns
    -------
    Float[Tensor, "word word"]
        Same dtype; 0 for a word with itself.
    """
    _check(coordinates, rows)
    total = coordinates.new_zeros(len(rows), len(rows))
    scaled, size = to_unit_size(coordinates)
    by_template = scaled[rows.T]
    for start in range(0, len(rows), _ROWS):
        some = by_template[:, start : start + _ROWS]
        between = torch.cdist(some, by_template, compute_mode="use_mm_for_euclid_dist")
        torch.sum(between, dim=0, out=total[start : start + _ROWS])
    return total.fill_diagonal_(0).mul_(size / rows.shape[1])


def _check(coordinates: Tensor, rows: Tensor) -> None:
    if rows.numel() == 0:
        raise UsageError(f"rows has shape {tuple(rows.shape)}; give words in at least 1 template.")
    require_indices("rows", rows, coordinates.shape[0])
    require_finite("the coordinates", coordinates)
