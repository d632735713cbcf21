"""Counts, means and centred co-moments of keys and values: what measures by covariance need.

They add up over blocks of occurrences, so that a capture of any size can be measured without ever
being in memory at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite
from probes.stats.co_moments import Joining
from probes.stats.rounding import rounding_variance, subtract_mean


@dataclass(frozen=True)
class CrossMoments:
    """Moments of keys and values over the same occurrences, float64.

    Attributes
    ----------
    count
        How many occurrences.
    key_mean, value_mean
        Means of the vectors.
    key_key, key_value, value_value
        Sums over occurrences of the products of the *centred* vectors. Sums of plain products
        would lose the digits that matter when the mean is large beside the spread, as it is for
        keys.
    stored
        What the vectors were stored in: directions that its rounding could have made are none.
    """

    count: int
    key_mean: Float[Tensor, "*head d_key"]
    value_mean: Float[Tensor, "*head d_value"]
    key_key: Float[Tensor, "*head d_key d_key"]
    key_value: Float[Tensor, "*head d_key d_value"]
    value_value: Float[Tensor, "*head d_value d_value"]
    stored: torch.dtype = torch.float32

    @classmethod
    def of(
        cls,
        keys: Float[Tensor, "*head occurrence d_key"],
        values: Float[Tensor, "*head occurrence d_value"],
        *,
        stored: torch.dtype | None = None,
    ) -> CrossMoments:
        """Take the moments of one block of occurrences.

        Parameters
        ----------
        stored
            What the vectors were stored in before they came here; by default, what they are in.

        Raises
        ------
        UsageError
            If shapes disagree.
        NonFiniteError
            If a key or value is NaN or infinite.
        """
        require_alike(keys, values)
        key_mean, value_mean = keys.double().mean(-2), values.double().mean(-2)
        k = subtract_mean(keys, key_mean[..., None, :])
        v = subtract_mean(values, value_mean[..., None, :])
        own = max((keys.dtype, values.dtype), key=lambda dtype: torch.finfo(dtype).eps)
        sums = (k.mT @ k, k.mT @ v, v.mT @ v)
        return cls(keys.shape[-2], key_mean, value_mean, *sums, stored or own)

    def whiten_keys(self) -> Float[Tensor, "*head d_key axis"]:
        """Give the map that makes the keys' scatter 1 on every axis that is not rounding."""
        return whiten(self.key_key, self._rounding(self.key_mean, self.key_key))

    def whiten_values(self) -> Float[Tensor, "*head d_value axis"]:
        """Give the map that makes the values' scatter 1 on every axis that is not rounding."""
        return whiten(self.value_value, self._rounding(self.value_mean, self.value_value))

    def _rounding(self, mean: Tensor, scatter: Tensor) -> Tensor:
        squares = scatter.diagonal(dim1=-2, dim2=-1) + self.count * mean.square()
        return rounding_variance(squares, self.stored)

    def merge(self, other: CrossMoments) -> CrossMoments:
        """Join the moments of two blocks that share no occurrence.

        The same occurrences in blocks of any size give the same moments, up to rounding.

        Raises
        ------
        UsageError
            If the blocks are of other heads or widths.

        Notes
        -----
        Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance".
        """
        if self.key_value.shape != other.key_value.shape:
            raise UsageError(
                f"Moments of keys and values of shape {tuple(self.key_value.shape)} cannot be "
                f"joined with moments of shape {tuple(other.key_value.shape)}; both must be of the "
                "same heads."
            )
        joining = Joining(self.count, other.count)
        key_gap, value_gap = other.key_mean - self.key_mean, other.value_mean - self.value_mean
        return CrossMoments(
            self.count + other.count,
            joining.means(self.key_mean, other.key_mean),
            joining.means(self.value_mean, other.value_mean),
            joining.co_moments(self.key_key, other.key_key, key_gap, key_gap),
            joining.co_moments(self.key_value, other.key_value, key_gap, value_gap),
            joining.co_moments(self.value_value, other.value_value, value_gap, value_gap),
            self.stored,
        )

    def transform(
        self,
        key_map: Float[Tensor, "*head d_key new_key"],
        value_map: Float[Tensor, "*head d_value new_value"],
    ) -> CrossMoments:
        """Give the moments of ``keys @ key_map`` and ``values @ value_map``."""

        def turn(vector: Tensor, matrix: Tensor) -> Tensor:
            return (vector[..., None, :] @ matrix)[..., 0, :]

        key, value = key_map.double(), value_map.double()
        return CrossMoments(
            self.count,
            turn(self.key_mean, key),
            turn(self.value_mean, value),
            key.mT @ self.key_key @ key,
            key.mT @ self.key_value @ value,
            value.mT @ self.value_value @ value,
            self.stored,
        )


def whiten(
    scatter: Float[Tensor, "*head d d"], rounding: Float[Tensor, "*head"]
) -> Float[Tensor, "*head d axis"]:
    """Give the matrix T whose T'AT is 1 on the axes in which a scatter matrix A spreads, else 0.

    Principal axes, each divided by the root of its eigenvalue. Axes whose eigenvalue rounding alone
    could have made (that of the vectors, or of this computation: 10 d eps of the largest) become 0,
    so that a singular A has its pseudo-inverse T T'.

    Parameters
    ----------
    scatter
        Symmetric and positive semi-definite, float64.
    rounding
        The eigenvalues that the vectors' rounding may have made (`rounding_variance`).
    """
    eigenvalues, axes = torch.linalg.eigh((scatter + scatter.mT) / 2)
    computed = 10 * scatter.shape[-1] * torch.finfo(scatter.dtype).eps * eigenvalues[..., -1:]
    kept = eigenvalues > torch.maximum(computed, rounding[..., None]).clamp(min=0)
    scale = torch.where(kept, eigenvalues.clamp(min=0).rsqrt(), 0.0)
    whitening: Tensor = axes * scale[..., None, :]
    return whitening


def require_alike(keys: Tensor, values: Tensor) -> None:
    """Refuse keys and values that are not of the same heads and occurrences.

    Raises
    ------
    UsageError
        If an axis but the last differs, or there is no occurrence.
    NonFiniteError
        If a key or value is NaN or infinite.
    """
    if keys.ndim < 2 or keys.shape[:-1] != values.shape[:-1] or keys.shape[-2] == 0:
        raise UsageError(
            f"Keys have shape {tuple(keys.shape)} and values {tuple(values.shape)}; all axes but "
            "the last must agree, with at least one occurrence."
        )
    require_finite("the keys", keys)
    require_finite("the values", values)
