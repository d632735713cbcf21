"""Variances by clusters against double sums, jackknives and simulated data."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from probes.errors import UsageError
from probes.stats.clusters import Clusters, Level, RatioEstimate
from probes.stats.multiple import max_t


def draw_ratio(seed, *, figures=3, units=60):
    random = torch.Generator().manual_seed(seed)
    below = torch.randint(1, 5, (figures, units), generator=random).double()
    rate = torch.rand(figures, units, generator=random, dtype=torch.float64)
    return below * rate, below


def draw_pairs(seed, *, words=15, units=60, topics=4):
    random = torch.Generator().manual_seed(seed)
    left = torch.randint(words, (units,), generator=random)
    right = (left + torch.randint(1, words, (units,), generator=random)) % words
    return left, right, torch.randint(topics, (words,), generator=random)


def test_influence_is_the_derivative_by_a_unit_s_weight():
    above, below = draw_ratio(0)
    estimate = RatioEstimate.of(above, below)
    for unit in (0, 17, 59):
        weight = torch.ones(60, dtype=torch.float64)
        weight[unit] += 1e-6
        moved = (above * weight).sum(-1) / (below * weight).sum(-1)
        slope = (moved - estimate.observed) / 1e-6
        torch.testing.assert_close(estimate.influence[:, unit], slope, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        estimate.influence.sum(-1), torch.zeros(3).double(), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(estimate.share.sum(-1), torch.ones(3).double())


def test_derived_figures_carry_their_influence():
    first, second = (RatioEstimate.of(*draw_ratio(seed)) for seed in (1, 2))
    difference = first - second
    torch.testing.assert_close(difference.influence, first.influence - second.influence)
    root = first.root()
    torch.testing.assert_close(root.observed, first.observed.sqrt())
    torch.testing.assert_close(
        root.influence, first.influence / (2 * first.observed.sqrt())[:, None]
    )
    weight = torch.tensor([1.0, 2.0, 5.0])
    mean = first.over_last(weight)
    torch.testing.assert_close(mean.observed, (first.observed * weight).sum() / 8)
    torch.testing.assert_close(mean.influence, weight.double() @ first.influence / 8)
    both = RatioEstimate.mean([first, second])
    torch.testing.assert_close(both.observed, (first.observed + second.observed) / 2)
    assert float(first.pick(1).observed) == float(first.observed[1])


def test_figures_of_nothing_are_left_out_of_means():
    above, below = draw_ratio(3)
    below[1] = above[1] = 0
    estimate = RatioEstimate.of(above, below)
    assert math.isnan(float(estimate.observed[1]))
    mean = estimate.over_last()
    torch.testing.assert_close(mean.observed, estimate.observed[[0, 2]].mean())
    torch.testing.assert_close(mean.influence, estimate.influence[[0, 2]].mean(0))
    clusters = Clusters.of_documents(60)
    low, high = clusters.interval(estimate, low=0.0, high=1.0)
    assert low.isnan().tolist() == high.isnan().tolist() == [False, True, False]
    assert clusters.test(estimate, null=0.5, low=0.0, high=1.0)[1] == 0


def test_one_level_is_the_double_sum_over_units_that_share_a_cluster():
    left, right, topic = draw_pairs(4)
    influence = RatioEstimate.of(*draw_ratio(5)).influence
    for first, second in ((left, right), (topic[left], topic[right])):
        level = Level.of(first, second)
        whole = level.add_up(influence).square().sum(-1)
        whole = whole - level.pair_up(influence).square().sum(-1)
        sets = [{int(a), int(b)} for a, b in zip(first, second, strict=True)]
        share = torch.tensor([[float(bool(a & b)) for a in sets] for b in sets]).double()
        expected = torch.einsum("fu,uv,fv->f", influence, share, influence)
        torch.testing.assert_close(whole, expected)


def test_documents_are_jackknifed():
    """A cluster's sum over one minus its share is what leaving it out does."""
    above, below = draw_ratio(6)
    estimate = RatioEstimate.of(above, below)
    variance, degrees = Clusters.of_documents(60).variance(estimate)
    left_out = torch.stack(
        [
            (above.sum(-1) - above[:, d]) / (below.sum(-1) - below[:, d]) - estimate.observed
            for d in range(60)
        ]
    )
    torch.testing.assert_close(variance, left_out.square().sum(0))
    even = RatioEstimate.of(above, torch.ones_like(below))
    assert Clusters.of_documents(60).variance(even)[1].tolist() == pytest.approx([59.0] * 3)
    low, high = Clusters.of_documents(60).interval(even)
    reach = float(student.ppf(0.975, 59)) * Clusters.of_documents(60).standard_error(even)
    torch.testing.assert_close(high - low, 2 * reach)
    assert (degrees < 59).all()


def test_topics_can_only_widen():
    left, right, topic = draw_pairs(7)
    estimate = RatioEstimate.of(*draw_ratio(8))
    words = Clusters.of_pairs(left, right)
    both = Clusters.of_pairs(left, right, topic=topic)
    narrow, wide = words.standard_error(estimate), both.standard_error(estimate)
    assert (wide > 0.8 * narrow).all()
    # What hangs together by topics alone is found by topics alone.
    shift = torch.randn(4, generator=torch.Generator().manual_seed(0)).double()
    moved = shift[topic[left]] + shift[topic[right]]
    below = torch.ones(60, dtype=torch.float64)
    estimate = RatioEstimate.of(moved, below)
    assert float(both.standard_error(estimate)) > 1.5 * float(words.standard_error(estimate))


