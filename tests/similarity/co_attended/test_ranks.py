"""Ranks within strata against a loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity.co_attended.ranks import StratumRanks, stratum_means


def draw(seed, *, levels=5, pairs=23, strata=4):
    random = torch.Generator().manual_seed(seed)
    figures = (torch.randint(-levels, levels + 1, (3, 2, pairs), generator=random) / 3).float()
    return figures, torch.randint(strata, (pairs,), generator=random)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([0, 2, 10**6]))
def test_every_place_equals_a_loop(seed, levels):
    figures, strata = draw(seed, levels=levels)
    ranks = StratumRanks.of(figures, strata)
    choice = torch.rand(3, 2, 4, figures.shape[-1], generator=torch.Generator().manual_seed(seed))
    above = ranks.mass_above(choice)
    percentiles = ranks.percentiles()
    for a, b, place in torch.cartesian_prod(*(torch.arange(n) for n in figures.shape)).tolist():
        row, mine = figures[a, b], figures[a, b, place]
        like = [i for i, own in enumerate(strata) if own == strata[place]]
        below = sum(bool(row[i] < mine) for i in like)
        tied = sum(bool(row[i] == mine) for i in like)
        assert (ranks.below[a, b, place], ranks.tied[a, b, place]) == (below, tied)
        assert ranks.size[place] == len(like)
        expected = 100 * (below + tied / 2) / len(like)
        assert float(percentiles[a, b, place]) == pytest.approx(expected, rel=1e-6)
        mass = sum(
            choice[a, b, 3, i] * (1.0 if row[i] > mine else 0.5 if row[i] == mine else 0.0)
            for i in like
        )
        assert float(above[a, b, 3, place]) == pytest.approx(float(mass), abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.01, 0.25, 0.5, 0.9]))
def test_every_stratum_has_its_share_and_its_middle(seed, share):
    figures, strata = draw(seed)
    ranks = StratumRanks.of(figures, strata)
    for stratum in strata.unique():
        inside = strata == stratum
        means = ranks.percentiles()[..., inside].mean(-1)
        torch.testing.assert_close(means, torch.full_like(means, 50))
        top = ranks.top(share)
        means = top[..., inside].mean(-1)
        torch.testing.assert_close(means, torch.full_like(means, share))
        for row, members in zip(
            figures[..., inside].flatten(0, 1), top[..., inside].flatten(0, 1), strict=True
        ):
            # Who is wholly inside ranks above who is partly inside, and equal figures are alike.
            order = row.argsort(stable=True)
            assert bool((members[order].diff() >= -1e-6).all())
            assert bool((members[order].diff()[row[order].diff() == 0].abs() < 1e-6).all())
    assert 0 <= float(top.min()) <= float(top.max()) <= 1


def test_only_the_order_within_a_stratum_counts():
    figures, strata = draw(3, levels=10**6)
    ranks = StratumRanks.of(figures, strata)
    moved = StratumRanks.of((figures.sign() * figures.abs().sqrt()) + 100 * strata, strata)
    assert torch.equal(ranks.percentiles(), moved.percentiles())
    shuffled = torch.randperm(len(strata), generator=torch.Generator().manual_seed(0))
    again = StratumRanks.of(figures[..., shuffled], strata[shuffled])
    assert torch.equal(again.percentiles(), ranks.percentiles()[..., shuffled])


def test_zeros_of_both_signs_are_tied():
    ranks = StratumRanks.of(torch.tensor([[-0.0, 0.0, -1e-30, 1e-30]]), torch.zeros(4).long())
    assert ranks.below.tolist() == [[1, 1, 0, 3]]
    assert ranks.tied.tolist() == [[2, 2, 1, 1]]


def test_means_of_strata():
    figures, strata = draw(7)
    means = stratum_means(figures, strata)
    for place, stratum in enumerate(strata):
        torch.testing.assert_close(means[..., place], figures[..., strata == stratum].mean(-1))


def test_what_cannot_be_ranked_is_refused():
    figures, strata = draw(0)
    with pytest.raises(UsageError, match="at least one pair"):
        StratumRanks.of(figures[..., :0], strata[:0])
    with pytest.raises(UsageError):
        StratumRanks.of(figures, strata - 1)
    with pytest.raises(NonFiniteError):
        StratumRanks.of(figures.clone().fill_(float("nan")), strata)
    with pytest.raises(UsageError, match="share"):
        StratumRanks.of(figures, strata).top(1.0)
