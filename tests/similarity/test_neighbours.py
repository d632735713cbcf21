import jaxtyping
import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from probes.errors import NonFiniteError, UsageError
from probes.similarity import find_neighbours, mutual_neighbours, neighbour_distance_ratio


def draw(n_words=37, n_templates=3, d=5, seed=0):
    """Heads [2, 4]; occurrences in no order, one of them in no row; each template elsewhere."""
    random = torch.Generator().manual_seed(seed)
    count = n_words * n_templates + 1
    rows = torch.randperm(count, generator=random)[:-1].reshape(n_words, n_templates)
    coordinates = torch.randn(2, 4, count, d, generator=random, dtype=torch.float64)
    template = 30 * torch.randn(n_templates, d, generator=random, dtype=torch.float64)
    coordinates[..., rows.flatten(), :] += template.repeat(n_words, 1)
    return coordinates, rows


def all_distances(coordinates: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
    """One head's distances of all words, mean over templates."""
    x = coordinates.numpy()
    return np.mean([pairwise_distances(x[template]) for template in rows.T.numpy()], axis=0)


def near(distances: np.ndarray, size: int) -> np.ndarray:
    model = NearestNeighbors(n_neighbors=size, metric="precomputed").fit(distances)
    return model.kneighbors(return_distance=False)


@pytest.mark.parametrize("block", [1, 5, 37, 128])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_neighbours_equal_scikit_learn(monkeypatch: pytest.MonkeyPatch, block, dtype):
    monkeypatch.setattr("probes.similarity.neighbours._BLOCK", block)
    coordinates, rows = draw()
    found = find_neighbours(coordinates.to(dtype), rows, count=6)
    assert found.nearest.shape == (2, 4, 37, 6)
    for head in np.ndindex(2, 4):
        distances = all_distances(coordinates[head], rows)
        assert found.nearest[head].tolist() == near(distances, 6).tolist()
        np.testing.assert_allclose(
            found.mean_distance[head],
            distances.sum(0) / 36,
            rtol=1e-10 if dtype is torch.float64 else 1e-5,
        )


@pytest.mark.parametrize("budget", [1, 10**6])
def test_measures_equal_a_loop_over_words(monkeypatch: pytest.MonkeyPatch, budget):
    monkeypatch.setattr("probes.similarity.neighbours._BYTES", budget)
    key_coordinates, rows = draw()
    value_coordinates, _ = draw(d=7, seed=1)
    value_coordinates[..., :5] += 2 * key_coordinates
    keys, values = (find_neighbours(x, rows, count=9) for x in (key_coordinates, value_coordinates))
    sizes = (2, 9)
    overlap = mutual_neighbours(keys, values, sizes=sizes)
    ratio = neighbour_distance_ratio(keys, values, sizes=sizes)
    reverse = neighbour_distance_ratio(values, keys, sizes=sizes)
    assert overlap.shape == ratio.shape == reverse.shape == (2, 4, 2, 37)
    for head in np.ndindex(2, 4):
        d_k, d_v = (all_distances(x[head], rows) for x in (key_coordinates, value_coordinates))
        for place, size in enumerate(sizes):
            of_key, of_value = near(d_k, size), near(d_v, size)
            for word in range(37):
                share = len({*of_key[word]} & {*of_value[word]}) / size
                expected = (share - size / 36) / (1 - size / 36)
                assert float(overlap[head][place, word]) == pytest.approx(expected, abs=1e-6)
                mean = d_v[word, of_key[word]].mean() / (d_v.sum() / 37 / 36)
                assert float(ratio[head][place, word]) == pytest.approx(mean)
                mean = d_k[word, of_value[word]].mean() / (d_k.sum() / 37 / 36)
                assert float(reverse[head][place, word]) == pytest.approx(mean)
    own = neighbour_distance_ratio(values, values, sizes=sizes)
    assert bool((own <= ratio + 1e-12).all())


def test_rolled_heads_are_mismatched_heads():
    coordinates, rows = draw()
    keys, values = (find_neighbours(x, rows, count=4) for x in (coordinates, coordinates**2))
    rolled = find_neighbours((coordinates**2).roll(1, dims=1), rows, count=4)
    for measure in (mutual_neighbours, neighbour_distance_ratio):
        torch.testing.assert_close(
            measure(keys, values.roll(1), sizes=(4,)), measure(keys, rolled, sizes=(4,))
        )
    assert not torch.equal(values.roll(1).nearest, values.nearest)


def test_a_common_vector_costs_no_digits():
    """Raw keys have a mean ten times their spread."""
    coordinates, rows = draw()
    shifted = coordinates.float() + 300
    exact = find_neighbours(shifted.double(), rows)
    found = find_neighbours(shifted, rows)
    assert float((found.nearest == exact.nearest).float().mean()) > 0.999
    torch.testing.assert_close(found.mean_distance.double(), exact.mean_distance, rtol=1e-5, atol=0)


def test_all_others_as_neighbours_say_nothing():
    coordinates, rows = draw(n_words=7)
    keys = find_neighbours(coordinates, rows, count=6)
    assert mutual_neighbours(keys, keys.roll(1), sizes=(6,)).abs().max() == 0
    ratio = neighbour_distance_ratio(keys, keys.roll(1), sizes=(6,))
    torch.testing.assert_close(ratio.mean(-1), torch.ones(2, 4, 1).double())


def test_refuses(monkeypatch: pytest.MonkeyPatch):
    coordinates, rows = draw()
    with pytest.raises(UsageError, match="37 neighbours of each word asked for, among 37 words"):
        find_neighbours(coordinates, rows, count=37)
    with pytest.raises(UsageError, match="rows holds indices"):
        find_neighbours(coordinates, rows + 5)
    with pytest.raises(NonFiniteError, match="the coordinates"):
        find_neighbours(coordinates / 0, rows)
    found = find_neighbours(coordinates, rows, count=4)
    with pytest.raises(UsageError, match="4 neighbours were found"):
        mutual_neighbours(found, found)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    other = find_neighbours(coordinates[:1], rows, count=4)
    with pytest.raises(UsageError, match="must be the same"):
        neighbour_distance_ratio(found, other, sizes=(4,))
