import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, RidgeCV
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from probes.errors import UsageError
from probes.linear import LogisticProbe, RidgeClassifierProbe, RidgeProbe


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([RidgeProbe(), RidgeClassifierProbe(), LogisticProbe()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def make_data(n_classes, *, n=240, d=7, seed=0):
    random = np.random.default_rng(seed)
    X = 3 + random.normal(size=(n, d)) * np.logspace(0.7, -0.7, d)
    logits = (X - 3) @ random.normal(size=(d, n_classes))
    y = (logits + random.gumbel(size=logits.shape)).argmax(1)
    return X, np.array(list("abcdefgh"))[y], np.arange(n) // 3


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_logistic_is_scikit_learns_answer(n_classes, C):
    X, y, _ = make_data(n_classes)
    theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10).fit(X, y)
    ours = LogisticProbe(C=C).fit(X, y)
    assert ours.coef_.shape == theirs.coef_.shape
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    assert (ours.predict(X) == theirs.predict(X)).all()


def test_logistic_says_when_it_did_not_converge():
    X, y, _ = make_data(5)
    with pytest.warns(ConvergenceWarning, match="1 Newton steps"):
        LogisticProbe(C=100.0, max_iter=1).fit(X, y)


def test_ridge_with_single_rows_is_ridge_cv():
    X, _, _ = make_data(2)
    y = X @ np.random.default_rng(1).normal(size=(7, 3)) + np.random.default_rng(2).normal(
        size=(240, 3), scale=20
    )
    alphas = (0.1, 10.0, 1e3, 1e4)
    theirs, ours = RidgeCV(alphas=alphas).fit(X, y), RidgeProbe(alphas=alphas).fit(X, y)
    assert ours.alpha_ == theirs.alpha_
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-8)
    single = RidgeProbe(alphas=(2.0,)).fit(X, y[:, 1])
    np.testing.assert_allclose(single.coef_, Ridge(alpha=2.0).fit(X, y[:, 1]).coef_, rtol=1e-8)


def test_ridge_leaves_groups_out_together():
    random = np.random.default_rng(0)
    groups = np.arange(60) // 6
    X = random.normal(size=(10, 8))[groups] + 0.1 * random.normal(size=(60, 8))
    y = random.normal(size=10)[groups] + X[:, 0]
    alphas = (1e-3, 1.0, 30.0)
    errors = [
        np.square(
            y - cross_val_predict(Ridge(alpha=a), X, y, groups=groups, cv=LeaveOneGroupOut())
        ).sum()
        for a in alphas
    ]
    chosen = alphas[int(np.argmin(errors))]
    assert RidgeProbe(alphas=alphas).fit(X, y, groups=groups).alpha_ == chosen
    assert RidgeProbe(alphas=alphas).fit(X, y).alpha_ < chosen  # rows of a group are near copies


def test_ridge_classifier_is_scikit_learns():
    X, y, _ = make_data(5)
    theirs = RidgeClassifier(alpha=3.0).fit(X, y)
    ours = RidgeClassifierProbe(alphas=(3.0,)).fit(X, y)
    assert (ours.predict(X) == theirs.predict(X)).all()
    # Theirs are fitted to -1 and 1, ours to 0 and 1.
    np.testing.assert_allclose(2 * ours.coef_, theirs.coef_, rtol=1e-8)


def test_refuses_penalties_that_are_none():
    X, y, _ = make_data(2)
    for alphas in ((), (0.0,), (np.inf, 1.0)):
        with pytest.raises(UsageError, match="penalties are"):
            RidgeClassifierProbe(alphas=alphas).fit(X, y)
