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
    """

    count: int
    key_mean: Float[Tensor, "*head d_key"]
    value_mean: Float[Tensor, "*head d_value"]
    key_key: Float[Tensor, "*head d_key d_key"]
    key_value: Float[Tensor, "*head d_key d_value"]
    value_value: Float[Tensor, "*head d_value d_value"]

    @classmethod
    def of(
        cls,
        keys: Float[Tensor, "*head occurrence d_key"],
        values: Float[Tensor, "*head occurrence d_value"],
    ) -> CrossMoments:
        """Take the moments of one block of occurrences.

        Raises
        ------
        UsageError
            If shapes disagree.
        NonFiniteError
            If a key or value is NaN or infinite.
        """
        require_alike(keys, values)
        k, v = keys.double(), values.double()
        key_mean, value_mean = k.mean(-2), v.mean(-2)
        k, v = k - key_mean[..., None, :], v - value_mean[..., None, :]
        return cls(keys.shape[-2], key_mean, value_mean, k.mT @ k, k.mT @ v, v.mT @ v)

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
        )


def whiten(scatter: Float[Tensor, "*head d d"]) -> Float[Tensor, "*head d axis"]:
    """Give the matrix T whose T'AT is 1 on the axes in which a scatter matrix A spreads, else 0.

    Principal axes, each divided by the root of its eigenvalue. Axes whose eigenvalue rounding alone
    could have made (10 d eps of the largest) become 0, so that a singular A has its pseudo-inverse
    T T'.

    Parameters
    ----------
    scatter
        Symmetric and positive semi-definite, float64.
    """
    eigenvalues, axes = torch.linalg.eigh((scatter + scatter.mT) / 2)
    rounding = 10 * scatter.shape[-1] * torch.finfo(scatter.dtype).eps
    kept = (eigenvalues > rounding * eigenvalues[..., -1:]) & (eigenvalues > 0)
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
