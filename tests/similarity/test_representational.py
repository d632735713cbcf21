import jaxtyping
import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, compare

from probes.errors import NonFiniteError, UsageError
from probes.similarity import pair_distances, representational_similarity


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 10**6]))
def test_weights_are_copies_for_scipy(seed: int, levels: int) -> None:
    random = torch.Generator().manual_seed(seed)
    key, value = torch.randint(levels, (2, 3, 2, 19), generator=random).double()
    value = value + key
    weights = torch.randint(4, (5, 19), generator=random)
    weights[:, :6] = 1
    key[..., 0], value[..., 0] = -1, -1  # never all equal
    similarity = representational_similarity(key, value, weights=weights.float())
    plain = representational_similarity(key, value)
    assert similarity.shape == (5, 3, 2)
    for head in np.ndindex(3, 2):
        x, y = key[head].numpy(), value[head].numpy()
        assert float(plain[head]) == pytest.approx(scipy.stats.spearmanr(x, y)[0], abs=1e-9)
        for resample, copies in enumerate(weights.numpy()):
            expected = scipy.stats.spearmanr(x.repeat(copies), y.repeat(copies))[0]
            assert float(similarity[resample][head]) == pytest.approx(expected, abs=1e-9)


def test_values_and_invariances() -> None:
    random = torch.Generator().manual_seed(0)
    key = torch.rand(2, 300, generator=random, dtype=torch.float64)
    value = key + torch.rand(2, 300, generator=random, dtype=torch.float64)
    assert representational_similarity(key, key.exp()).tolist() == pytest.approx([1, 1])
    assert representational_similarity(key, -key).tolist() == pytest.approx([-1, -1])
    found = representational_similarity(key, value)
    order = torch.randperm(300, generator=random)
    torch.testing.assert_close(
        representational_similarity(value[:, order].log(), key[:, order]), found
    )
    assert 0.5 < float(found[0]) < 0.9
    constant = torch.ones(1, 4)
    assert bool(representational_similarity(constant, torch.rand(1, 4)).isnan().all())


def test_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NonFiniteError, match="values' pair figures"):
        representational_similarity(torch.rand(2, 5), torch.rand(2, 5) / 0)
    with pytest.raises(UsageError, match="1 of 1 resamples"):
        representational_similarity(torch.rand(5), torch.rand(5), weights=torch.zeros(1, 5))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="keys' pair figures has shape"):
        representational_similarity(torch.rand(2, 5), torch.rand(3, 5))


def test_equals_rsatoolbox() -> None:
    random = torch.Generator().manual_seed(3)
    keys = torch.randn(3, 14, 5, generator=random, dtype=torch.float64)
    values = torch.randn(3, 14, 7, generator=random, dtype=torch.float64)
    values[..., :5] += keys
    left, right = torch.triu_indices(14, 14, offset=1)
    found = representational_similarity(
        pair_distances(keys, left, right), pair_distances(values, left, right)
    )
    for head in range(3):
        # Its distances are squared and divided by the width; ranks do not mind.
        rdms = [
            calc_rdm(Dataset(side[head].numpy()), method="euclidean") for side in (keys, values)
        ]
        expected = compare(*rdms, method="spearman")[0, 0]
        assert float(found[head]) == pytest.approx(expected, abs=1e-9)
