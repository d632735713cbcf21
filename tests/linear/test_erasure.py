import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from probes.errors import NonFiniteError, UsageError
from probes.linear import LogisticProblem, fit_eraser, probe_labels
from probes.stats import Splits, word_folds
from tests.linear.planted import plant

with warnings.catch_warnings():  # it compiles by torch.jit.script, which torch 2.13 warns about
    warnings.simplefilter("ignore", DeprecationWarning)
    from concept_erasure import LeaceFitter


def make_data(n_classes=4):
    x, labels, words = plant(3.0, n_words=150, n_classes=n_classes, d=7, heads=(2, 3))
    turn = torch.randn(7, 7, generator=torch.Generator().manual_seed(1))
    return (x @ turn + 5).double(), labels, words


def test_is_the_packages_leace_head_by_head():
    x, labels, _ = make_data()
    erased = fit_eraser(x, labels)(x)
    z = torch.nn.functional.one_hot(labels).double()
    for head in np.ndindex(2, 3):
        theirs = LeaceFitter(
            7, 4, dtype=torch.float64, shrinkage=False, svd_tol=1e-9, constrain_cov_trace=False
        )
        theirs.update(x[head], z)
        torch.testing.assert_close(erased[head], theirs.eraser(x[head]))


def test_nothing_is_left_to_learn():
    x, labels, words = make_data()
    eraser = fit_eraser(x, labels)
    assert eraser.rank.tolist() == [[3] * 3] * 2
    erased = eraser(x)
    z = torch.nn.functional.one_hot(labels).double()
    covariance = (erased - erased.mean(-2, keepdim=True)).mT @ (z - z.mean(0))
    assert float(covariance.abs().max()) < 1e-8
    # The best logistic probe, trained on the same vectors, is the constant one.
    problem = LogisticProblem(erased, labels[None], 4)
    fit = problem.solve((1e-6 * problem.scale)[..., None], tolerance=1e-14)
    assert float(fit.weights.abs().max()) < 1e-4
    theirs = LogisticRegression(C=1e6, tol=1e-8).fit(erased[1, 2].numpy(), labels.numpy())
    assert np.ptp(theirs.predict_proba(erased[1, 2].numpy()), axis=0).max() < 0.02
    # Nor on words it was not trained on.
    splits = Splits.of(word_folds(words, 5, 0), 5)
    before, after = (
        probe_labels(v, labels, splits=splits, units=words).score.observed for v in (x, erased)
    )
    assert float(before.min()) > 0.8
    assert float(after.max()) < 0.3


def test_moves_the_vectors_least_and_their_mean_not_at_all():
    x, labels, _ = make_data()
    erased = fit_eraser(x, labels)(x)
    torch.testing.assert_close(erased.mean(-2), x.mean(-2))
    # So does projecting the class means' directions away, at a greater price.
    z = torch.nn.functional.one_hot(labels).double()
    centred = x - x.mean(-2, keepdim=True)
    u, size, _ = torch.linalg.svd(centred.mT @ (z - z.mean(0)), full_matrices=False)
    u = u * (size > 1e-9 * size[..., :1])[..., None, :]
    projected = x - centred @ u @ u.mT
    moved, more = ((v - x).square().sum((-2, -1)) for v in (erased, projected))
    assert bool((moved < 0.99 * more).all())
    again = fit_eraser(erased, labels)
    torch.testing.assert_close(again(erased), erased)


def test_numbers_and_constant_directions():
    x, labels, _ = make_data()
    flat = torch.cat([x, torch.ones_like(x[..., :2])], -1)
    number = (x[0, 0, :, :1] + labels[:, None]).double()
    erased = fit_eraser(flat, number)(flat)
    assert bool(erased.isfinite().all())
    centred = erased - erased.mean(-2, keepdim=True)
    assert float((centred.mT @ (number - number.mean(0))).abs().max()) < 1e-7
    assert float((erased[..., 7:] - 1).abs().max()) < 1e-9


def test_refuses():
    x, labels, _ = make_data()
    with pytest.raises(UsageError, match="one each"):
        fit_eraser.__wrapped__(x, labels[1:])
    with pytest.raises(NonFiniteError, match="inputs"):
        fit_eraser(x / 0, labels)
