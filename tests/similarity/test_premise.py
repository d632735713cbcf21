import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity import pair_attention, premise_lift
from probes.stats.estimates import PairBootstrap


def _in_top(values: list[float], mass: float) -> list[float]:
    """How much of each entry belongs to the set of the largest with this mass."""
    members = [0.0] * len(values)
    for level in sorted(set(values), reverse=True):
        tie = [i for i, value in enumerate(values) if value == level]
        for i in tie:
            members[i] = min(1.0, max(0.0, mass / len(tie)))
        mass -= len(tie)
    return members


def _expanded(
    similarity: list[float],
    left: list[list[float]],
    right: list[list[float]],
    weights: list[int],
    top: float,
    attended: float,
) -> float:
    """The definition, pair by pair, on the data with each pair copied as often as it weighs."""
    copies = [i for i, weight in enumerate(weights) for _ in range(weight)]
    n = len(copies)
    similar = _in_top([similarity[i] for i in copies], top * n)
    joint = both = 0.0
    for of_left, of_right in zip(left, right, strict=True):
        entries = [of_left[i] for i in copies] + [of_right[i] for i in copies]
        high = _in_top(entries, attended * 2 * n)
        for place in range(n):
            both += high[place] * high[n + place]
            joint += high[place] * high[n + place] * similar[place]
    return joint / both / top if both else float("nan")


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([2, 5, 10**6]),
    top=st.sampled_from([0.05, 0.3, 0.9]),
    attended=st.sampled_from([0.1, 0.5, 0.8]),
)
def test_weights_are_copies(seed: int, levels: int, top: float, attended: float) -> None:
    random = torch.Generator().manual_seed(seed)
    similarity = torch.randint(levels, (3, 2, 15), generator=random).double()
    left, right = torch.randint(levels, (2, 3, 2, 4, 15), generator=random).double()
    weights = torch.randint(5, (5, 15), generator=random)
    weights[:, 0] = 1
    lifts = premise_lift(
        similarity, left, right, tops=(0.5, top), attended=attended, weights=weights.double()
    )
    assert lifts.shape == (5, 3, 2, 2)
    lift = lifts[..., 1]
    single = premise_lift(
        similarity, left, right, tops=(0.5, top), attended=attended, weights=weights.float()
    )
    torch.testing.assert_close(single, lifts, atol=1e-5, rtol=1e-5, equal_nan=True)
    plain = premise_lift(similarity, left, right, tops=(top,), attended=attended)[..., 0]
    for head in [(0, 0), (2, 1), (1, 0)]:
        sides = similarity[head].tolist(), left[head].tolist(), right[head].tolist()
        expected = _expanded(*sides, [1] * 15, top, attended)
        assert float(plain[head]) == pytest.approx(expected, abs=1e-9, nan_ok=True)
        for resample in range(5):
            expected = _expanded(*sides, weights[resample].tolist(), top, attended)
            assert float(lift[resample][head]) == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_share_far_out_in_some_resamples_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """All weight at the far end of the ranking, and blocks smaller than the resamples."""
    monkeypatch.setattr("probes.similarity.premise._RESAMPLES", 2)
    similarity = torch.linspace(1, 0, 40)
    sides = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(5, 40)
    weights[:, 30:] = 1
    weights[3] = 1
    found = premise_lift(similarity, *sides, tops=(0.2,), attended=0.6, weights=weights)
    alone = premise_lift(similarity[30:], *sides[..., 30:], tops=(0.2,), attended=0.6)
    whole = premise_lift(similarity, *sides, tops=(0.2,), attended=0.6)
    expected = torch.stack([alone, alone, alone, whole, alone])
    torch.testing.assert_close(found, expected)
    assert abs(float(whole - alone)) > 0.01


