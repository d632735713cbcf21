"""The probes of one head as scikit-learn estimators; the batched kernels do the work."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from probes.linear.classes import read_positive, refuse_settings
from probes.linear.logistic import LogisticProblem
from probes.linear.ridge import fit_ridge

ALPHAS = (1e-2, 1e-1, 1.0, 1e1, 1e2)
Array = NDArray[Any]
# Settings are `Any`, since scikit-learn wants nothing to be checked before `fit`.


class RidgeProbe(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression whose penalty is chosen by exact leave-one-group-out error.

    Like ``sklearn.linear_model.RidgeCV``, but whole groups (the occurrences of a word) are left
    out, still in closed form (`probes.stats.leave_group_out`).

    Parameters
    ----------
    alphas
        Penalties to choose from, as scikit-learn counts them, or a single one.

    Attributes
    ----------
    coef_, intercept_
        As scikit-learn's.
    alpha_
        The penalty chosen.
    """

    def __init__(self, alphas: Any = ALPHAS) -> None:
        self.alphas = alphas

    def fit(self, X: Any, y: Any, groups: Any = None, **others: Any) -> RidgeProbe:
        """Fit; `groups` says what is left out together (by default, every row by itself)."""
        refuse_settings("RidgeProbe", others)
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        columns = np.asarray(y, dtype=np.float64).reshape(len(X), -1)
        weights, intercept, self.alpha_ = fit_ridge(X, columns, self.alphas, groups)
        single = np.ndim(y) == 1
        self.coef_ = weights[:, 0] if single else weights.T
        self.intercept_ = intercept[0] if single else intercept
        return self

    def predict(self, X: Any) -> Array:
        """Predict [row] or [row, target]."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(X @ self.coef_.T + self.intercept_)


class RidgeClassifierProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Least-squares classification: ridge regression on one-hot labels, the greatest wins.

    The penalty is the one with the least squared error when groups are left out in turn.

    Parameters
    ----------
    alphas
        As in `RidgeProbe`.

    Attributes
    ----------
    classes_, coef_, intercept_, alpha_
        `coef_` is [class, feature], a row a class, also for two classes.
    """

    def __init__(self, alphas: Any = ALPHAS) -> None:
        self.alphas = alphas

    def fit(self, X: Any, y: Any, groups: Any = None, **others: Any) -> RidgeClassifierProbe:
        """Fit; `groups` says what is left out together (by default, every row by itself)."""
        refuse_settings("RidgeClassifierProbe", others)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        one_hot = np.eye(len(self.classes_))[labels]
        weights, self.intercept_, self.alpha_ = fit_ridge(X, one_hot, self.alphas, groups)
        self.coef_ = weights.T
        return self

    def decision_function(self, X: Any) -> Array:
        """Return [row, class], or for two classes [row], how far the second is ahead."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return _fold_two_classes(np.asarray(X @ self.coef_.T + self.intercept_))

    def predict(self, X: Any) -> Array:
        """Predict labels."""
        return _pick(self.decision_function(X), self)


class LogisticProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Multinomial logistic regression, converged; scikit-learn's answer.

    Parameters
    ----------
    C
        Inverse of the penalty, as in ``sklearn.linear_model.LogisticRegression``.
    tol
        Stop when no more than this decrease of the mean loss (nats) can be expected.
    max_iter
        Newton steps at most.

    Attributes
    ----------
    classes_, coef_, intercept_, n_iter_
        As scikit-learn's: one row of `coef_` for two classes.
    """

    def __init__(self, C: Any = 1.0, *, tol: Any = 1e-12, max_iter: Any = 100) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, **others: Any) -> LogisticProbe:
        """Fit."""
        refuse_settings("LogisticProbe", others)
        strength = read_positive("C", self.C)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        n_classes = len(self.classes_)
        problem = LogisticProblem(
            torch.from_numpy(np.array(X)), torch.from_numpy(labels.reshape(1, -1)), n_classes
        )
        # Two weight vectors that mirror each other cost half of what their difference does.
        penalty = torch.tensor([(2 if n_classes == 2 else 1) / strength], dtype=torch.float64)
        fit = problem.solve(penalty, tolerance=self.tol, max_steps=self.max_iter)
        if not bool(fit.converged.all()):
            warnings.warn(
                f"LogisticProbe did not converge in {self.max_iter} Newton steps; scale the "
                "inputs, lower C or raise max_iter.",
                ConvergenceWarning,
                stacklevel=2,
            )
        weights, intercept = fit.weights[0].numpy(), fit.intercept[0].numpy()
        if n_classes == 2:
            weights, intercept = weights[1:] - weights[:1], intercept[1:] - intercept[:1]
        self.coef_, self.intercept_ = weights, intercept
        self.n_iter_ = np.array([int(fit.steps)])
        return self

    def decision_function(self, X: Any) -> Array:
        """Return logits [row, class], or for two classes the log odds [row] of the second."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scores = np.asarray(X @ self.coef_.T + self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 and len(self.classes_) == 2 else scores

    def predict_log_proba(self, X: Any) -> Array:
        """Return log-probabilities [row, class]."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], 1)
        return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities [row, class]."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> Array:
        """Predict labels."""
        return _pick(self.decision_function(X), self)


def _fold_two_classes(scores: Array) -> Array:
    return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores


def _pick(scores: Array, probe: Any) -> Array:
    best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)
    return np.asarray(probe.classes_[best])
