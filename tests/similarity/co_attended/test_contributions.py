"""Contributions add up to the statistics, and say how these change when a unit counts more."""

import pytest
import torch

from probes.errors import UsageError
from probes.similarity.co_attended.choose import choose_elsewhere
from probes.similarity.co_attended.contributions import (
    SELECTIONS,
    Contributions,
    contribute,
    mean_over_groups,
    mean_over_heads,
)
from probes.similarity.co_attended.figures import STATISTICS, PairFigures, find_range
from probes.similarity.co_attended.reference import reference_parts
from probes.similarity.spaces import to_space
from probes.stats.clusters import RatioEstimate

KV_HEADS, GROUP, PLACES, WIDTH, PAIRS = 2, 3, 40, 6, 300


def draw_figures(seed=0, *, pairs=PAIRS):
    random = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, KV_HEADS, PLACES, WIDTH, generator=random)
    left = torch.randint(PLACES, (pairs,), generator=random)
    right = (left + torch.randint(1, PLACES, (pairs,), generator=random)) % PLACES
    return keys, values, left, right


def draw_ranked(seed=0, *, pairs=PAIRS, strata=3):
    random = torch.Generator().manual_seed(seed + 99)
    stratum = torch.randint(strata, (pairs,), generator=random)
    choice = (torch.rand(KV_HEADS * GROUP, pairs, generator=random) < 0.3).float()
    return PairFigures.of(*draw_figures(seed, pairs=pairs)).rank(stratum), choice


def test_all_pairs_at_once_are_the_same_figures():
    arguments = draw_figures()
    one, other = PairFigures.of(*arguments), PairFigures.of_all(*arguments)
    for name in ("s_k", "s_v", "d_k", "d_v"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=1e-5, rtol=1e-5)


