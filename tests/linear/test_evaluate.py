import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, r2_score

from probes.errors import UsageError
from probes.linear import draw_control_labels, probe_labels, probe_numbers
from probes.linear.resampled import compare_scores
from probes.stats import Splits, interval, resample_words, word_folds
from tests.linear.planted import plant

FOLDS = 5


def split(words, seed=0):
    return Splits.of(word_folds(words, FOLDS, seed), FOLDS)


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_accuracy_of_a_planted_signal_and_coverage_of_its_interval(probe):
    strength, heads = 1.5, (60 if probe == "logistic" else 200,)
    x, labels, words = plant(strength, n_words=600, per_word=2, d=3, heads=heads)
    found = probe_labels(x, labels, splits=split(words), units=words, probe=probe)
    truth = norm.cdf(strength / 2)  # of the best rule there is
    accuracy = found.score.observed
    assert accuracy.shape == heads
    assert float(accuracy.mean()) == pytest.approx(truth, abs=0.006)
    low, high = interval(found.score.resample(resample_words(600, resamples=400, seed=1)))
    covered = ((low <= truth) & (truth <= high)).double().mean()
    assert 0.88 < float(covered) <= 1.0
    # Occurrences of a word are copies: an interval as if they were independent would be too narrow.
    expected = 2 * 1.96 * np.sqrt(truth * (1 - truth) / 600)
    assert float((high - low).mean()) == pytest.approx(expected, rel=0.1)


def test_a_difference_of_known_size_is_found_and_one_of_none_is_not():
    weak, labels, words = plant(1.0, n_words=400, heads=(80,), seed=0)
    strong, same_labels, _ = plant(2.0, n_words=400, heads=(80,), seed=0)
    assert torch.equal(labels, same_labels)
    kept = {"splits": split(words), "units": words}
    one, other = (probe_labels(x, labels, **kept).score for x in (weak, strong))
    counts = resample_words(400, resamples=300, seed=2)
    difference = other.observed - one.observed
    truth = norm.cdf(1.0) - norm.cdf(0.5)
    assert float(difference.mean()) == pytest.approx(truth, abs=0.015)
    low, high = interval(other.resample(counts) - one.resample(counts))
    assert 0.85 < float(((low <= truth) & (truth <= high)).double().mean()) <= 1
    assert bool((compare_scores(other, one, samples=999, seed=0).p_max_t < 0.05).all())
    again, _, _ = plant(1.0, n_words=400, heads=(80,), seed=3)
    again[..., 0] = torch.randn(80, 1200) + (labels - 0.5)
    unlike = probe_labels(torch.flip(weak, dims=(0,)), labels, **kept).score
    tested = compare_scores(one, unlike, samples=999, seed=0)
    assert float((tested.p < 0.05).double().mean()) < 0.15
    assert bool((tested.p_bh >= tested.p - 1e-12).all())
    assert bool((tested.p_max_t >= tested.p - 1e-12).all())


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_a_control_task_is_at_chance_on_unseen_words_and_memorised_on_seen_ones(probe):
    n_classes, n_words = 4, 60
    x, labels, words = plant(3.0, n_words=n_words, n_classes=n_classes, d=50, per_word=4)
    controls = draw_control_labels(labels, words, count=3, seed=5)
    for control in controls:  # the same classes, as often, and one a word
        assert torch.equal(control.bincount(), labels.bincount())
        assert all(len(control[words == w].unique()) == 1 for w in range(n_words))
    kept = {"units": words, "controls": controls, "probe": probe}
    unseen = probe_labels(x, labels, splits=split(words), **kept)
    assert float(unseen.control.mean()) == pytest.approx(1 / n_classes, abs=0.07)
    assert float(unseen.selectivity.min()) > 0.2
    occurrence = torch.arange(len(words)) % 4  # folds that split the words
    seen = probe_labels(x, labels, splits=Splits.of(occurrence, 4), **kept)
    assert float(seen.control.min()) > 0.8


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_scores_are_scikit_learns_of_the_same_predictions(probe):
    x, labels, words = plant(1.2, n_words=90, n_classes=3, d=4, heads=(2, 2))
    labels = labels.clone()
    labels[labels == 2] = torch.arange(int((labels == 2).sum())) % 2 * 2  # unbalanced classes
    splits = split(words)
    found = probe_labels(x, labels, splits=splits, units=words, probe=probe, penalties=(0.01,))
    fold = word_folds(words, FOLDS, 0).numpy()
    y = labels.numpy()
    for head in np.ndindex(2, 2):
        inputs = x[head].double().numpy()
        guess, majority = np.empty_like(y), np.empty_like(y)
        for f in range(FOLDS):
            train = fold != f
            centred = inputs[train] - inputs[train].mean(0)
            penalty = 0.01 * np.trace(centred.T @ centred) / 4
            if probe == "ridge":
                model = Ridge(alpha=penalty).fit(inputs[train], np.eye(3)[y[train]])
                guess[~train] = model.predict(inputs[~train]).argmax(1)
            else:
                model = LogisticRegression(C=1 / penalty, tol=1e-8).fit(inputs[train], y[train])
                guess[~train] = model.predict(inputs[~train])
            majority[~train] = np.bincount(y[train]).argmax()
        assert float(found.score.observed[head]) == pytest.approx((guess == y).mean(), abs=2e-3)
        balanced = balanced_accuracy_score(y, guess)
        assert float(found.balanced.observed[head]) == pytest.approx(balanced, abs=4e-3)
        assert float(found.majority.observed) == pytest.approx((majority == y).mean())