def test_constructed_cases() -> None:
    random = torch.Generator().manual_seed(1)
    similarity = torch.randn(2, 4000, generator=random)
    attended_alike = similarity[:, None]
    lift = premise_lift(similarity, attended_alike, attended_alike, tops=(0.05,), attended=0.05)
    assert lift.tolist() == [pytest.approx([20])] * 2
    lift = premise_lift(similarity, -attended_alike, -attended_alike, tops=(0.05,), attended=0.05)
    assert lift.tolist() == [[0], [0]]
    apart = premise_lift(similarity, attended_alike, -attended_alike, tops=(0.05,), attended=0.05)
    assert bool(apart.isnan().all())  # no pair has two words of high attention
    sides = torch.rand(2, 2, 3, 4000, generator=random)
    lift = premise_lift(similarity, *sides, tops=(0.1,), attended=0.4)
    assert lift.tolist() == [pytest.approx([1], abs=0.12)] * 2
    same = premise_lift(torch.ones(2, 4000), *sides, tops=(0.1,), attended=0.4)
    assert same.tolist() == [pytest.approx([1])] * 2


def test_query_heads_are_pooled_by_pairs_not_by_averaging_attention() -> None:
    """One of two query heads attends to both words of the similar pairs, the other to none."""
    similarity = torch.linspace(1, 0, 10)
    looks = torch.zeros(2, 10)
    looks[0, :2], looks[1, 8:] = 1, 1
    # Head 0 finds the two most similar pairs, head 1 the two least similar ones.
    lift = premise_lift(similarity, looks, looks, tops=(0.2,), attended=0.2)
    assert float(lift) == pytest.approx((1 + 0) / 2 / 0.2)


def test_the_bootstrap_takes_it() -> None:
    random = torch.Generator().manual_seed(2)
    words = torch.randint(20, (2, 60), generator=random)
    words[1] = (words[0] + 1 + words[1] % 19) % 20
    similarity = torch.randn(2, 3, 60, generator=random)
    sides = torch.rand(2, 2, 3, 4, 60, generator=random)

    def measure(*figures: torch.Tensor, **weights: torch.Tensor) -> torch.Tensor:
        return premise_lift(*figures, tops=(0.2,), attended=0.5, **weights)

    bootstrap = PairBootstrap.draw(*words, resamples=9, seed=0)
    estimate = bootstrap.estimate(measure, similarity, *sides)
    assert estimate.observed.shape == (2, 3, 1)
    assert estimate.by_word.shape == (9, 2, 3, 1)


def test_attention_of_pairs() -> None:
    attention = torch.rand(11, 6, generator=torch.Generator().manual_seed(3))
    query = torch.tensor([[0, 5, 10], [1, 1, 2], [9, 8, 7], [4, 4, 4]])
    found = pair_attention(attention, query, n_kv_heads=2)
    assert found.shape == (2, 3, 4)
    for head in range(6):
        for pair in range(4):
            mean = sum(float(attention[q, head]) for q in query[pair]) / 3
            assert float(found[head // 3, head % 3, pair]) == pytest.approx(mean)
    with pytest.raises(UsageError, match="6 query heads cannot share 4"):
        pair_attention(attention, query, n_kv_heads=4)
    with pytest.raises(UsageError, match="query holds indices"):
        pair_attention(attention, query + 1, n_kv_heads=2)


def test_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    similarity, sides = torch.rand(2, 8), torch.rand(2, 2, 3, 8)
    for wrong in ({"tops": (0.1, 0.0), "attended": 0.2}, {"tops": (0.1,), "attended": 1.0}):
        with pytest.raises(UsageError, match="above 0 and below 1"):
            premise_lift(similarity, *sides, **wrong)
    shares = {"tops": (0.1,), "attended": 0.2}
    with pytest.raises(NonFiniteError, match="right_attention"):
        premise_lift(similarity, sides[0], sides[1] / 0, **shares)
    with pytest.raises(UsageError, match="negative"):
        premise_lift(similarity, *sides, **shares, weights=-torch.ones(1, 8))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="expected \\[\\*head, query_head, pair\\]"):
        premise_lift(similarity, *sides[..., 1:], **shares)
    with pytest.raises(UsageError, match="left_attention has shape"):
        premise_lift(similarity, sides[0], sides[1, :, 1:], **shares)
