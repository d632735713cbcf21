"""A corpus' own split in the public evaluation: fit on train, choose on dev, score on test."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from probes.errors import UsageError
from probes.linear import draw_control_labels, probe_labels, probe_numbers
from probes.stats import Splits
from tests.linear.planted import plant

PENALTIES = (1e-3, 1e-1, 3.0)


def make_data():
    x, labels, words = plant(1.5, n_words=120, n_classes=3, d=20, heads=(2, 2))
    order = np.random.default_rng(0).permutation(len(words))
    names = np.array(["train", "dev", "test", ""])[np.searchsorted([90, 180, 340], order, "right")]
    return x.double(), labels, words, names


def fit(probe, x, y, relative):
    centred = x - x.mean(0)
    penalty = relative * float(np.trace(centred.T @ centred)) / x.shape[1]
    if probe == "ridge":
        model = Ridge(alpha=penalty).fit(x, np.eye(3)[y])
        return model, lambda x, y: np.square(model.predict(x) - np.eye(3)[y]).sum()
    model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit(x, y)
    return model, lambda x, y: -model.predict_log_proba(x)[range(len(y)), y].sum()


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_is_scikit_learns_on_the_same_split(probe):
    x, labels, words, names = make_data()
    controls = draw_control_labels(labels, words, count=1, seed=0)
    found = probe_labels(
        x,
        labels,
        splits=Splits.given(names.tolist()),
        units=words,
        controls=controls,
        probe=probe,
        penalties=PENALTIES,
    )
    assert found.penalty.shape == (2, 2, 2, 1)
    train, dev, test = (names == name for name in ("train", "dev", "test"))
    for head in np.ndindex(2, 2):
        inputs = x[head].numpy()
        for task, y in enumerate((labels.numpy(), controls[0].numpy())):
            fits = [fit(probe, inputs[train], y[train], penalty) for penalty in PENALTIES]
            losses = [loss(inputs[dev], y[dev]) for _, loss in fits]
            chosen = int(np.argmin(losses))
            assert float(found.penalty[head][task, 0]) == PENALTIES[chosen]
            guess = fits[chosen][0].predict(inputs[test])
            guess = guess.argmax(1) if probe == "ridge" else guess
            score = found.score.observed if task == 0 else found.control
            right = (guess == y[test]).mean()  # a logistic fit stops a little before the end
            assert float(score[head]) == pytest.approx(right, abs=0 if probe == "ridge" else 0.02)
    commonest = np.bincount(labels.numpy()[train]).argmax()
    expected = (labels.numpy()[test] == commonest).mean()
    assert float(found.majority.observed) == pytest.approx(expected)
    assert float(found.score.denominator[0, 0].sum()) == test.sum()


def test_numbers_are_scored_around_the_training_mean():
    x, labels, words, names = make_data()
    numbers = labels.double() + x[0, 1, :, 5]
    splits = Splits.given(names.tolist())
    found = probe_numbers(x, numbers, splits=splits, units=words, penalties=(1e-3,))
    train, test = names == "train", names == "test"
    inputs, y = x[0, 1].numpy(), numbers.numpy()
    centred = inputs[train] - inputs[train].mean(0)
    model = Ridge(alpha=1e-3 * (centred**2).sum() / 20).fit(inputs[train], y[train])
    error = np.square(model.predict(inputs[test]) - y[test]).sum()
    around = np.square(y[test] - y[train].mean()).sum()
    assert float(found.score.observed[0, 1]) == pytest.approx(1 - error / around)


def test_without_a_dev_set_there_is_one_penalty():
    x, labels, words, names = make_data()
    splits = Splits.given(np.where(names == "dev", "", names).tolist())
    with pytest.raises(UsageError, match="no dev set"):
        probe_labels(x, labels, splits=splits, units=words)
    found = probe_labels(x, labels, splits=splits, units=words, penalties=(0.1,))
    assert float(found.penalty.unique()) == 0.1
    assert torch.equal(splits.tested(), torch.tensor(names == "test"))
