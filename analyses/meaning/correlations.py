"""Rank correlations of key and value similarity with scores of meaning, in every head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analyses.meaning.scored import ScoredPairs
from analyses.shared.word_pairs import Similarities
from probes.similarity.catalogue import TRAINED
from probes.stats.estimates import Estimate, PairBootstrap
from probes.stats.rank_correlation import RankCorrelations, rank_correlations

MEASURES = RankCorrelations._fields
HEADLINE = ("functional", TRAINED)
RESAMPLED = (HEADLINE, ("functional", "random_heads"), ("centred", TRAINED), ("raw", TRAINED))
"""Where there are intervals, (space, condition)."""


@dataclass(frozen=True)
class Correlations:
    """One list of pairs: (space, condition, measure) -> correlations [part, layer, head, score].

    The parts are keys, then values. Resamples are NaN where there are none.
    """

    scored: ScoredPairs
    estimates: dict[tuple[str, str, str], Estimate]


def correlate(
    scored: ScoredPairs,
    compared: dict[tuple[str, str], Similarities],
    *,
    resamples: int,
    seed: int,
) -> Correlations:
    """Correlate the similarity of keys and of values with every score, plain and partial."""
    pairs = scored.pairs
    scores = torch.tensor(np.stack([pairs.table[name].to_numpy() for name in scored.scores]))
    words = torch.stack([pairs.left_word, pairs.right_word])
    left, right = torch.unique(words, return_inverse=True)[1]
    drawn = PairBootstrap.draw(left, right, resamples=resamples, seed=seed)
    estimates = {}
    for place, similarities in compared.items():
        parts = torch.stack([similarities.keys, similarities.values])
        observed = rank_correlations(parts, scores, given=scored.covariates)
        # Covariates cost most of the time; one place has intervals of what is left given them.
        given = scored.covariates if place == HEADLINE else None
        samples = []
        if place in RESAMPLED:
            samples = [
                rank_correlations(parts, scores, given=given, weights=weights)
                for weights in (drawn.word_weights, drawn.own_weights)
            ]
        for measure in MEASURES:
            value: Tensor = getattr(observed, measure)
            by_word = by_pair = torch.full_like(value, torch.nan)[None]
            if samples and (measure == "plain" or place == HEADLINE):
                by_word, by_pair = (getattr(sample, measure) for sample in samples)
            estimates[*place, measure] = Estimate(value, by_word, by_pair)
    return Correlations(scored, estimates)
