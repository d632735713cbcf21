"""Figures over word pairs together with their resamples, so that every derived figure has both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.stats.bootstrap import dyadic_interval, dyadic_variance, pair_weights, resample_words
from probes.stats.checks import require_same_shape


@dataclass(frozen=True)
class Estimate:
    """A figure as observed, and as it comes out when words and pairs are resampled.

    Attributes
    ----------
    observed
        The figure with all weights 1.
    by_word, by_pair
        The figure in every resample of the words, and of the pairs.
    """

    observed: Float[Tensor, "*figure"]
    by_word: Float[Tensor, "resample *figure"]
    by_pair: Float[Tensor, "pair_resample *figure"]

    @classmethod
    def mean(cls, estimates: Sequence[Estimate]) -> Estimate:
        """Average figures that were measured in the same resamples."""
        return _combine(lambda *parts: torch.stack(parts).mean(0), *estimates)

    @classmethod
    def stack(cls, estimates: Sequence[Estimate]) -> Estimate:
        """Put figures that were measured in the same resamples on a new last axis."""
        return _combine(lambda *parts: torch.stack(parts, -1), *estimates)

    def map(self, function: Callable[[Tensor], Tensor]) -> Estimate:
        """Derive another figure; `function` must leave leading axes alone."""
        return _combine(function, self)

    def __sub__(self, other: Estimate) -> Estimate:
        """Difference of two figures measured in the same resamples."""
        return _combine(torch.sub, self, other)

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return the ends of the interval over words; see `dyadic_interval`."""
        return dyadic_interval(self.observed, self.by_word, self.by_pair, level=level)

    def standard_error(self) -> Tensor:
        """Return the standard deviation of the figure over other words."""
        return dyadic_variance(self.observed, self.by_word, self.by_pair).sqrt()


def _combine(function: Callable[..., Tensor], *estimates: Estimate) -> Estimate:
    """Apply a function to the observed figures and, resample by resample, to all samples."""
    names = ("observed", "by_word", "by_pair")
    return Estimate(*(function(*(getattr(e, name) for e in estimates)) for name in names))


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

        Rows with the same two words (before different head nouns) are one pair, drawn together.

        Parameters
        ----------
        left_word, right_word
            The two words of each pair, as numbers from 0.
        resamples, seed
            The same seed gives the same resamples.

        Raises
        ------
        UsageError
            If a pair is a word with itself, or the lists differ in length.
        """
        n_words = int(max(left_word.max(), right_word.max())) + 1
        pair = _number_pairs(left_word, right_word)
        words, pairs = draw_counts(n_words, int(pair.max()) + 1, resamples=resamples, seed=seed)
        return cls(pair_weights(words, left_word, right_word), pairs.index_select(1, pair))

    def estimate(self, measure: Callable[..., Tensor], *figures: Tensor) -> Estimate:
        """Measure [*head, pair] figures as observed and in every resample.

        `measure` takes the figures and ``weights``, like `dissociation_ratio`.
        """
        return Estimate(
            observed=measure(*figures),
            by_word=measure(*figures, weights=self.word_weights),
            by_pair=measure(*figures, weights=self.own_weights),
        )


def draw_counts(
    n_words: int, n_pairs: int, *, resamples: int, seed: int
) -> tuple[Float[Tensor, "resample word"], Float[Tensor, "pair_resample pair"]]:
    """Draw resamples of words and, as these give one variance and no quantile, half of pairs."""
    words = resample_words(n_words, resamples=resamples, seed=seed)
    return words, resample_words(n_pairs, resamples=max(2, resamples // 2), seed=seed + 1)


def _number_pairs(
    left_word: Int[Tensor, " pair"], right_word: Int[Tensor, " pair"]
) -> Int[Tensor, " pair"]:
    """Give each pair a number from 0, and the same number where the two words are the same."""
    require_same_shape("left_word", left_word, "right_word", right_word)
    words = torch.stack([left_word, right_word], dim=1).sort(dim=1).values
    numbers: Tensor = torch.unique(words, dim=0, return_inverse=True)[1]
    return numbers
