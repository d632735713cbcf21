"""Scores as sums over words, so that every resample of the words is one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.stats.multiple import benjamini_hochberg, max_t
from probes.stats.permutation import permutation_p


@dataclass(frozen=True)
class WordScore:
    """A ratio of sums over units (words, or pairs of them), averaged over parts (classes).

    Accuracy has one part: how many are right, over how many there are. Balanced accuracy has a part
    a class. R^2 has the explained and the total squares.
    """

    numerator: Float[Tensor, "*head part unit"]
    denominator: Float[Tensor, "*head part unit"]

    @classmethod
    def stack(cls, scores: Sequence[WordScore]) -> WordScore:
        """Put the scores of several layers on a new first axis."""
        return cls(
            torch.stack([score.numerator for score in scores]),
            torch.stack([score.denominator for score in scores]),
        )

    @property
    def observed(self) -> Float[Tensor, "*head"]:
        """The score itself."""
        score: Tensor = (self.numerator.sum(-1) / self.denominator.sum(-1)).nanmean(-1)
        return score

    def resample(self, weights: Float[Tensor, "resample unit"]) -> Float[Tensor, "resample *head"]:
        """Return the score in each resample of the units, without fitting again.

        Says how much the score depends on the words it was *tested* on; the spread over refits is
        another matter. A class that a resample lacks is left out of its mean.

        Raises
        ------
        UsageError
            If there is not one weight for each unit.
        """
        if weights.shape[-1] != self.numerator.shape[-1]:
            raise UsageError(
                f"The weights are for {weights.shape[-1]} units; the score has "
                f"{self.numerator.shape[-1]}. Resample the units that were probed."
            )
        by_unit = weights.to(self.numerator).mT
        ratio = (self.numerator @ by_unit) / (self.denominator @ by_unit)
        return ratio.nanmean(-2).movedim(-1, 0)

    def contributions(self) -> Float[Tensor, "*head unit"]:
        """Split the score into what each unit adds to it."""
        total = self.denominator.sum(-1, keepdim=True)
        parts = (total > 0).sum(-2).clamp(min=1)
        shares = torch.where(total > 0, self.numerator / total, 0.0)
        return shares.sum(-2) / parts


@dataclass(frozen=True)
class Comparison:
    """Paired tests of two scores on the same units, over all heads as one family.

    ``p`` by exchanging the two scores of each unit at random; ``p_bh`` after Benjamini & Hochberg;
    ``p_max_t`` after max-T (Westfall & Young).
    """

    p: Float[Tensor, "*head"]
    p_bh: Float[Tensor, "*head"]
    p_max_t: Float[Tensor, "*head"]


def compare_scores(one: WordScore, other: WordScore, *, samples: int, seed: int) -> Comparison:
    """Test whether two scores differ, head by head.

    If they do not, a unit's two contributions could as well be exchanged: signs of the differences
    are flipped at random, the same flips for all heads.

    Raises
    ------
    UsageError
        If the scores are not of the same heads and units, or no sample is asked for.
    """
    difference = one.contributions() - other.contributions()
    flat = difference.reshape(-1, difference.shape[-1])
    random = np.random.default_rng(seed)
    flips = random.integers(0, 2, size=(samples, flat.shape[1])) * 2 - 1
    null = torch.from_numpy(flips).to(flat) @ flat.mT
    observed = flat.sum(-1)
    p = permutation_p(observed, null, alternative="two-sided")
    spread = flat.square().sum(-1).sqrt()  # the null's standard deviation
    scale = torch.where(spread > 0, spread, 1.0)
    family = max_t(observed / scale, null / scale, alternative="two-sided")
    shape = difference.shape[:-1]
    return Comparison(p.reshape(shape), benjamini_hochberg(p).reshape(shape), family.reshape(shape))


def sum_by_unit(
    values: Float[Tensor, "*head occurrence"], unit: Tensor, n_units: int
) -> Float[Tensor, "*head unit"]:
    """Add up the occurrences of each unit."""
    sums = values.new_zeros(*values.shape[:-1], n_units)
    return sums.index_add_(-1, unit, values)
