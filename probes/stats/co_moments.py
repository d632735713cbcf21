"""Joining means and centred co-moments of two blocks: the one formula that streaming rests on.

Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Joining:
    """Two blocks of `count` and `other` rows that share no row."""

    count: int
    other: int

    def means(
        self, mean: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape"]:
        """Give the mean of both blocks."""
        return mean + self.other / (self.count + self.other) * (other - mean)

    def co_moments(
        self,
        co_moment: Float[Tensor, "*shape"],
        other: Float[Tensor, "*shape"],
        left_gap: Float[Tensor, "*left"],
        right_gap: Float[Tensor, "*right"],
        pattern: str = "...i,...j->...ij",
        *,
        in_place: bool = False,
    ) -> Float[Tensor, "*shape"]:
        """Give the co-moment of both blocks around their common mean.

        Parameters
        ----------
        left_gap, right_gap
            Mean of the other block less that of the first, of the left and of the right vectors.
        pattern
            How left and right axes make up those of the co-moment, as einsum writes it.
        in_place
            Write the result where the first block's was; the numbers are the same.
        """
        weight = self.count * (self.other / (self.count + self.other))
        total = co_moment.add_(other) if in_place else co_moment + other
        return total.add_(torch.einsum(pattern, left_gap, right_gap).mul_(weight))
