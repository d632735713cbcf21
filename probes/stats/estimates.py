"""Figures over word pairs together with their resamples, so that every derived figure has both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.stats.bootstrap import dyadic_interval, dyadic_variance, pair_weights, resample_words
from probes.stats.checks import require_same_shape
from probes.stats.multiway import multiway_interval, multiway_variance


@dataclass(frozen=True)
class Estimate:
    """A figure as observed, and as it comes out when words, pairs and head nouns are resampled.

    Attributes
    ----------
    observed
        The figure with all weights 1.
    by_word, by_pair
        The figure in every resample of the words, and of the pairs.
    by_noun, by_noun_word
        For minimal pairs only: in every resample of the compounds' head nouns, and of the words
        where a word counts as another one under every noun.
    """

    observed: Float[Tensor, "*figure"]
    by_word: Float[Tensor, "resample *figure"]
    by_pair: Float[Tensor, "pair_resample *figure"]
    by_noun: Float[Tensor, "resample *figure"] | None = None
    by_noun_word: Float[Tensor, "pair_resample *figure"] | None = None

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
        """Return the ends of the interval over words (and head nouns, where they were resampled).

        See `dyadic_interval` and `multiway_interval`.
        """
        if self.by_noun is None or self.by_noun_word is None:
            return dyadic_interval(self.observed, self.by_word, self.by_pair, level=level)
        return multiway_interval(
            self.observed, self.by_word, self.by_pair, self.by_noun, self.by_noun_word, level=level
        )

    def standard_error(self) -> Tensor:
        """Return the standard deviation of the figure over other words (and head nouns)."""
        if self.by_noun is None or self.by_noun_word is None:
            return dyadic_variance(self.observed, self.by_word, self.by_pair).sqrt()
        return multiway_variance(
            self.observed, self.by_word, self.by_pair, self.by_noun, self.by_noun_word
        ).sqrt()


def _combine(function: Callable[..., Tensor], *estimates: Estimate) -> Estimate:
    """Apply a function to the observed figures and, resample by resample, to all samples."""
    parts: dict[str, Tensor | None] = {}
    for field in fields(Estimate):
        values = [getattr(estimate, field.name) for estimate in estimates]
        missing = [value is None for value in values]
        if any(missing) and not all(missing):
            raise UsageError(
                "Some of these estimates resampled head nouns and some did not; make all of them "
                "with one PairBootstrap."
            )
        parts[field.name] = None if any(missing) else function(*values)
    return Estimate(**parts)  # type: ignore[arg-type]  # the first three are never None


@dataclass(frozen=True)
class PairBootstrap:
    """The resamples of one list of pairs, the same for every measure and condition."""

    word_weights: Float[Tensor, "resample pair"]
    own_weights: Float[Tensor, "pair_resample pair"]
    noun_weights: Float[Tensor, "resample pair"] | None = None
    noun_word_weights: Float[Tensor, "pair_resample pair"] | None = None

    @classmethod
    def draw(
        cls,
        left_word: Int[Tensor, " pair"],
        right_word: Int[Tensor, " pair"],
        *,
        resamples: int,
        seed: int,
        head_noun: Int[Tensor, " pair"] | None = None,
    ) -> PairBootstrap:
        """Draw `resamples` resamples of the words and half as many of the pairs.

        Rows with the same two words (before different head nouns) are one pair, drawn together.

        Parameters
        ----------
        left_word, right_word
            The two words of each pair, as numbers from 0.
        resamples, seed
            The same seed gives the same resamples.
        head_noun
            For minimal pairs: the compounds' head noun, any integer; nouns are then a second kind
            of cluster (`multiway_interval`).

        Raises
        ------
        UsageError
            If a pair is a word with itself, or the lists differ in length.
        """
        n_words = int(max(left_word.max(), right_word.max())) + 1
        counts = resample_words(n_words, resamples=resamples, seed=seed)
        # These give one variance, no quantile: fewer will do.
        fewer = max(2, resamples // 2)
        pair = number_pairs(left_word, right_word)
        own = resample_words(int(pair.max()) + 1, resamples=fewer, seed=seed + 1)
        word_weights = pair_weights(counts, left_word, right_word)
        if head_noun is None:
            return cls(word_weights, own.index_select(1, pair))
        require_same_shape("head_noun", head_noun, "left_word", left_word)
        _, noun = torch.unique(head_noun, return_inverse=True)
        nouns = resample_words(int(noun.max()) + 1, resamples=resamples, seed=seed + 2)
        # A word under another noun is another word.
        _, nested = torch.unique(
            torch.cat([noun * n_words + left_word, noun * n_words + right_word]),
            return_inverse=True,
        )
        left, right = nested.chunk(2)
        nested_counts = resample_words(int(nested.max()) + 1, resamples=fewer, seed=seed + 3)
        return cls(
            word_weights,
            own.index_select(1, pair),
            noun_weights=nouns.index_select(1, noun),
            noun_word_weights=pair_weights(nested_counts, left, right),
        )

    def estimate(self, measure: Callable[..., Tensor], *figures: Tensor) -> Estimate:
        """Measure [*head, pair] figures as observed and in every resample.

        `measure` takes the figures and ``weights``, like `dissociation_ratio`.
        """

        def resample(weights: Tensor | None) -> Tensor | None:
            return None if weights is None else measure(*figures, weights=weights)

        return Estimate(
            observed=measure(*figures),
            by_word=measure(*figures, weights=self.word_weights),
            by_pair=measure(*figures, weights=self.own_weights),
            by_noun=resample(self.noun_weights),
            by_noun_word=resample(self.noun_word_weights),
        )


def number_pairs(
    left_word: Int[Tensor, " pair"], right_word: Int[Tensor, " pair"]
) -> Int[Tensor, " pair"]:
    """Give each pair a number from 0, and the same number where the two words are the same."""
    require_same_shape("left_word", left_word, "right_word", right_word)
    words = torch.stack([left_word, right_word], dim=1).sort(dim=1).values
    numbers: Tensor = torch.unique(words, dim=0, return_inverse=True)[1]
    return numbers
