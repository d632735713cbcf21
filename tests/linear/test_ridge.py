import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from probes.errors import NonFiniteError
from probes.linear.ridge import cross_validate_ridge
from probes.stats import Splits, word_folds

PENALTIES = (1e-3, 0.3, 10.0)


def make_data(*, pairs):
    """Heads [2, 3], d 4, tasks 2 of 5 columns; 70 occurrences of 15 words, or pairs of them."""
    random = torch.Generator().manual_seed(0)
    x = 9 + torch.randn(2, 3, 70, 4, generator=random, dtype=torch.float64)
    noise = torch.tensor([2.0, 20.0])[:, None, None]
    targets = x[0, 0] @ torch.randn(2, 4, 5, generator=random).double()
    targets = targets + noise * torch.randn(2, 70, 5, generator=random)
    words = torch.randint(15, (70, 2) if pairs else (70,), generator=random)
    return x, targets, word_folds(words.reshape(-1), 4, 1).reshape(words.shape)


def predict(x, y, train, test, penalty):
    centred = x[train] - x[train].mean(0)
    alpha = penalty * float(np.trace(centred.T @ centred)) / x.shape[1]
    return Ridge(alpha=alpha).fit(x[train], y[train]).predict(x[test])


@pytest.mark.parametrize("pairs", [False, True])
def test_equals_a_nested_loop_over_scikit_learn(pairs):
    x, targets, fold = make_data(pairs=pairs)
    predicted, penalty = cross_validate_ridge(x, targets, Splits.of(fold, 4), PENALTIES)
    assert predicted.shape == (2, 3, 2, 70, 5)
    assert penalty.shape == (2, 3, 2, 4)
    of_row = fold.reshape(70, -1).numpy()
    expected = np.full(predicted.shape, np.nan)
    for head in np.ndindex(2, 3):
        for task in range(2):
            inputs, y = x[head].numpy(), targets[task].numpy()
            for f in range(4):
                losses = np.zeros(3)
                for g in set(range(4)) - {f}:
                    train = ~np.isin(of_row, [f, g]).any(1)
                    test = (of_row == g).all(1)
                    for number, p in enumerate(PENALTIES):
                        if test.any():
                            miss = y[test] - predict(inputs, y, train, test, p)
                            losses[number] += np.square(miss).sum()
                chosen = PENALTIES[int(losses.argmin())]
                assert float(penalty[head][task, f]) == pytest.approx(chosen)
                train, test = (of_row != f).all(1), (of_row == f).all(1)
                if test.any():
                    expected[head][task, test] = predict(inputs, y, train, test, chosen)
    np.testing.assert_allclose(predicted.numpy(), expected, rtol=1e-8)
    assert len(penalty.unique()) > 1
    assert bool(predicted.isnan().any()) == pairs


def test_refuses():
    x, targets, fold = make_data(pairs=False)
    with pytest.raises(NonFiniteError, match="inputs"):
        cross_validate_ridge(x / 0, targets, Splits.of(fold, 4), PENALTIES)
