import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity import divergence_curve


def _expanded(key: list[float], value: list[float], weights: list[int], bins: int) -> list[float]:
    """Cut every copy into `bins` crumbs, so that bins hold whole crumbs, and average the crumbs."""
    copies = [i for i, weight in enumerate(weights) for _ in range(weight)]
    copies.sort(key=lambda i: -key[i])
    gaps = []
    for i in copies:
        tie = [1 - value[j] for j in copies if key[j] == key[i]]
        gaps += [sum(tie) / len(tie)] * bins
    return [sum(gaps[b * len(copies) : (b + 1) * len(copies)]) / len(copies) for b in range(bins)]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([2, 5, 10**6]),
    bins=st.sampled_from([2, 3, 20]),
)
def test_weights_are_copies(seed: int, levels: int, bins: int) -> None:
    random = torch.Generator().manual_seed(seed)
    key = torch.randint(levels, (3, 2, 11), generator=random).double()
    value = torch.rand(3, 2, 11, generator=random, dtype=torch.float64)
    weights = torch.randint(4, (5, 11), generator=random)
    weights[:, 0] = 1
    curve = divergence_curve(key, value, bins=bins, weights=weights.double())
    assert curve.shape == (5, 3, 2, bins)
    for resample, head in [(0, (0, 0)), (4, (2, 1)), (1, (1, 0))]:
        expected = _expanded(
            key[head].tolist(), value[head].tolist(), weights[resample].tolist(), bins
        )
        assert curve[resample][head].tolist() == pytest.approx(expected, abs=1e-9)
    plain = divergence_curve(key, value, bins=bins)
    torch.testing.assert_close(plain.mean(-1), (1 - value).mean(-1))
    expected = _expanded(key[2, 1].tolist(), value[2, 1].tolist(), [1] * 11, bins)
    assert plain[2, 1].tolist() == pytest.approx(expected, abs=1e-9)


def test_values_of_constructed_cases() -> None:
    key = torch.rand(2, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rising = divergence_curve(key, key, bins=4)
    ordered = (1 - key).sort(-1).values.unflatten(-1, (4, 100)).mean(-1)
    torch.testing.assert_close(rising, ordered)
    torch.testing.assert_close(divergence_curve(key.exp(), key, bins=4), rising)
    torch.testing.assert_close(
        divergence_curve(key, -key, bins=4), 2 - divergence_curve(key, key, bins=4)
    )
    flat = divergence_curve(torch.ones_like(key), key, bins=4)
    torch.testing.assert_close(flat, (1 - key).mean(-1, keepdim=True).expand(-1, 4))
    assert divergence_curve(key, key).shape == (2, 20)


def test_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    key = torch.rand(2, 5)
    with pytest.raises(UsageError, match="bins is 1"):
        divergence_curve(key, key, bins=1)
    with pytest.raises(NonFiniteError, match="keys' pair figures"):
        divergence_curve(key / 0, key)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="keys' pair figures has shape"):
        divergence_curve(key, key[:, 1:])
