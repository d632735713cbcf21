"""Rounds of the simulation: whether tests against shuffled pairs reject as often as they say."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks import simulated
from benchmarks.cases import (
    AT_MOST,
    LEVEL,
    NAMES,
    PERMUTATIONS,
    RATIO,
    SIMILARITY,
    TYPE_I,
    Case,
    Counts,
)
from benchmarks.simulated import PAIRS, WORDS, Heads, compare_heads, draw_heads, draw_pairs
from probes.capture.located import DistinctWords
from probes.similarity.catalogue import find_measure
from probes.similarity.shuffled import ShuffledPairs, shuffle_pairs
from probes.stats.null_comparison import NullComparison, compare_with_null
from probes.stats.word_permutation import permute_words


def shuffle(
    heads: Heads, pairs: tuple[Tensor, Tensor], seed: int, strata: Tensor | None = None
) -> dict[str, ShuffledPairs]:
    """Measure heads as observed and under permutations of their words."""
    left, right = pairs
    n_words = heads.keys.shape[1]
    return shuffle_pairs(
        heads.keys,
        heads.values,
        DistinctWords(torch.arange(n_words)[:, None], left, right),
        permutations=permute_words(n_words, permutations=PERMUTATIONS, seed=seed, strata=strata),
        measures=[find_measure(name) for name in NAMES.values()],
    )


def judge(found: dict[str, ShuffledPairs], figure: str) -> NullComparison:
    """Compare one figure of all heads with its null, two-sided."""
    both = found[NAMES[figure]]
    return compare_with_null(both.observed, both.samples)


def count_false_alarms(seed: int) -> Counts:
    """Six heads, correlated with each other, whose values know nothing about the keys."""
    generator = torch.Generator().manual_seed(seed)
    heads, pairs = draw_heads(6, 0.0, generator, common=0.3), draw_pairs(generator)
    found = shuffle(heads, pairs, seed)
    counts: Counts = {}
    for figure in (RATIO, SIMILARITY):
        tested = judge(found, figure)
        place = ("null true", figure)
        rejected = (tested.p <= LEVEL).double().mean()
        counts[Case(*place, "one head, shuffled words", TYPE_I)] = rejected
        any_t, any_bh = ((p <= LEVEL).any().double() for p in (tested.p_max_t, tested.p_bh))
        counts[Case(*place, "any of 6 heads, max-T", TYPE_I)] = any_t
        counts[Case(*place, "any of 6 heads, Benjamini-Hochberg", TYPE_I)] = any_bh
    comparison = compare_heads(heads, *pairs)
    key_ranks, value_ranks = _rank(comparison.d_k), _rank(comparison.d_v)
    order = torch.rand(PERMUTATIONS, PAIRS, generator=generator).argsort(dim=1)
    null = torch.einsum("hp,hsp->sh", key_ranks, value_ranks[:, order]) / PAIRS
    naive = compare_with_null(found[NAMES[SIMILARITY]].observed, null)
    case = Case("null true", SIMILARITY, "one head, shuffled *pairs* (not to be used)")
    counts[case] = (naive.p <= LEVEL).double().mean()
    return counts


def _rank(figures: Tensor) -> Tensor:
    """Rank the pairs of every head, to mean 0 and variance 1."""
    ranks = figures.argsort(dim=1).argsort(dim=1).double()
    return (ranks - ranks.mean()) / ranks[0].std(correction=0)


def count_in_strata(seed: int) -> Counts:
    """Keys and values that both depend on a word's stratum, and on nothing else in common."""
    generator = torch.Generator().manual_seed(seed)
    heads, pairs = draw_heads(2, 0.0, generator), draw_pairs(generator)
    strata = torch.randint(10, (WORDS,), generator=generator)
    shift = torch.randn(2, 10, simulated.WIDTH, generator=generator)[:, strata] * 0.4
    heads = Heads(heads.keys + shift, heads.values + shift)
    counts: Counts = {}
    for name, labels, band in (
        ("matched words (10 strata)", strata, TYPE_I),
        ("strata ignored (not to be used)", None, None),
    ):
        found = shuffle(heads, pairs, seed, labels)
        for figure in (RATIO, SIMILARITY):
            rejected = (judge(found, figure).p <= LEVEL).double().mean()
            counts[Case("null true within strata", figure, f"one head, {name}", band)] = rejected
    return counts


def count_discoveries(seed: int) -> Counts:
    """Three of six heads with an effect: false discoveries among all, and the power."""
    generator = torch.Generator().manual_seed(seed)
    pairs = draw_pairs(generator)
    counts: Counts = {}
    for effect in (0.15, 0.3, 0.45, 0.6):
        heads = draw_heads(6, [effect] * 3 + [0.0] * 3, generator, common=0.3)
        found = shuffle(heads, pairs, seed)
        for figure in (RATIO, SIMILARITY):
            tested = judge(found, figure)
            truth = float(simulated.find_truth(effect)[figure])
            setting = f"correlation {effect} (figure {truth:.2f})"
            called = tested.p_bh <= LEVEL
            share = called[3:].sum() / called.sum().clamp(min=1)
            counts[Case("false discovery rate, 3 of 6 heads null", figure, setting, AT_MOST)] = (
                share.double()
            )
            for name, p in (
                ("alone", tested.p),
                ("Benjamini-Hochberg", tested.p_bh),
                ("max-T", tested.p_max_t),
            ):
                counts[Case(f"power, {name}", figure, setting)] = (p[:3] <= LEVEL).double().mean()
    return counts