def test_r2_of_a_number_and_of_its_control():
    random = torch.Generator().manual_seed(0)
    x, _, words = plant(0.0, n_words=200, d=5, heads=(2, 3))
    numbers = (3 * x[0, 1, :, 2] + 2 * torch.randn(200, generator=random)[words]).double()
    controls = draw_control_labels(numbers, words, count=2, seed=0)
    found = probe_numbers(x, numbers, splits=split(words), units=words, controls=controls)
    r2 = found.score.observed
    assert float(r2[0, 1]) == pytest.approx(9 / 13, abs=0.08)
    others = torch.cat([r2.flatten()[:1], r2.flatten()[2:]])
    assert float(others.abs().max()) < 0.06
    assert float(found.control.abs().max()) < 0.08
    assert float(found.majority.observed) == 0
    fold = word_folds(words, FOLDS, 0).numpy()
    inputs = x[0, 1].double().numpy()
    predicted = np.empty(len(words))
    for f in range(FOLDS):
        train = fold != f
        alpha = 1e-2 * np.trace(np.cov(inputs[train].T)) * (train.sum() - 1) / 5
        model = Ridge(alpha=alpha).fit(inputs[train], numbers[train].numpy())
        predicted[~train] = model.predict(inputs[~train])
    only = probe_numbers(x, numbers, splits=split(words), units=words, penalties=(1e-2,))
    assert float(only.score.observed[0, 1]) == pytest.approx(r2_score(numbers, predicted), abs=0.01)


def test_resampled_scores_count_words():
    x, labels, words = plant(1.0, n_words=40, n_classes=3)
    found = probe_labels(x, labels, splits=split(words), units=words)
    counts = torch.randint(4, (5, 40), generator=torch.Generator().manual_seed(0)).float()
    for score in (found.score, found.balanced):
        samples = score.resample(counts)
        assert samples.shape == (5, 4)
        ones = score.resample(torch.ones(1, 40))[0]
        torch.testing.assert_close(ones, score.observed)
        drawn = [w for w in range(40) for _ in range(int(counts[3, w]))]
        ratio = score.numerator[2][:, drawn].sum(-1) / score.denominator[2][:, drawn].sum(-1)
        assert float(samples[3, 2]) == pytest.approx(float(ratio.mean()))
        torch.testing.assert_close(score.contributions().sum(-1), score.observed)


def test_refuses():
    x, labels, words = plant(1.0, n_words=20)
    kept = {"splits": split(words), "units": words}
    with pytest.raises(UsageError, match="one class"):
        probe_labels(x, labels * 0, **kept)
    with pytest.raises(UsageError, match="no probe 'tree'"):
        probe_labels.__wrapped__(x, labels, probe="tree", **kept)
    with pytest.raises(UsageError, match="penalties are"):
        probe_labels(x, labels, penalties=(0.0,), **kept)
    with pytest.raises(UsageError, match="one of each"):
        probe_labels.__wrapped__(x[:, 1:], labels, **kept)
    with pytest.raises(UsageError, match="all equal"):
        probe_numbers(x, torch.ones(60).double(), **kept)
    found = probe_labels(x, labels, **kept)
    with pytest.raises(UsageError, match="for 19 units"):
        found.score.resample(torch.ones(2, 19))
    with pytest.raises(UsageError, match="at least one occurrence"):
        draw_control_labels.__wrapped__(labels, words[1:], count=1, seed=0)
