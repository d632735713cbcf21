import pytest
import torch
from scipy.spatial.distance import cdist

from probes.errors import NonFiniteError, UsageError
from probes.similarity import word_cosines, word_distances


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_are_means_over_templates(dtype):
    generator = torch.Generator().manual_seed(0)
    coordinates = torch.randn(23, 4, generator=generator, dtype=torch.float64).to(dtype)
    rows = torch.randperm(23, generator=generator)[:15].reshape(5, 3)
    for function, metric in ((word_cosines, "cosine"), (word_distances, "euclidean")):
        expected = sum(cdist(coordinates[row], coordinates[row], metric) for row in rows.T) / 3
        expected = torch.from_numpy(1 - expected if metric == "cosine" else expected).to(dtype)
        torch.testing.assert_close(function(coordinates, rows), expected, atol=1e-3, rtol=0)


def test_tiny_vectors_have_a_direction():
    coordinates = torch.tensor([[1e-30, 0], [1e-30, 1e-30]])
    cosines = word_cosines(coordinates, torch.tensor([[0], [1]]))
    assert float(cosines[0, 1]) == pytest.approx(0.5**0.5)


def test_matrices_refuse():
    coordinates = torch.randn(4, 2)
    with pytest.raises(UsageError, match=r"0\.\.3"):
        word_cosines(coordinates, torch.tensor([[4]]))
    with pytest.raises(UsageError, match="words in at least 1 template"):
        word_distances(coordinates, torch.zeros(0, 1, dtype=torch.int64))
    with pytest.raises(NonFiniteError, match="coordinates"):
        word_distances(coordinates / 0, torch.tensor([[0]]))
