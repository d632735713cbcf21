import numpy as np
import pytest
import scipy.spatial.distance
import torch

from probes.errors import NonFiniteError, UsageError
from probes.similarity import pair_cosines, pair_distances


@pytest.mark.parametrize("budget", [1, 700, 16 * 2**20])
def test_pairs_equal_scipy(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    monkeypatch.setattr("probes.similarity.pairs._BYTES", budget)
    random = torch.Generator().manual_seed(0)
    coordinates = torch.randn(6, 7, 5, generator=random, dtype=torch.float64)
    left, right = torch.randint(7, (2, 13), generator=random)
    cosines, distances = (f(coordinates, left, right) for f in (pair_cosines, pair_distances))
    assert cosines.shape == distances.shape == (6, 13)
    for index in np.ndindex(6, 13):
        x = coordinates[index[0]][left[index[1]]].numpy()
        y = coordinates[index[0]][right[index[1]]].numpy()
        assert float(cosines[index]) == pytest.approx(1 - scipy.spatial.distance.cosine(x, y))
        assert float(distances[index]) == pytest.approx(scipy.spatial.distance.euclidean(x, y))


def test_cosines_of_extreme_lengths() -> None:
    x = torch.tensor([[1.0, 2.0], [1e-30, 2e-30], [-3e30, -6e30], [2.0, -1.0], [0.0, 0.0]])
    start = torch.zeros(5, dtype=torch.int64)
    cosines = pair_cosines(x, start, torch.arange(5))
    assert cosines[:3].tolist() == pytest.approx([1, 1, -1], abs=1e-6)
    assert float(cosines[3]) == pytest.approx(0, abs=1e-6)
    assert bool(cosines[4].isnan())
    assert float(cosines[:4].abs().max()) <= 1
    assert pair_distances(x, torch.tensor([4]), torch.tensor([3])).tolist() == [
        pytest.approx(5**0.5)
    ]


def test_no_pairs_is_an_empty_answer() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert pair_cosines(torch.ones(3, 4, 5), none, none).shape == (3, 0)


@pytest.mark.parametrize("measure", [pair_cosines, pair_distances])
def test_pairs_refuse(measure) -> None:
    coordinates, left = torch.ones(2, 4, 3), torch.tensor([0, 1])
    with pytest.raises(UsageError, match=r"cache \[batch, position, head, d\]"):
        measure(coordinates[None], left, left)
    with pytest.raises(UsageError, match=r"right holds indices from -1"):
        measure(coordinates, left, torch.tensor([-1, 2]))
    with pytest.raises(UsageError, match=r"0\.\.3"):
        measure(coordinates, left, torch.tensor([0, 4]))
    with pytest.raises(NonFiniteError, match="24 of the 24"):
        measure(coordinates / 0, left, left)
    with pytest.raises(UsageError, match="d above 0"):
        measure(coordinates[..., :0], left, left)
    with pytest.raises(UsageError, match="left has shape"):
        measure.__wrapped__(coordinates, left, torch.tensor([2]))
