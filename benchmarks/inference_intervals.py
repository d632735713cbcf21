"""Rounds of the simulation: whether intervals hold the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks import simulated
from benchmarks.cases import (
    COVERAGE,
    LEVEL,
    NAMES,
    RATIO,
    RESAMPLES,
    SIMILARITY,
    TYPE_I,
    Case,
    Counts,
)
from benchmarks.simulated import PAIRS, WORDS, Heads, compare_heads, draw_heads, draw_pairs
from probes.similarity.catalogue import find_measure
from probes.similarity.compare import PairComparison
from probes.similarity.divergence import divergence_curve
from probes.similarity.resampled import resample_measures
from probes.similarity.tieability import resampled_r2, tieability
from probes.stats.bootstrap import interval, resample_words
from probes.stats.estimates import Estimate, PairBootstrap
from probes.stats.folds import word_folds
from probes.stats.ridge import FoldMoments, RidgeFit
from probes.stats.shared import SharedResamples
from probes.stats.shares import share_interval


def resample(comparison: PairComparison, bootstrap: PairBootstrap) -> dict[str, Estimate]:
    """Estimate ratio and similarity; [head]."""
    layers = PairComparison.stack([comparison])
    ones = torch.ones(1, comparison.s_k.shape[-1])
    measures = [find_measure(name) for name in NAMES.values()]
    observed, by_word, by_pair = (
        resample_measures(layers, weights, measures=measures, crossed=False)
        for weights in (ones, bootstrap.word_weights, bootstrap.own_weights)
    )
    return {
        figure: Estimate(
            observed[name][0, 0, :, 0], by_word[name][:, 0, :, 0], by_pair[name][:, 0, :, 0]
        )
        for figure, name in NAMES.items()
    }


def holds(ends: tuple[Tensor, Tensor], truth: Tensor | float) -> Tensor:
    """Say for each interval whether it holds the truth."""
    low, high = ends
    return ((low <= truth) & (high >= truth)).double()


def rejects(estimate: Estimate) -> Tensor:
    """Say for each figure whether a normal test at the 5 % level finds that it is not 0."""
    score = estimate.observed.double() / estimate.standard_error()
    return (torch.special.erfc(score.abs() / 2**0.5) <= LEVEL).double()


def count_covered(seed: int) -> Counts:
    """Intervals of the pair measures, on 20 data sets of the same pairs."""
    generator = torch.Generator().manual_seed(seed)
    left, right = draw_pairs(generator)
    bootstrap = PairBootstrap.draw(left, right, resamples=RESAMPLES, seed=seed)
    counts: Counts = {}
    for effect in (0.0, 0.5, 0.8, 0.9):
        truth = simulated.find_truth(effect)
        comparison = compare_heads(draw_heads(20, effect, generator), left, right)
        estimates = resample(comparison, bootstrap)
        for figure, estimate in estimates.items():
            setting = f"correlation {effect} (figure {float(truth[figure]):.2f})"
            place = ("coverage, words resampled", figure)
            few = figure == RATIO and effect == 0.9  # one pair of the top 100: not what it is for
            counts[Case(*place, setting, None if few else COVERAGE)] = holds(
                estimate.interval(), truth[figure]
            )
        ratio = estimates[RATIO]
        variance = ratio.standard_error().square() / 4
        low, high = share_interval(ratio.observed / 2, variance, size=0.05 * PAIRS)
        setting = f"correlation {effect} (figure {float(truth[RATIO]):.2f}), as a share"
        case = Case("coverage, words resampled", RATIO, setting, COVERAGE)
        counts[case] = holds((2 * low, 2 * high), truth[RATIO])
        curve = bootstrap.estimate(
            lambda k, v, **weights: divergence_curve(k, v, bins=simulated.BINS, **weights),
            comparison.s_k,
            comparison.s_v,
        ).map(lambda t: t[..., [0, simulated.BINS // 2]])
        covered = holds(curve.interval(), truth["divergence curve"][[0, simulated.BINS // 2]])
        for column, name in enumerate(("first bin", "middle bin")):
            case = Case(
                "coverage, words resampled",
                f"divergence curve, {name} of {simulated.BINS}",
                f"correlation {effect}",
                COVERAGE,
            )
            counts[case] = covered[:, column]
        if effect == 0:
            case = Case("null true", SIMILARITY, "bootstrap test against 0", TYPE_I)
            counts[case] = rejects(estimates[SIMILARITY])
    return counts


def count_differences(seed: int) -> Counts:
    """Two captures of the same words, the second of which lost some pairs."""
    generator = torch.Generator().manual_seed(seed)
    left, right = draw_pairs(generator)
    kept = int(0.95 * PAIRS)
    names = [(str(a), str(b)) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    shared = SharedResamples.draw(names, resamples=RESAMPLES, seed=seed)
    first, second = (shared.bootstrap(*zip(*n, strict=True)) for n in (names, names[:kept]))
    counts: Counts = {}
    for effect, other in ((0.3, 0.3), (0.3, 0.6)):
        # Both sites read the same words: their keys, and their noises, are alike.
        draws = torch.randn(4, 20, WORDS, simulated.WIDTH, generator=generator)
        lengths = torch.randn(2, 20, WORDS, 1, generator=generator).mul(simulated.LENGTHS).exp()
        sites = []
        for weight, key, noise in (
            (effect, draws[0], draws[1]),
            (other, 0.8 * draws[0] + 0.6 * draws[2], 0.8 * draws[1] + 0.6 * draws[3]),
        ):
            value = weight * key + (1 - weight**2) ** 0.5 * noise
            sites.append(
                Heads(
                    key * simulated.SPECTRUM * lengths[0], value * simulated.SPECTRUM * lengths[1]
                )
            )
        a = resample(compare_heads(sites[0], left, right), first)
        b = resample(compare_heads(sites[1], left[:kept], right[:kept]), second)
        for figure in (RATIO, SIMILARITY):
            truth = float(
                simulated.find_truth(other)[figure] - simulated.find_truth(effect)[figure]
            )
            difference = b[figure] - a[figure]
            setting = f"difference of two captures, truth {truth:.2f}"
            case = Case("coverage, shared resamples", figure, setting, COVERAGE)
            counts[case] = holds(difference.interval(), truth)
            apart = a[figure].standard_error().square() + b[figure].standard_error().square()
            reach = 1.96 * apart.sqrt()
            ends = (difference.observed - reach, difference.observed + reach)
            case = Case("coverage, shared resamples", figure, f"{setting}, as if independent")
            counts[case] = holds(ends, truth)
            if truth == 0:
                case = Case("null true", figure, "difference of two captures", TYPE_I)
                counts[case] = rejects(difference)
    return counts


def draw_means(left: Tensor, right: Tensor, scale: tuple[float, float], seed: int) -> Tensor:
    """Draw 200 data sets of pair figures of mean 0: word effects and noise."""
    generator = torch.Generator().manual_seed(seed)
    word_scale, noise = scale
    words = word_scale * torch.randn(
        200, int(max(left.max(), right.max())) + 1, generator=generator
    )
    figures = words[:, left] + words[:, right]
    return figures + noise * torch.randn(figures.shape, generator=generator)


def mean(figures: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Average over pairs."""
    if weights is None:
        return figures.double().mean(-1)
    return (weights @ figures.T / weights.sum(1, keepdim=True)).double()


