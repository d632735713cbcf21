import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from probes.stats.ridge import FoldMoments, RidgeFit


def test_errors_from_moments_equal_scikit_learn() -> None:
    random = torch.Generator().manual_seed(0)
    keys = torch.randn(2, 40, 3, generator=random, dtype=torch.float64) + 2
    values = keys @ torch.randn(2, 3, 5, generator=random, dtype=torch.float64) - 1
    values = values + torch.randn(2, 40, 5, generator=random, dtype=torch.float64)
    fold = torch.randint(3, (40,), generator=random)
    keys[:, fold == 1] += 3  # folds that differ in their means
    penalties = torch.tensor([0.1, 2.0], dtype=torch.float64)
    moments = FoldMoments.of(keys, values, fold, 3)
    fit = RidgeFit.of(moments, [0, 2], penalties)
    found = fit.error(moments, 1)
    assert found.shape == (2, 2)
    train, test = (fold != 1).numpy(), (fold == 1).numpy()
    choice = torch.tensor([1, 0])
    residual = fit.residual(keys[:, test], values[:, test], choice)
    for row, penalty in np.ndindex(2, 2):
        k, v = keys[row].numpy(), values[row].numpy()
        centred = k[train] - k[train].mean(0)
        alpha = float(penalties[penalty]) * np.trace(centred.T @ centred) / 3
        expected = v[test] - Ridge(alpha=alpha).fit(k[train], v[train]).predict(k[test])
        assert float(found[row, penalty]) == pytest.approx((expected**2).sum())
        if int(choice[row]) == penalty:
            torch.testing.assert_close(residual[row], torch.from_numpy(expected))


def test_keys_that_never_vary_predict_the_mean() -> None:
    values = torch.randn(1, 6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fold = torch.tensor([0, 0, 0, 1, 1, 1])
    moments = FoldMoments.of(torch.ones_like(values), values, fold, 2)
    fit = RidgeFit.of(moments, [0], torch.ones(1, dtype=torch.float64))
    expected = (values[:, 3:] - values[:, :3].mean(1)).square().sum()
    assert float(fit.error(moments, 1)) == pytest.approx(float(expected))