def test_no_interval_leaves_the_possible_range():
    above, below = draw_ratio(9, figures=200, units=6)
    above[0], above[1] = 0, below[1]  # at the ends of the range
    estimate = RatioEstimate.of(above.clamp(max=below), below)
    for level in (0.5, 0.95, 0.999):
        low, high = Clusters.of_documents(6).interval(estimate, low=0.0, high=1.0, level=level)
        assert (low >= 0).all()
        assert (high <= 1).all()
        assert ((low <= estimate.observed) & (high >= estimate.observed)).all()
        assert float(low[0]) == 0
        assert 0 < float(high[0]) < 1
        assert float(high[1]) == 1
        assert 0 < float(low[1]) < 1
    low, high = Clusters.of_documents(6).interval(estimate.pick(slice(2, None)), low=0.0)
    assert (low > 0).all()
    assert high.isfinite().all()


def test_a_figure_past_its_range_by_rounding_stands_at_the_end():
    """A lift of which all are in the top share, summed with what units owe as a reference."""
    clusters = Clusters.of_documents(4)
    rounded = torch.full((1, 4), 20 + 1e-12, dtype=torch.float64)
    estimate, exact = (
        RatioEstimate.of(above, torch.ones(1, 4)) for above in (rounded, torch.full((1, 4), 20.0))
    )
    for end, expected in zip(
        clusters.interval(estimate, low=0.0, high=20.0),
        clusters.interval(exact, low=0.0, high=20.0),
        strict=True,
    ):
        torch.testing.assert_close(end, expected)
    assert clusters.test(estimate, null=1.0, low=0.0, high=20.0).isfinite().all()


def test_one_cluster_tells_nothing():
    left = torch.zeros(5, dtype=torch.long)
    right = torch.arange(1, 6)
    estimate = RatioEstimate.of(*draw_ratio(10, units=5))
    low, high = Clusters.of_pairs(left, right).interval(estimate, low=0.0, high=1.0)
    assert low.tolist() == [0.0] * 3
    assert high.tolist() == [1.0] * 3
    assert (
        Clusters.of_pairs(left, right).test(estimate, null=0.1, low=0.0, high=1.0).tolist()
        == [0.0] * 3
    )


def test_the_deviate_says_what_the_interval_says():
    estimate = RatioEstimate.of(*draw_ratio(11, figures=40, units=12))
    clusters = Clusters.of_documents(12)
    low, high = clusters.interval(estimate, low=0.0, high=1.0)
    for null in (0.3, 0.45, 0.5, 0.6):
        outside = (low > null) | (high < null)
        deviate = clusters.test(estimate, null=null, low=0.0, high=1.0)
        assert torch.equal(deviate.abs() > 1.959964, outside)
        assert torch.equal(deviate > 0, estimate.observed > null)


def test_drawn_deviates_hang_together_as_the_figures_do():
    above, below = draw_ratio(12, figures=2, units=50)
    above = torch.cat([above, above[:1]])  # the third figure is the first
    below = torch.cat([below, below[:1]])
    estimate = RatioEstimate.of(above, below)
    drawn = Clusters.of_documents(50).draw(estimate, resamples=4000, seed=0)
    torch.testing.assert_close(drawn.var(0), torch.ones(3).double(), atol=0.08, rtol=0)
    torch.testing.assert_close(drawn[:, 0], drawn[:, 2])
    correlation = torch.nn.functional.cosine_similarity(*estimate.influence[:2], dim=0)
    assert float(drawn.T.corrcoef()[0, 1]) == pytest.approx(float(correlation), abs=0.05)
    p = max_t(torch.tensor([2.0, 2.0, 2.0]).double(), drawn, alternative="two-sided")
    assert 0.04 < float(p[0]) < 2.2 * 0.0455  # two tests, not three


def test_intervals_over_30_documents_hold_the_truth():
    random = np.random.default_rng(0)
    size = np.ceil(20 * np.exp(0.7 * random.standard_normal((1500, 30))))
    mean = 65 + 8 * random.standard_normal(size.shape) + 29 / np.sqrt(size)
    mean = mean + 29 / np.sqrt(size) * (random.standard_normal(size.shape) - 1)
    estimate = RatioEstimate.of(torch.from_numpy(size * mean), torch.from_numpy(size))
    low, high = Clusters.of_documents(30).interval(estimate, low=0.0, high=100.0)
    assert 0.93 < float(((low <= 65) & (high >= 65)).double().mean()) < 0.97


def test_what_cannot_be_estimated_is_refused():
    above, below = draw_ratio(13)
    with pytest.raises(UsageError, match="negative"):
        RatioEstimate.of(above, -below)
    with pytest.raises(UsageError, match="no figures"):
        RatioEstimate.stack([])
    with pytest.raises(UsageError, match="at least 2"):
        Clusters.of_documents(1)
    with pytest.raises(UsageError, match="itself"):
        Clusters.of_pairs(torch.arange(3), torch.tensor([1, 1, 0]))
    estimate = RatioEstimate.of(above, below)
    with pytest.raises(UsageError, match="range"):
        Clusters.of_documents(60).interval(estimate, low=0.5, high=1.0)
    with pytest.raises(UsageError, match="level"):
        Clusters.of_documents(60).interval(estimate, level=1.0)
