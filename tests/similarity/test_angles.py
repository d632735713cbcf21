import jaxtyping
import numpy as np
import pytest
import scipy.linalg
import torch

from probes.errors import NonFiniteError, UsageError
from probes.similarity import principal_angles


def test_equals_scipy():
    random = torch.Generator().manual_seed(0)
    key = torch.randn(2, 3, 4, 19, generator=random, dtype=torch.float64)
    value = torch.randn(2, 3, 6, 19, generator=random, dtype=torch.float64)
    value[..., :2, :] += 2 * key[..., :2, :]
    key[1, 1, 3] = key[1, 1, 0] + key[1, 1, 2]  # one direction fewer
    found = principal_angles(key, value)
    assert found.cosines.shape == (2, 3, 4)
    for head in np.ndindex(2, 3):
        rank = 3 if head == (1, 1) else 4
        bases = [scipy.linalg.orth(weights[head].numpy().T) for weights in (key, value)]
        expected = np.sort(np.cos(scipy.linalg.subspace_angles(*bases)))[::-1]
        assert len(expected) == rank
        np.testing.assert_allclose(found.cosines[head][:rank], expected, atol=1e-9)
        assert bool(found.cosines[head][rank:].isnan().all())
        assert float(found.mean_squared_cosine[head]) == pytest.approx((expected**2).mean())


@pytest.mark.parametrize(("d_key", "d_value", "d_input"), [(5, 5, 32), (3, 7, 16), (1, 2, 9)])
def test_chance_is_that_of_random_subspaces(d_key, d_value, d_input):
    random = torch.Generator().manual_seed(1)
    n = 4000
    found = principal_angles(
        torch.randn(n, d_key, d_input, generator=random, dtype=torch.float64),
        torch.randn(n, d_value, d_input, generator=random, dtype=torch.float64),
    )
    assert found.chance[0].item() == pytest.approx(max(d_key, d_value) / d_input)
    effect = found.standardised
    assert float(effect.mean()) == pytest.approx(0, abs=4 / n**0.5)
    assert float(effect.std()) == pytest.approx(1, abs=0.06)


def test_constructed_cases():
    eye = torch.eye(8, dtype=torch.float32)
    same = principal_angles(eye[None, :3], eye[None, :5])  # the narrower is within
    assert same.mean_squared_cosine.tolist() == pytest.approx([1])
    apart = principal_angles(eye[None, :3], eye[None, 3:8])
    assert apart.mean_squared_cosine.tolist() == pytest.approx([0])
    assert apart.chance.tolist() == pytest.approx([5 / 8])
    whole = principal_angles(eye[None], eye[None, :3])
    assert bool(whole.standardised.isnan().all())
    assert bool(principal_angles(0 * eye[None, :3], eye[None, :3]).mean_squared_cosine.isnan())


def test_half_precision_weights_keep_their_rank():
    random = torch.Generator().manual_seed(2)
    key, value = torch.randn(2, 3, 16, 64, generator=random).bfloat16()
    found = principal_angles(key, value)
    assert not bool(found.cosines.isnan().any())
    torch.testing.assert_close(
        found.cosines, principal_angles(key.double(), value.double()).cosines
    )


def test_refuses(monkeypatch: pytest.MonkeyPatch):
    weights = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(3))
    with pytest.raises(NonFiniteError, match="W_V"):
        principal_angles(weights, weights / 0)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for other in (weights[:1], weights[..., :8]):
        with pytest.raises(UsageError, match="the same input"):
            principal_angles(weights, other)
