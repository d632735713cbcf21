import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity import dissociation_ratio


def _membership(values: list[float], mass: float) -> list[float]:
    """How much of each observation belongs to the set of the smallest with this mass."""
    members = [0.0] * len(values)
    for level in sorted(set(values)):
        tie = [i for i, value in enumerate(values) if value == level]
        for i in tie:
            members[i] = min(1.0, max(0.0, mass / len(tie)))
        mass -= len(tie)
    return members


def _expanded(key: list[float], value: list[float], weights: list[int], top: float) -> float:
    """The definition, pair by pair, on the data with each pair copied as often as it weighs."""
    copies = [i for i, weight in enumerate(weights) for _ in range(weight)]
    best = _membership([-key[i] for i in copies], top * len(copies))
    lower = _membership([value[i] for i in copies], len(copies) / 2)
    both = sum(x * y for x, y in zip(best, lower, strict=True))
    return both / (top * len(copies)) / 0.5


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([2, 4, 10**6]),
    top=st.sampled_from([0.01, 0.05, 0.3, 0.5, 0.9]),
)
def test_weights_are_copies(seed: int, levels: int, top: float) -> None:
    random = torch.Generator().manual_seed(seed)
    key, value = torch.randint(levels, (2, 3, 2, 17), generator=random).double()
    weights = torch.randint(4, (5, 17), generator=random)
    weights[:, 0] = 1
    ratio = dissociation_ratio(key, value, top=top, weights=weights.float())
    assert ratio.shape == (5, 3, 2)
    for resample in range(5):
        for head in [(0, 0), (2, 1), (1, 0)]:
            expected = _expanded(
                key[head].tolist(), value[head].tolist(), weights[resample].tolist(), top
            )
            assert float(ratio[resample][head]) == pytest.approx(expected, abs=1e-9)
    plain = dissociation_ratio(key, value, top=top)
    expected = _expanded(key[2, 1].tolist(), value[2, 1].tolist(), [1] * 17, top)
    assert float(plain[2, 1]) == pytest.approx(expected, abs=1e-9)


def test_values_of_constructed_cases() -> None:
    random = torch.Generator().manual_seed(0)
    key = torch.randn(2, 40_001, generator=random)
    assert dissociation_ratio(key, key, top=0.05).tolist() == [0, 0]
    assert dissociation_ratio(key, -key, top=0.05).tolist() == pytest.approx([2, 2])
    independent = torch.randn(2, 40_001, generator=random)
    assert dissociation_ratio(key, independent, top=0.1).tolist() == pytest.approx([1, 1], abs=0.06)
    same = torch.ones_like(key)
    assert dissociation_ratio(same, key, top=0.01).tolist() == pytest.approx([1, 1], abs=1e-9)
    assert dissociation_ratio(key, same, top=0.01).tolist() == pytest.approx([1, 1], abs=1e-9)


def test_invariances() -> None:
    random = torch.Generator().manual_seed(1)
    key = torch.randn(3, 50, generator=random, dtype=torch.float64)
    value = key + torch.randn(3, 50, generator=random, dtype=torch.float64)
    weights = torch.rand(4, 50, generator=random, dtype=torch.float64)
    ratio = dissociation_ratio(key, value, top=0.1, weights=weights)
    order = torch.randperm(50, generator=random)
    again = dissociation_ratio(
        key[:, order].exp(), value[:, order] ** 3, top=0.1, weights=7 * weights[:, order]
    )
    torch.testing.assert_close(again, ratio)
    assert float((ratio - dissociation_ratio(key, value, top=0.1)).abs().max()) > 0.01


def test_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    key = torch.rand(2, 5)
    for top in (0.0, 1.0, -1.0):
        with pytest.raises(UsageError, match="top is"):
            dissociation_ratio(key, key, top=top)
    broken = key.clone()
    broken[1, 3] = float("nan")
    with pytest.raises(NonFiniteError, match="1 of the 10"):
        dissociation_ratio(key, broken, top=0.1)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="keys' pair figures has shape"):
        dissociation_ratio(key, key[:, 1:], top=0.1)
