"""Figures over word pairs together with their resamples, so that every derived figure has both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.stats.bootstrap import dyadic_interval, pair_weights, resample_words


@dataclass(frozen=True)
class Estimate:
    """A figure as observed, and as it comes out when words, and when pairs, are resampled."""

    observed: Float[Tensor, "*figure"]
    by_word: Float[Tensor, "resample *figure"]
    by_pair: Float[Tensor, "pair_resample *figure"]

    @classmethod
    def mean(cls, estimates: Sequence[Estimate]) -> Estimate:
        """Average figures that were measured in the same resamples."""
        names = ("observed", "by_word", "by_pair")
        return cls(*(torch.stack([getattr(e, name) for e in estimates]).mean(0) for name in names))

    def map(self, function: Callable[[Tensor], Tensor]) -> Estimate:
        """Derive another figure; `function` must leave leading axes alone."""
        return Estimate(function(self.observed), function(self.by_word), function(self.by_pair))

    def __sub__(self, other: Estimate) -> Estimate:
        """Difference of two figures measured in the same resamples."""
        return Estimate(
            self.observed - other.observed,
            self.by_word - other.by_word,
            self.by_pair - other.by_pair,
        )

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return the ends of the interval over words; see `dyadic_interval`."""
        return dyadic_interval(self.observed, self.by_word, self.by_pair, level=level)


@dataclass(frozen=True)
class PairBootstrap:
    """The resamples of one list of pairs, the same for every measure and condition."""

    word_weights: Float[Tensor, "resample pair"]
    own_weights: Float[Tensor, "pair_resample pair"]

    @classmethod
    def draw(
        cls,
        left_word: Int[Tensor, " pair"],
        right_word: Int[Tensor, " pair"],
        *,
        resamples: int,
        seed: int,
    ) -> PairBootstrap:
        """Draw `resamples` resamples of the words and half as many of the pairs.

        Parameters
        ----------
        left_word, right_word
            The two words of each pair, as numbers from 0.
        """
        n_words = int(max(left_word.max(), right_word.max())) + 1
        counts = resample_words(n_words, resamples=resamples, seed=seed)
        # The pair resamples give one variance, no quantile: fewer will do.
        return cls(
            word_weights=pair_weights(counts, left_word, right_word),
            own_weights=resample_words(
                len(left_word), resamples=max(2, resamples // 2), seed=seed + 1
            ),
        )

    def estimate(self, measure: Callable[..., Tensor], *figures: Tensor) -> Estimate:
        """Measure [*head, pair] figures as observed and in every resample.

        `measure` takes the figures and ``weights``, like `dissociation_ratio`.
        """
        return Estimate(
            observed=measure(*figures),
            by_word=measure(*figures, weights=self.word_weights),
            by_pair=measure(*figures, weights=self.own_weights),
        )
