"""Rank correlations: scipy on copied data, residuals of an explicit regression, known cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from probes.errors import NonFiniteError, UsageError
from probes.stats.rank_correlation import rank_correlations


def partial_by_hand(figure, score, covariates):
    design = np.column_stack([np.ones(len(figure)), *(rankdata(c) for c in covariates)])
    left = [
        ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
        for ranks in (rankdata(figure), rankdata(score))
    ]
    return np.corrcoef(*left)[0, 1]


def make(seed, n_pairs=57, ties=True):
    random = np.random.default_rng(seed)
    covariates = random.normal(size=(4, n_pairs))
    scores = random.normal(size=(2, n_pairs)) + covariates[:2]
    figures = random.normal(size=(3, 5, n_pairs)) + scores[0] + 2 * covariates[2]
    if ties:
        scores, covariates = scores.round(0), covariates.round(1)
        figures[1] = figures[1].round(0)
    weights = random.integers(0, 4, size=(37, n_pairs))
    weights[:, :9] += 1  # no resample without enough pairs
    return figures, scores, covariates, weights.astype(float)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_weights_are_copies_and_both_correlations_are_those_of_scipy(seed, ties):
    figures, scores, covariates, weights = make(seed, ties=ties)
    found = rank_correlations(
        torch.tensor(figures),
        torch.tensor(scores),
        given=torch.tensor(covariates),
        weights=torch.tensor(weights).float(),
    )
    assert found.plain.shape == found.partial.shape == (37, 3, 5, 2)
    for resample in (0, 31, 32, 36):
        copies = np.repeat(np.arange(weights.shape[1]), weights[resample].astype(int))
        for layer, head, score in ((0, 0, 0), (1, 4, 1), (2, 3, 0)):
            figure, judged = figures[layer, head, copies], scores[score, copies]
            plain = spearmanr(figure, judged).statistic
            partial = partial_by_hand(figure, judged, covariates[:, copies])
            place = (resample, layer, head, score)
            assert float(found.plain[place]) == pytest.approx(plain, abs=1e-5)
            assert float(found.partial[place]) == pytest.approx(partial, abs=1e-5)


def test_without_weights_and_covariates():
    figures, scores, *_ = make(1)
    found = rank_correlations(torch.tensor(figures), torch.tensor(scores))
    assert found.plain.shape == (3, 5, 2)
    expected = spearmanr(figures[2, 1], scores[1]).statistic
    assert float(found.plain[2, 1, 1]) == pytest.approx(expected, abs=1e-6)
    assert torch.equal(found.plain, found.partial)


def test_what_only_the_covariate_tells_is_no_partial_correlation():
    random = np.random.default_rng(2)
    covariate = random.normal(size=(1, 4000))
    figure = covariate + random.normal(size=(1, 4000))
    score = covariate + random.normal(size=(1, 4000))
    found = rank_correlations(*map(torch.tensor, (figure, score)), given=torch.tensor(covariate))
    assert float(found.plain[0, 0]) > 0.4
    assert abs(float(found.partial[0, 0])) < 0.05


def test_constant_and_repeated_covariates_change_nothing():
    figures, scores, covariates, weights = (torch.tensor(part) for part in make(3))
    more = torch.cat([covariates, covariates[:2], torch.ones(1, 57)])
    one, other = (
        rank_correlations(figures, scores, given=part, weights=weights).partial
        for part in (covariates, more)
    )
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_increasing_maps_and_the_order_of_pairs_change_nothing():
    figures, scores, covariates, weights = (torch.tensor(part) for part in make(4))
    order = torch.randperm(57, generator=torch.Generator().manual_seed(0))
    one = rank_correlations(figures, scores, given=covariates, weights=weights)
    other = rank_correlations(
        figures[..., order].exp(),
        scores[:, order] ** 3,
        given=2 * covariates[:, order] - 1,
        weights=weights[:, order],
    )
    torch.testing.assert_close(one.partial, other.partial, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.plain, other.plain, atol=1e-5, rtol=0)


def test_what_does_not_vary_has_no_correlation():
    figures, scores, covariates, _ = (torch.tensor(part) for part in make(5, ties=False))
    figures[0, 0] = 3.0
    scores[1] = covariates[1]
    found = rank_correlations(figures, scores, given=covariates)
    assert found.plain[0, 0].isnan().all()
    assert not found.plain[0, 1:].isnan().any()
    assert found.partial[..., 1].isnan().all()
    assert not found.partial[1:, :, 0].isnan().any()


def test_faults_are_told():
    figures, scores, covariates, weights = (torch.tensor(part) for part in make(6))
    with pytest.raises(UsageError, match=r"scores have shape \(2, 56\) for 57 pairs"):
        rank_correlations.__wrapped__(figures, scores[:, 1:])
    with pytest.raises(UsageError, match="the weight 0"):
        rank_correlations(figures, scores, weights=0 * weights)
    covariates[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="1 of the 228 numbers in the covariates"):
        rank_correlations(figures, scores, given=covariates)