def count_means(seed: int) -> Counts:
    """Means over pairs: coverage."""
    left, right = draw_pairs(torch.Generator().manual_seed(seed))
    bootstrap = PairBootstrap.draw(left, right, resamples=RESAMPLES, seed=seed)
    counts: Counts = {}
    for scale in ((0.0, 1.0), (0.5, 1.0), (1.0, 0.3)):
        estimate = bootstrap.estimate(mean, draw_means(left, right, scale, seed + 1))
        setting = f"word effect {scale[0]}, noise {scale[1]}"
        case = Case("coverage, words resampled", "mean over pairs", setting, COVERAGE)
        counts[case] = holds(estimate.interval(), 0)
    return counts


def count_tieability(seed: int) -> Counts:
    """Intervals of held-out R^2, on 20 data sets of 800 words: 50 for each number of a key."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.arange(800)
    fold = word_folds(words, 5, seed)
    drawn = resample_words(len(words), resamples=RESAMPLES, seed=seed)
    counts: Counts = {}
    for effect in (0.3, 0.7):
        heads = draw_heads(20, effect, generator, n_words=len(words))
        result = tieability(heads.keys, heads.values, words=words, seed=seed)
        fresh = draw_heads(20, effect, generator, n_words=len(words))
        parts = _fit_maps(heads, fresh, effect, result.penalty, fold)
        truth = 1 - parts.expected_error / parts.expected_total
        # The same maps tested on words that none of them has seen: what resampled_r2 speaks of.
        unseen = replace(result, word_error=parts.word_error, word_total=parts.word_total)
        place = ("coverage, test words resampled", "tieability")
        for name, tested, band in (
            ("maps given, new test words", unseen, COVERAGE),
            ("cross-validated: each test word trained the other maps", result, None),
        ):
            covered = holds(interval(resampled_r2(tested, drawn)), truth)
            counts[Case(*place, f"correlation {effect}, {name}", band)] = covered
    return counts


@dataclass(frozen=True)
class _Maps:
    """Errors of the fitted maps on new words [head, word], and what they are in expectation."""

    word_error: Tensor
    word_total: Tensor
    expected_error: Tensor
    expected_total: Tensor


def _fit_maps(heads: Heads, fresh: Heads, effect: float, penalty: Tensor, fold: Tensor) -> _Maps:
    """Fit the five maps of `tieability` again; the covariances of the population are known."""
    keys, values, new_keys, new_values = (
        t.double() for t in (heads.keys, heads.values, fresh.keys, fresh.values)
    )
    moments = FoldMoments.of(keys, values, fold, 5)
    grid = penalty.unique()
    error, total = torch.zeros(2, *keys.shape[:2], dtype=torch.float64)
    expected_error, expected_total = torch.zeros(2, len(keys), dtype=torch.float64)
    spectrum = simulated.SPECTRUM.double().square()
    own = torch.diag(spectrum) * math.exp(2 * simulated.LENGTHS**2)  # E[length^2]
    both = torch.diag(spectrum) * effect * math.exp(simulated.LENGTHS**2)  # E[length]^2
    for test in range(5):
        fit = RidgeFit.of(moments, [f for f in range(5) if f != test], grid)
        choice = (penalty[:, test, None] - grid).abs().argmin(dim=1)
        mine = fold == test
        error[:, mine] = (
            fit.residual(new_keys[:, mine], new_values[:, mine], choice).square().sum(-1)
        )
        around = new_values[:, mine] - fit.value_mean[:, None]
        total[:, mine] = around.square().sum(-1)
        shrinkage = fit.shrinkage[torch.arange(len(choice)), choice]
        weights = fit.axes @ (shrinkage[..., None] * fit.cross)
        offset = fit.value_mean - (fit.key_mean[:, None] @ weights)[:, 0]
        explained = (weights.mT @ own @ weights - 2 * weights.mT @ both).diagonal(dim1=1, dim2=2)
        expected_error += own.trace() + explained.sum(-1) + offset.square().sum(-1)
        expected_total += own.trace() + fit.value_mean.square().sum(-1)
    return _Maps(error, total, expected_error, expected_total)
