import jaxtyping
import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from probes.errors import UsageError
from probes.similarity import CrossMoments, closed_form_r2, closed_form_r2_from_moments


def draw(seed=0):
    """Heads [2, 3], 61 occurrences, d_key 4, d_value 6; the means are large beside the spread."""
    random = torch.Generator().manual_seed(seed)
    scale = torch.tensor([3.0, 1.0, 0.3, 0.1], dtype=torch.float64)
    keys = 200 + scale * torch.randn(2, 3, 61, 4, generator=random, dtype=torch.float64)
    maps = torch.randn(2, 3, 4, 6, generator=random, dtype=torch.float64)
    return keys, keys @ maps + torch.randn(2, 3, 61, 6, generator=random, dtype=torch.float64)


def test_equals_scikit_learn():
    keys, values = draw()
    keys[..., 3] = keys[..., 0] - keys[..., 1]  # a direction that is not there
    found = closed_form_r2(keys, values)
    assert found.shape == (2, 3)
    for head in np.ndindex(2, 3):
        k, v = keys[head].numpy(), values[head].numpy()
        model = LinearRegression().fit(k, v)
        residual = np.trace(np.cov((v - model.predict(k)).T))
        assert float(found[head]) == pytest.approx(1 - residual / np.trace(np.cov(v.T)))


def test_constructed_cases():
    keys, values = draw()
    assert closed_form_r2(torch.ones_like(keys), values).tolist() == [[0.0] * 3] * 2
    assert bool(closed_form_r2(keys, torch.ones_like(values)).isnan().all())
    random = torch.Generator().manual_seed(1)
    linear = keys.float() @ torch.randn(4, 5, generator=random)
    torch.testing.assert_close(
        closed_form_r2(keys.float(), linear), torch.ones(2, 3).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("cuts", [[61], [1] * 61, [20, 1, 40], [3, 58]])
def test_streamed_moments_give_the_same(cuts):
    keys, values = draw()
    whole = closed_form_r2(keys, values)
    blocks = zip(keys.split(cuts, 2), values.split(cuts, 2), strict=True)
    moments = None
    for k, v in blocks:
        block = CrossMoments.of(k, v)
        moments = block if moments is None else moments.merge(block)
    assert moments.count == 61
    torch.testing.assert_close(closed_form_r2_from_moments(moments), whole, atol=1e-10, rtol=0)
    exact = CrossMoments.of(keys, values)
    for name in ("key_mean", "value_mean", "key_key", "key_value", "value_value"):
        torch.testing.assert_close(getattr(moments, name), getattr(exact, name))


def test_moments_equal_numpy():
    keys, values = draw()
    moments = CrossMoments.of(keys.float(), values.float())
    for head in np.ndindex(2, 3):
        both = np.concatenate([keys[head].float().numpy(), values[head].float().numpy()], 1)
        expected = 60 * np.cov(both.astype(np.float64).T)
        np.testing.assert_allclose(moments.key_key[head], expected[:4, :4])
        np.testing.assert_allclose(moments.key_value[head], expected[:4, 4:])
        np.testing.assert_allclose(moments.value_value[head], expected[4:, 4:])


def test_refuses(monkeypatch: pytest.MonkeyPatch):
    keys, values = draw()
    with pytest.raises(UsageError, match="of the same heads"):
        CrossMoments.of(keys, values).merge(CrossMoments.of(keys[:1], values[:1]))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="all axes but the last"):
        closed_form_r2(keys, values[:, :2])