def test_a_change_of_basis_moves_no_statistic():
    """K by M, so S by M^-1 from both sides; V by R, so G likewise."""
    keys, values, left, right = draw_figures()
    keys, values = keys.double(), values.double()
    random = torch.Generator().manual_seed(1)
    strata = torch.zeros(PAIRS, dtype=torch.long)
    found = []
    root, other = torch.randn(2, KV_HEADS, WIDTH, WIDTH, generator=random, dtype=torch.float64)
    metrics = [root @ root.mT, other @ other.mT]
    bases = torch.randn(2, KV_HEADS, WIDTH, WIDTH, generator=random, dtype=torch.float64)
    groups = torch.arange(PLACES) % 2
    for moved in (False, True):
        sides = []
        for vectors, metric, basis in zip((keys, values), metrics, bases, strict=True):
            back = torch.linalg.inv(basis)
            placed, used = (
                (vectors @ basis, back @ metric @ back.mT) if moved else (vectors, metric)
            )
            sides.append(to_space(placed, "functional", metric=used, templates=groups))
        found.append(PairFigures.of(*sides, left, right).rank(strata).statistics)
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_the_statistics_are_means_over_chosen_pairs():
    ranked, choice = draw_ranked()
    chosen = {"own": choice, "mismatched_heads": choose_elsewhere(choice, n_kv_heads=KV_HEADS)}
    found = contribute(ranked, chosen, n_heads=KV_HEADS * GROUP)
    assert found.selections == ("own", "mismatched_heads", "matched")
    ratios = found.ratios()
    statistics = ranked.statistics.double()
    for head in range(KV_HEADS * GROUP):
        own = head // GROUP
        others = choice[[h for h in range(len(choice)) if h // GROUP != own]].sum(0).double()
        for place in range(len(STATISTICS)):
            figure = statistics[place, own]
            mean = (figure * choice[head]).sum() / choice[head].sum()
            assert float(ratios[0, place, head]) == pytest.approx(float(mean), rel=1e-4, abs=1e-4)
            mean = (figure * others).sum() / others.sum()
            assert float(ratios[1, place, head]) == pytest.approx(float(mean), rel=1e-4, abs=1e-4)
            of_stratum = torch.stack([figure[ranked.strata == s].mean() for s in ranked.strata])
            mean = (of_stratum * choice[head]).sum() / choice[head].sum()
            assert float(ratios[2, place, head]) == pytest.approx(float(mean), rel=1e-4, abs=1e-4)
    assert found.count[0, :, 0].tolist() == choice.sum(1).tolist()


def test_units_add_up_to_the_whole():
    ranked, choice = draw_ranked()
    heads = {"n_heads": KV_HEADS * GROUP}
    whole = contribute(ranked, {"own": choice}, **heads)
    unit = torch.arange(PAIRS) % 17
    by_unit = contribute(ranked, {"own": choice}, unit=unit, n_units=17, **heads)
    for name in ("numerator", "denominator", "count"):
        sums = getattr(by_unit, name).sum(-1, keepdim=True)
        torch.testing.assert_close(sums, getattr(whole, name), rtol=1e-4, atol=1e-2)
    larger = by_unit.add_up(torch.arange(17) // 2, 9)
    assert larger.numerator.shape[-1] == 9
    torch.testing.assert_close(larger.ratios(), by_unit.ratios())
    weights = torch.ones(2, 17)
    weights[1, 3] = 0
    resampled = by_unit.ratios(weights)
    torch.testing.assert_close(resampled[0], by_unit.ratios())
    rest = torch.arange(17) != 3
    kept = by_unit.numerator[..., rest].sum(-1) / by_unit.denominator[..., rest].sum(-1)[:, None]
    torch.testing.assert_close(resampled[1], kept)


def test_what_the_reference_owes_is_nothing_in_sum():
    ranked, choice = draw_ranked()
    owed = reference_parts(ranked, choice.unflatten(0, (KV_HEADS, GROUP)))
    assert owed.abs().amax(-1)[STATISTICS.index("key_percentile")].min() > 0.1
    for stratum in ranked.strata.unique():
        sums = owed[..., ranked.strata == stratum].sum(-1)
        assert float(sums.abs().max()) < 1e-3


def test_influence_is_the_derivative_of_the_percentile_with_its_ranks():
    """Weigh one pair more, rank all pairs again with weights, and see how the mean moves."""
    ranked, choice = draw_ranked(pairs=60, strata=2)
    found = contribute(
        ranked,
        {"own": choice},
        n_heads=KV_HEADS * GROUP,
        unit=torch.arange(60),
        n_units=60,
    )
    keys, values, left, right = draw_figures(pairs=60)
    s_k = PairFigures.of(keys, values, left, right).s_k.double()
    influence = RatioEstimate.of(*found.find("own", "key_percentile")).influence

    def weighted_mean(head: int, weight: torch.Tensor) -> float:
        figures = s_k[head // GROUP]
        like = ranked.strata[:, None] == ranked.strata
        above = (figures[:, None] > figures).double() + (figures[:, None] == figures).double() / 2
        percentile = 100 * (above * like * weight).sum(1) / (like * weight).sum(1)
        chosen = choice[head] * weight
        return float((percentile * chosen).sum() / chosen.sum())

    for head in (0, 4):
        for pair in (0, 7, 31):
            ends = []
            for step in (-1e-4, 1e-4):
                weight = torch.ones(60, dtype=torch.float64)
                weight[pair] += step
                ends.append(weighted_mean(head, weight))
            slope = (ends[1] - ends[0]) / 2e-4
            assert float(influence[head, pair]) == pytest.approx(slope, abs=2e-3)


def test_matched_percentiles_do_not_move_at_all():
    ranked, choice = draw_ranked()
    unit = torch.arange(PAIRS)
    found = contribute(ranked, {"own": choice}, n_heads=KV_HEADS * GROUP, unit=unit, n_units=PAIRS)
    for statistic in ("key_percentile", "difference"):
        estimate = RatioEstimate.of(*found.find("matched", statistic))
        assert float(estimate.influence.abs().max()) < 1e-6


def test_a_statistic_has_the_range_it_is_said_to_have():
    ranked, _ = draw_ranked()
    for statistic, figure in zip(STATISTICS, ranked.statistics, strict=True):
        low, high = find_range(statistic)
        assert low <= float(figure.min()) <= float(figure.max()) <= high + 1e-5
    assert find_range("value_lift_5%") == (0.0, 20.0)
    assert find_range("key_gap") == (0.0, float("inf"))


def test_parts_are_joined_by_units_and_by_selections():
    ranked, choice = draw_ranked()
    parts = [
        contribute(ranked, {"own": choice * scale}, n_heads=KV_HEADS * GROUP) for scale in (1, 2)
    ]
    joined = Contributions.join(parts)
    assert joined.denominator.shape == (2, KV_HEADS * GROUP, 2)
    torch.testing.assert_close(joined.numerator[..., 1], parts[1].numerator[..., 0])
    random = contribute(ranked, {"random_heads": choice}, n_heads=KV_HEADS * GROUP)
    merged = Contributions.merge([parts[0], random])
    assert merged.selections == ("own", "matched", "random_heads")
    torch.testing.assert_close(
        merged.find("random_heads", "quadrant")[0], parts[0].find("own", "quadrant")[0]
    )
    with pytest.raises(UsageError, match="same settings"):
        Contributions.join([parts[0], random])
    with pytest.raises(UsageError, match="no contributions"):
        Contributions.join([])
    with pytest.raises(UsageError, match="there is no selection 'ours'"):
        merged.find("ours", "quadrant")
    with pytest.raises(UsageError, match="Did you mean 'key_gap'"):
        merged.find("own", "key_gaps")


def test_means_over_heads_leave_out_those_that_choose_nothing():
    ratios = torch.tensor([[1.0, 2.0, float("nan"), 5.0]])
    assert mean_over_heads(ratios).tolist() == pytest.approx([8 / 3])
    weight = torch.tensor([1.0, 1.0, 100.0, 2.0])
    assert mean_over_heads(ratios, weight).tolist() == pytest.approx([13 / 4])
    assert mean_over_groups(ratios, n_kv_heads=2).tolist() == [[1.5, 5.0]]


def test_what_does_not_fit_is_refused():
    ranked, choice = draw_ranked()
    with pytest.raises(UsageError, match="evenly"):
        contribute(ranked, {"own": choice}, n_heads=5)
    with pytest.raises(UsageError, match="4 heads"):
        contribute(ranked, {"own": choice[:4]}, n_heads=KV_HEADS * GROUP)
    with pytest.raises(UsageError, match="there is no selection"):
        contribute(ranked, {"mine": choice}, n_heads=KV_HEADS * GROUP)
    assert len(SELECTIONS) == 5
