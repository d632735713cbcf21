"""What every measure asks of its input before it computes anything."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from probes.errors import NonFiniteError, UsageError

_ROUNDING = 1e-6  # of a range: by so much a sum may pass its end


def require_finite(name: str, values: Tensor) -> None:
    """Raise NonFiniteError, saying how many entries of `values` are NaN or infinite, if any are."""
    if bool(values.sum().isfinite()):  # the quick way: one of them would make the sum so
        return
    bad = int((~values.isfinite()).sum())
    if bad:
        raise NonFiniteError(
            f"{bad} of the {values.numel()} numbers in {name} (shape {tuple(values.shape)}) are "
            "NaN or infinite; finite ones are needed. Look for zero vectors or overflow upstream."
        )


def require_same_shape(name: str, values: Tensor, other_name: str, other: Tensor) -> None:
    """Raise UsageError unless the two tensors have the same shape."""
    if values.shape != other.shape:
        raise UsageError(
            f"{name} has shape {tuple(values.shape)} but {other_name} has {tuple(other.shape)}; "
            "they must be equal. Compute both from the same heads and pairs."
        )


def require_one_each(x: Tensor, *lengths: int) -> None:
    """Raise UsageError unless all lists are as long as `x` [*head, occurrence, d] has rows."""
    if set(lengths) != {x.shape[-2]}:
        raise UsageError(
            f"x has {x.shape[-2]} occurrences, but labels, words, splits or units are of "
            f"the lengths {', '.join(map(str, lengths))}; give one of each an occurrence."
        )


def require_fraction(name: str, value: float) -> None:
    """Raise UsageError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise UsageError(f"{name} is {value}; give a number above 0 and below 1.")


def require_indices(name: str, indices: Tensor, size: int) -> None:
    """Raise UsageError unless every index is in 0..size-1."""
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= size):
        raise UsageError(
            f"{name} holds indices from {int(indices.min())} to {int(indices.max())}; they must "
            f"be in 0..{size - 1}. Check which table they count."
        )


def hold_inside(x: Float[Tensor, "*figure"], low: float, high: float) -> Float[Tensor, "*figure"]:
    """Put figures that only rounding took out of their range back to its end.

    Raises
    ------
    UsageError
        If a figure is farther out.
    """
    slack = _ROUNDING * (high - low) if high - low < math.inf else 0.0
    if bool(((x < low - slack) | (x > high + slack)).any()):
        raise UsageError(f"A figure is outside its range, {low} to {high}; check the range.")
    held: Tensor = x.clamp(low, high)
    return held
