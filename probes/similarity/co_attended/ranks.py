"""Ranks within strata: how alike a pair is among pairs of its own kind, for every head at once.

A pair's *stratum* is the class of pairs it is compared with: same place, same distance, similar
frequency. Within it a figure has a percentile and belongs to a top share; what differs between
strata counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite, require_fraction
from probes.stats.rounding import UNITS


@dataclass(frozen=True)
class StratumRanks:
    """Where each figure is among the figures of its stratum, in each row.

    Attributes
    ----------
    below
        How many figures of the stratum are smaller; whole numbers, float32.
    tied
        How many are equal, itself included; float32.
    size
        How many there are.
    start
        How many pairs there are in the strata before.
    order
        The pairs stratum by stratum, in rising order of their figures.
    """

    below: Float[Tensor, "*head pair"]
    tied: Float[Tensor, "*head pair"]
    size: Int[Tensor, " pair"]
    start: Int[Tensor, " pair"]
    order: Int[Tensor, "*head pair"]

    @classmethod
    def of(cls, figures: Float[Tensor, "*head pair"], strata: Int[Tensor, " pair"]) -> StratumRanks:
        """Rank every row within the strata; figures are compared as float32.

        Parameters
        ----------
        figures
            One figure per pair, in every row.
        strata
            The stratum of each pair: numbers from 0.

        Raises
        ------
        UsageError
            If there is no pair, or not one stratum per pair, or a negative one.
        NonFiniteError
            If a figure is NaN or infinite.
        """
        pairs = figures.shape[-1]
        if pairs == 0 or strata.shape != (pairs,) or int(strata.min()) < 0:
            raise UsageError(
                f"Figures of {pairs} pairs came with strata of shape {tuple(strata.shape)}; give "
                "at least one pair, and the number of its stratum, from 0, for each."
            )
        require_finite("the pairs' figures", figures)
        stratum = strata.numpy().astype(np.int64)
        rows = figures.reshape(-1, pairs).to(torch.float32).numpy() + np.float32(0)  # no -0.0
        # One whole number that sorts by stratum first and by figure then: numpy sorts these fast.
        bits = rows.view(np.int32)
        rising = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
        keys = ((stratum << 32) + (1 << 31)) + rising
        order = keys.argsort(axis=1)
        first, last = _find_ties(np.take_along_axis(keys, order, axis=1))
        size = np.bincount(stratum)
        start = np.concatenate([[0], size.cumsum()[:-1]])[stratum]
        below, tied = (np.empty(order.shape, dtype=np.float32) for _ in range(2))
        np.put_along_axis(below, order, first, axis=1)
        np.put_along_axis(tied, order, last - first + 1, axis=1)
        below -= start.astype(np.float32)

        def give(part: NDArray[Any]) -> Tensor:
            return torch.from_numpy(part).reshape(figures.shape)

        sizes = torch.from_numpy(size[stratum])
        return cls(give(below), give(tied), sizes, torch.from_numpy(start), give(order))

    def percentiles(self) -> Float[Tensor, "*head pair"]:
        """Return each figure's midrank as a percentage, above 0 and below 100; its mean is 50."""
        return (self.below + self.tied / 2) * (100 / self.size.float())

    def top(self, share: float) -> Float[Tensor, "*head pair"]:
        """Return by which part each pair belongs to the top `share` of its stratum.

        Pairs that are tied at the edge belong to it by one common part, so the mean over a stratum
        is exactly `share`.

        Raises
        ------
        UsageError
            If `share` is not above 0 and below 1.
        """
        require_fraction("share", share)
        reach = self.below + self.tied - (1 - share) * self.size.float()
        return (reach / self.tied).clamp(0, 1)

    def mass_above(
        self, choice: Float[Tensor, "*head query_head pair"]
    ) -> Float[Tensor, "*head query_head pair"]:
        """Add up the choice over the pairs of a stratum that rank above each; ties count half.

        Parameters
        ----------
        choice
            A weight on every pair, of several query heads for each row of figures.
        """
        chosen = choice.double()
        order = self.order.unsqueeze(-2).expand(chosen.shape)
        mass = torch.nn.functional.pad(chosen.gather(-1, order).cumsum(-1), (1, 0))

        def until(places: Tensor) -> Tensor:
            return mass.gather(-1, places.unsqueeze(-2).expand(chosen.shape))

        first = self.start + self.below.long()
        end = (self.start + self.size).expand(first.shape)
        return until(end) - (until(first) + until(first + self.tied.long())) / 2


def stratum_means(
    figures: Float[Tensor, "*head pair"], strata: Int[Tensor, " pair"]
) -> Float[Tensor, "*head pair"]:
    """Give every pair the mean of its stratum."""
    count = torch.bincount(strata).clamp(min=1)
    sums = figures.new_zeros(*figures.shape[:-1], len(count)).index_add_(-1, strata, figures)
    means: Tensor = (sums / count).index_select(-1, strata)
    return means


def _find_ties(
    ordered: Int[np.ndarray, "row pair"],
) -> tuple[Int[np.ndarray, "row pair"], Int[np.ndarray, "row pair"]]:
    """Return the first and the last place of the tie that each place belongs to.

    Neighbouring whole numbers are neighbouring float32 figures, which rounding may have parted.
    """
    places = np.broadcast_to(np.arange(ordered.shape[1]), ordered.shape)
    differs = np.diff(ordered, axis=1) > UNITS
    if differs.all():
        return places, places
    edge = np.ones((len(ordered), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), places, 0), axis=1)
    ends = np.where(np.hstack([differs, edge]), places, ordered.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return first, last
