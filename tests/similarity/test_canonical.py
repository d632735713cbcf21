import jaxtyping
import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.cross_decomposition import CCA

from probes.errors import UsageError
from probes.similarity import (
    CrossMoments,
    canonical_correlations,
    held_out_canonical_correlations,
    mean_squared_correlation,
)
from probes.similarity.canonical import canonical_correlations_from_moments
from probes.stats import word_folds


def draw(count=90, d_key=4, d_value=6, seed=0):
    """Heads [2, 3]; two directions go together, the others do not; far from the origin."""
    random = torch.Generator().manual_seed(seed)
    keys = torch.randn(2, 3, count, d_key, generator=random, dtype=torch.float64)
    values = torch.randn(2, 3, count, d_value, generator=random, dtype=torch.float64)
    values[..., :2] += torch.tensor([2.0, 1.0]) * keys[..., :2]
    stretch = torch.logspace(0, 4, d_key, dtype=torch.float64)
    return 100 + keys * stretch, values @ torch.randn(d_value, d_value, generator=random).double()


def correlate_bases(k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Björck and Golub: singular values of the product of orthonormal bases, from SVDs."""
    bases = [scipy.linalg.orth(x - x.mean(0), rcond=1e-12) for x in (k, v)]
    return scipy.linalg.svdvals(bases[0].T @ bases[1])


def test_equals_bases_of_the_data():
    keys, values = draw()
    keys[1, 2, :, 3] = keys[1, 2, :, 0] - keys[1, 2, :, 2]  # one direction fewer
    found = canonical_correlations(keys, values)
    assert found.shape == (2, 3, 4)
    for head in np.ndindex(2, 3):
        expected = correlate_bases(keys[head].numpy(), values[head].numpy())
        rank = 3 if head == (1, 2) else 4
        assert len(expected) == rank
        np.testing.assert_allclose(found[head][:rank], expected, atol=1e-8)
        assert bool(found[head][rank:].isnan().all())
    mean = mean_squared_correlation(found)
    assert float(mean[1, 2]) == pytest.approx(float(found[1, 2, :3].square().mean()))


def test_equals_scikit_learn():
    keys, values = draw()
    found = canonical_correlations(keys, values)
    for head in [(0, 0), (1, 2)]:
        model = CCA(n_components=4, max_iter=20_000, tol=1e-14)
        left, right = model.fit_transform(keys[head].numpy(), values[head].numpy())
        expected = [np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(4)]
        np.testing.assert_allclose(found[head], expected, atol=1e-6)


def test_moments_suffice():
    keys, values = draw()
    moments = CrossMoments.of(keys[..., :31, :], values[..., :31, :]).merge(
        CrossMoments.of(keys[..., 31:, :], values[..., 31:, :])
    )
    torch.testing.assert_close(
        canonical_correlations_from_moments(moments), canonical_correlations(keys, values)
    )


def test_held_out_equals_a_loop():
    keys, values = draw()
    words = torch.arange(90) % 31
    found = held_out_canonical_correlations(keys, values, words=words, folds=4, seed=3)
    fold = word_folds(words, 4, 3).numpy()
    for head in np.ndindex(2, 3):
        k, v = keys[head].numpy(), values[head].numpy()
        sums = np.zeros((3, 4))
        for f in range(4):
            # The generalised eigenvalue form, whose vectors are the canonical axes.
            train, test = fold != f, fold == f
            scatter = np.cov(np.concatenate([k[train], v[train]], 1).T)
            kk, kv, vv = scatter[:4, :4], scatter[:4, 4:], scatter[4:, 4:]
            squares, axes = scipy.linalg.eigh(kv @ np.linalg.solve(vv, kv.T), kk)
            axes = axes[:, np.argsort(-squares)]
            others = np.linalg.solve(vv, kv.T @ axes)
            left, right = k[test] @ axes, v[test] @ others
            # Only the ratio of the sums matters, so an axis' length must be the same in all folds.
            left = left / np.sqrt(np.diag(axes.T @ kk @ axes))
            right = right / np.sqrt(np.diag(others.T @ vv @ others))
            left, right = left - left.mean(0), right - right.mean(0)
            n = train.sum() - 1  # the whitened axes have length 1 in the scatter, not the variance
            sums += np.stack([(left * right).sum(0), (left**2).sum(0), (right**2).sum(0)]) / n
        np.testing.assert_allclose(found[head], sums[0] / np.sqrt(sums[1] * sums[2]), atol=1e-7)


def test_held_out_does_not_find_what_is_not_there():
    random = torch.Generator().manual_seed(1)
    keys = torch.randn(8, 300, 30, generator=random)
    values = torch.randn(8, 300, 40, generator=random)
    words = torch.arange(300)
    in_sample = mean_squared_correlation(canonical_correlations(keys, values))
    held_out = mean_squared_correlation(held_out_canonical_correlations(keys, values, words=words))
    assert float(in_sample.mean()) == pytest.approx(40 / 299, abs=0.01)
    assert float(held_out.mean()) < 0.01
    # A word's own vector is no help on other words.
    of_word = torch.arange(300) % 100
    own = torch.randn(2, 8, 100, 30, generator=random)[:, :, of_word]
    assert float(mean_squared_correlation(canonical_correlations(*own)).mean()) > 0.25
    assert float(
        mean_squared_correlation(held_out_canonical_correlations(*own, words=of_word)).mean()
    ) < (0.03)


def test_refuses(monkeypatch: pytest.MonkeyPatch):
    keys, values = draw()
    with pytest.raises(UsageError, match="10 occurrences are too few"):
        canonical_correlations(keys[..., :10, :], values[..., :10, :])
    few = (keys[..., :14, :], values[..., :14, :])
    canonical_correlations(*few)
    with pytest.raises(UsageError, match="more than 10 are needed"):
        held_out_canonical_correlations(*few, words=torch.arange(14), folds=3)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="one word number per"):
        held_out_canonical_correlations(keys, values, words=torch.arange(89))
    with pytest.raises(UsageError, match="all axes but the last"):
        canonical_correlations(keys, values[:, 1:])
