"""What rounding alone could have made: one relative tolerance for all measures, scales and dtypes.

Where a figure would follow from such numbers only, it is NaN: rounding must decide nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

UNITS = 4
"""Steps between neighbouring numbers of a dtype that count as rounding."""


def tolerance(dtype: torch.dtype) -> float:
    """Return the relative difference of two numbers that rounding to `dtype` may make.

    >>> tolerance(torch.float64) < tolerance(torch.float32) < tolerance(torch.bfloat16)
    True
    """
    return UNITS * torch.finfo(dtype).eps


def computing_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which numbers stored in `dtype` are computed with: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def subtract_mean(
    vectors: Float[Tensor, "*head occurrence d"], mean: Float[Tensor, "*head #occurrence d"]
) -> Float[Tensor, "*head occurrence d"]:
    """Subtract means, in the precision of the means; what only rounding keeps from 0 becomes 0.

    A vector becomes 0 if none of its coordinates differs from the mean by more than the tolerance:
    that of the vectors' dtype times the largest size of this coordinate, and that of the dtype
    computed in times the largest size of any, since a rotation mixes coordinates.

    >>> constant = torch.full((3, 1), 0.1, dtype=torch.float64)
    >>> subtract_mean(constant, constant.mean(0, keepdim=True) + 1e-17).abs().max()
    tensor(0., dtype=torch.float64)
    """
    centred = vectors.to(mean.dtype) - mean
    size = vectors.abs().amax(-2, keepdim=True).to(mean.dtype)
    computed = tolerance(computing_dtype(vectors.dtype)) * size.amax(-1, keepdim=True)
    still = (centred.abs() <= tolerance(vectors.dtype) * size + computed).all(-1, keepdim=True)
    return centred.masked_fill(still, 0.0) if bool(still.any()) else centred


def to_unit_size(
    vectors: Float[Tensor, "*head occurrence d"],
) -> tuple[Float[Tensor, "*head occurrence d"], Float[Tensor, "*head 1 1"]]:
    """Divide by the largest coordinate's size, since squares of tiny numbers are 0; return both."""
    size = vectors.abs().amax((-2, -1), keepdim=True)
    size = torch.where(size > 0, size, 1.0)
    return vectors / size, size


def rounding_variance(
    squares: Float[Tensor, "*head d"], dtype: torch.dtype
) -> Float[Tensor, "*head"]:
    """Bound the eigenvalues that rounding to `dtype` adds to a sum of outer products.

    The error of a number is at most half a step, and its variance a twelfth of a step's square, so
    n vectors of width d add at most ``eps^2 / 12 (1 + sqrt(d / n))^2`` of the largest coordinate's
    sum of squares (Marchenko & Pastur 1967), a third of it where n is above d.

    Parameters
    ----------
    squares
        Each coordinate's sum of squares, *not* around the mean: rounding is relative to the number.
    """
    return torch.finfo(dtype).eps ** 2 * squares.amax(-1)


def starts_of_ties(ordered: Float[Tensor, "*row pair"]) -> Bool[Tensor, "*row pair"]:
    """Mark the first of every run of sorted numbers that are equal except for rounding.

    Numbers in half precision have been rounded already, so only equal ones are tied.

    >>> starts_of_ties(torch.tensor([0.1, 0.3 - 0.2, 0.5], dtype=torch.float64).sort().values)
    tensor([ True, False,  True])
    """
    slack = tolerance(ordered.dtype) if ordered.dtype == computing_dtype(ordered.dtype) else 0.0
    gap = ordered.diff(dim=-1).abs()
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[..., 1:] = gap > slack * torch.maximum(ordered[..., 1:].abs(), ordered[..., :-1].abs())
    return new
