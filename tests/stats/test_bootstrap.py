import numpy as np
import pytest
import torch

from probes.errors import NonFiniteError, UsageError
from probes.stats import (
    dyadic_interval,
    dyadic_variance,
    interval,
    pair_weights,
    resample_words,
)


def test_resample_words_are_multinomial_counts() -> None:
    counts = resample_words(7, resamples=20_000, seed=0).double()
    assert counts.shape == (20_000, 7)
    assert bool((counts.sum(1) == 7).all())
    expected = torch.eye(7, dtype=torch.float64) - 1 / 7  # n (diag p - p p') with p = 1/n
    torch.testing.assert_close(counts.T.cov(), expected, atol=0.03, rtol=0)
    assert torch.equal(
        resample_words(7, resamples=5, seed=1), resample_words(7, resamples=5, seed=1)
    )
    assert not torch.equal(
        resample_words(7, resamples=5, seed=1), resample_words(7, resamples=5, seed=2)
    )


def test_pair_weights_are_products() -> None:
    counts = torch.tensor([[2.0, 0, 3], [1, 1, 1]])
    weights = pair_weights(counts, torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 2, 0]))
    assert weights.tolist() == [[0, 6, 0, 6], [1, 1, 1, 1]]


def test_interval_equals_numpy() -> None:
    samples = torch.randn(101, 3, 2, generator=torch.Generator().manual_seed(0))
    low, high = interval(samples, level=0.8)
    expected = np.quantile(samples.double().numpy(), [0.1, 0.9], axis=0, method="weibull")
    torch.testing.assert_close(torch.stack([low, high]), torch.from_numpy(expected))


def test_one_more_draw_falls_inside_with_the_stated_chance() -> None:
    draws = torch.randn(40, 30_000, generator=torch.Generator().manual_seed(1))
    low, high = interval(draws[1:], level=0.8)
    inside = ((draws[0] > low) & (draws[0] < high)).double().mean()
    assert float(inside) == pytest.approx(0.8, abs=0.01)
    low, high = interval(draws[:3])  # as far as three samples reach
    assert torch.equal(low, draws[:3].double().amin(0))
    assert torch.equal(high, draws[:3].double().amax(0))


def _coverage(word_effect: float, noise: float, data_sets: int = 400) -> dict[str, float]:
    """Share of data sets whose interval for the mean of pairs holds 0."""
    random = torch.Generator().manual_seed(5)
    words, pairs = 330, 600
    left = torch.randint(words, (pairs,), generator=random)
    right = (left + torch.randint(1, words, (pairs,), generator=random)) % words
    effect = word_effect * torch.randn(words, data_sets, generator=random)
    figures = effect[left] + effect[right]
    figures = figures + noise * torch.randn(pairs, data_sets, generator=random)

    def mean(weights: torch.Tensor) -> torch.Tensor:
        return (weights @ figures) / weights.sum(1, keepdim=True)

    by_word = mean(pair_weights(resample_words(words, resamples=400, seed=6), left, right))
    by_pair = mean(resample_words(pairs, resamples=400, seed=7))
    ends = {
        "pigeonhole": interval(by_word),
        "independent": interval(by_pair),
        "dyadic": dyadic_interval(figures.mean(0), by_word, by_pair),
    }
    return {
        name: float(((low <= 0) & (high >= 0)).double().mean())
        for name, (low, high) in ends.items()
    }


@pytest.mark.parametrize(("word_effect", "noise"), [(0.0, 1.0), (0.5, 1.0), (1.0, 0.3)])
def test_dyadic_interval_covers(word_effect: float, noise: float) -> None:
    coverage = _coverage(word_effect, noise)
    assert 0.915 < coverage["dyadic"] < 0.98
    assert coverage["pigeonhole"] > coverage["dyadic"]
    if word_effect:
        assert coverage["independent"] < 0.9


def test_dyadic_interval_by_hand() -> None:
    word_samples = torch.tensor([[0.0], [2.0], [4.0], [6.0]])  # mean 3, variance 20/3
    pair_samples = word_samples / 2  # variance 5/3, wanted 20/3 - 10/3: half of it
    low, high = dyadic_interval(torch.tensor([10.0]), word_samples, pair_samples, level=0.5)
    shrink = 0.5**0.5
    assert float(low) == pytest.approx(10 + shrink * (0.5 - 3))
    assert float(high) == pytest.approx(10 + shrink * (5.5 - 3))
    # Four resamples say little: half the variance of independent pairs is the least.
    low, high = dyadic_interval(torch.tensor([10.0]), word_samples, word_samples, level=0.5)
    assert (float(low), float(high)) == pytest.approx((10 - shrink * 2.5, 10 + shrink * 2.5))
    # A constant figure has an interval of no width.
    still = torch.full((4, 1), 10.0)
    assert [float(end) for end in dyadic_interval(still[0], still, still)] == [10, 10]


def test_many_resamples_leave_no_variance_below_that_of_independent_pairs() -> None:
    samples = torch.randn(2, 20_001, 1, generator=torch.Generator().manual_seed(0)).double()
    samples = (samples - samples.mean(1, keepdim=True)) / samples.std(1, keepdim=True)
    observed = torch.zeros(1).double()
    # 1 - 2 is less than the floor: 1 less half of sqrt(2 + 18) / sqrt(20,000)
    found = float(dyadic_variance(observed, samples[0], samples[1]))
    assert found == pytest.approx(1 - (20 / 20_000) ** 0.5 / 2)
    assert float(dyadic_variance(observed, 3 * samples[0], samples[1])) == pytest.approx(7)


def test_bootstrap_refuses() -> None:
    counts, left, right = torch.ones(2, 3), torch.tensor([0, 1]), torch.tensor([1, 1])
    with pytest.raises(UsageError, match="1 pairs are a word with itself"):
        pair_weights(counts, left, right)
    with pytest.raises(UsageError, match=r"0\.\.2"):
        pair_weights(counts, left, torch.tensor([1, 3]))
    with pytest.raises(UsageError, match="at least 1"):
        resample_words(0, resamples=1, seed=0)
    with pytest.raises(UsageError, match=r"level is 95\.0"):
        interval(counts, level=95.0)
    with pytest.raises(UsageError, match="resample"):
        interval(torch.ones(0, 3))
    with pytest.raises(NonFiniteError, match="1 of the 3"):
        interval(torch.tensor([[1.0], [float("nan")], [2.0]]))
    with pytest.raises(UsageError, match="2 resamples"):
        dyadic_interval(torch.ones(3), counts[:1], counts)
    with pytest.raises(NonFiniteError, match="observed"):
        dyadic_interval(torch.full((3,), float("nan")), counts, counts)
    with pytest.raises(UsageError, match="left_word has shape"):
        pair_weights.__wrapped__(counts, left, torch.tensor([2]))
