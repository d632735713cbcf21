import torch

from probes.stats import dyadic_variance
from probes.stats.estimates import Estimate, PairBootstrap
from tests.stats.pairs import make_pairs, weighted_mean


def test_the_interval_of_a_mean_widens_where_pairs_share_words():
    left, right = make_pairs()
    effect = torch.randn(40, generator=torch.Generator().manual_seed(1))
    shared = (effect[left] + effect[right])[None]
    alone = shared[:, torch.randperm(300, generator=torch.Generator().manual_seed(2))]
    bootstrap = PairBootstrap.draw(left, right, resamples=400, seed=0)
    widths = []
    for figure in (shared, alone):
        low, high = bootstrap.estimate(weighted_mean, figure).interval()
        assert low < figure.double().mean() < high
        widths.append(float(high - low))
    assert widths[0] > 1.5 * widths[1]


def test_estimates_derive_and_subtract_resample_by_resample():
    left, right = make_pairs()
    generator = torch.Generator().manual_seed(3)
    figure = torch.randn(2, 300, generator=generator)
    bootstrap = PairBootstrap.draw(left, right, resamples=20, seed=0)
    first = bootstrap.estimate(weighted_mean, figure)
    same = first - first
    assert same.observed.abs().max() == same.by_word.abs().max() == 0
    mean = first.map(lambda t: t.mean(-1))
    torch.testing.assert_close(mean.by_word, first.by_word.mean(1))
    assert first.by_word.shape == (20, 2)
    assert isinstance(mean, Estimate)


def test_the_same_seed_gives_the_same_resamples():
    left, right = make_pairs()
    draws = [PairBootstrap.draw(left, right, resamples=5, seed=s) for s in (1, 1, 2)]
    assert torch.equal(draws[0].word_weights, draws[1].word_weights)
    assert not torch.equal(draws[0].word_weights, draws[2].word_weights)


def test_the_standard_error_is_that_of_the_interval():
    left, right = make_pairs()
    figures = torch.randn(5, 300, generator=torch.Generator().manual_seed(4))
    bootstrap = PairBootstrap.draw(left, right, resamples=2000, seed=0)
    estimate = bootstrap.estimate(weighted_mean, figures)
    low, high = estimate.interval()
    torch.testing.assert_close(estimate.standard_error(), (high - low) / 3.92, rtol=0.1, atol=0)
    expected = dyadic_variance(estimate.observed, estimate.by_word, estimate.by_pair)
    torch.testing.assert_close(estimate.standard_error().square(), expected)
