"""Pairs in the order of one figure, weighed in many resamples at once: what rank measures share.

One head's order is made once; all measures and all heads that it is set against share the masses
and ranks that follow from it in a block of resamples.
"""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor


class RankedPairs:
    """One head's pairs by a figure (s_K, s_V, d_K or d_V), in a block of resamples.

    Pairs run along the first axis, where gathering moves whole rows. Pairs that tie are taken in
    the order in which they were sorted: what the measures make of it differs from the exact form by
    no more than the weight of the tie.

    Parameters
    ----------
    order
        The pairs, the smallest figure first.
    weights
        Of each pair in each resample.
    total
        The sum of the weights.
    """

    def __init__(
        self,
        order: Int[Tensor, " pair"],
        weights: Float[Tensor, "pair resample"],
        total: Float[Tensor, " resample"],
    ) -> None:
        self.order, self.weights, self.total = order, weights, total
        self._tops: dict[float, Tensor] = {}

    @cached_property
    def lower_half(self) -> Float[Tensor, "pair resample"]:
        """The part of each pair that is in the lower half: 1, 0, or between at the median."""
        below = self._cumulate().sub_(self.weights).neg_().add_(self.total / 2)
        return below.div_(self.weights.clamp_min(1e-30)).clamp_(0, 1)

    def top(self, share: float) -> Float[Tensor, "pair resample"]:
        """Return the weight of each pair that is in the top share."""
        if share not in self._tops:
            inside = (self._mass - (1 - share) * self.total).clamp_(min=0)
            self._tops[share] = torch.minimum(inside, self.weights, out=inside)
        return self._tops[share]

    @cached_property
    def ranks(self) -> Float[Tensor, "pair resample"]:
        """Midranks less their weighted mean, as a share of the total, so that none grows large."""
        return self._cumulate().sub_(self.weights / 2).div_(self.total).sub_(0.5)

    @cached_property
    def weighted_ranks(self) -> Float[Tensor, "pair resample"]:
        """The ranks times the weights."""
        return self.weights * self.ranks

    @cached_property
    def spread(self) -> Float[Tensor, " resample"]:
        """The weighted sum of the squared ranks."""
        return (self.weights * self.ranks).mul_(self.ranks).sum(0)

    @cached_property
    def _mass(self) -> Float[Tensor, "pair resample"]:
        return self._cumulate()

    def _cumulate(self) -> Float[Tensor, "pair resample"]:
        """Weigh, for each pair, the pairs up to it, itself included; a new tensor every time."""
        ascending = self.weights.index_select(0, self.order).cumsum(0)
        return torch.empty_like(self.weights).index_copy_(0, self.order, ascending)
