"""Pairs that share words, and belong to the same head noun: two ways to be dependent.

The pairs of one compound head ("network": neural / social, neural / road) may have something in
common beside their words. Variances over crossed clusters follow by inclusion and exclusion
(Cameron, Gelbach & Miller 2011, "Robust inference with multiway clustering"): what pairs share
through words, plus what they share through nouns, less what they share through both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.bootstrap import dyadic_variance, move_samples, require_samples


def multiway_variance(
    observed: Float[Tensor, "*figure"],
    word_samples: Float[Tensor, "resample *figure"],
    pair_samples: Float[Tensor, "pair_resample *figure"],
    noun_samples: Float[Tensor, "noun_resample *figure"],
    noun_word_samples: Float[Tensor, "noun_word_resample *figure"],
) -> Float[Tensor, "*figure"]:
    """Estimate the variance of a figure over pairs that share words and head nouns.

    With P the part of single pairs, S_W and S_N the covariances of different pairs that share a
    word or a noun, and S_WN of those that share both: words weighed by products of counts give
    S_W + 3 P (see :func:`probes.stats.bootstrap.dyadic_interval`), nouns S_N + P, and the words of
    each noun, drawn apart, S_WN + 3 P. So V = V_word + V_noun - V_noun_word = P + S_W + S_N - S_WN.

    Parameters
    ----------
    observed
        The figure with all weights 1.
    word_samples, pair_samples
        As for :func:`probes.stats.bootstrap.dyadic_interval`.
    noun_samples
        The figure when nouns are drawn, each with all its pairs.
    noun_word_samples
        The figure when a word counts as another one under every noun.

    Returns
    -------
    Float[Tensor, "*figure"]
        float64. Never less than that of words alone or of nouns alone.

    Raises
    ------
    UsageError
        If shapes disagree or a sample set has fewer than 2 resamples.
    NonFiniteError
        If anything is NaN or infinite.
    """
    require_samples(observed, noun_samples=noun_samples, noun_word_samples=noun_word_samples)
    by_word = dyadic_variance(observed, word_samples, pair_samples)
    by_noun = noun_samples.double().var(dim=0)
    both = word_samples.double().var(dim=0) + by_noun - noun_word_samples.double().var(dim=0)
    return torch.stack([both, by_word, by_noun]).amax(dim=0)


def multiway_interval(
    observed: Float[Tensor, "*figure"],
    word_samples: Float[Tensor, "resample *figure"],
    pair_samples: Float[Tensor, "pair_resample *figure"],
    noun_samples: Float[Tensor, "noun_resample *figure"],
    noun_word_samples: Float[Tensor, "noun_word_resample *figure"],
    *,
    level: float = 0.95,
) -> tuple[Float[Tensor, "*figure"], Float[Tensor, "*figure"]]:
    """Interval for a figure over pairs that share words and head nouns.

    The percentile interval of the sum of word and noun samples (each less its mean), moved to the
    observed figure and scaled to :func:`multiway_variance`.

    Parameters and errors are those of :func:`multiway_variance`; `level` is the coverage. Word and
    noun samples must be equally many.

    Returns
    -------
    tuple of Float[Tensor, "*figure"]
        Lower and upper end, float64.
    """
    variance = multiway_variance(
        observed, word_samples, pair_samples, noun_samples, noun_word_samples
    )
    both = word_samples.double() + noun_samples.double() - noun_samples.double().mean(dim=0)
    return move_samples(observed, both, variance, level=level)
