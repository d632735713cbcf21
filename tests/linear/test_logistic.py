import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from probes.errors import NonFiniteError, UsageError
from probes.linear.logistic import LogisticProblem, solve_path

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def make_problem(*, dtype=torch.float64, seed=0, n=150, device="cpu"):
    """Heads [2, 3], d 5, tasks 4 of 6 classes, one of which never occurs."""
    random = torch.Generator().manual_seed(seed)
    scale = torch.logspace(1, -2, 5, dtype=torch.float64)
    x = 20 + scale * torch.randn(2, 3, n, 5, generator=random, dtype=torch.float64)
    labels = torch.randint(5, (4, n), generator=random)
    labels[0] = ((x[0, 0] - 20) / scale)[:, :5].argmax(-1)
    return LogisticProblem(x.to(device, dtype), labels.to(device), 6), x, labels


@pytest.mark.parametrize("device", DEVICES)
def test_every_head_task_and_penalty_is_scikit_learns(device):
    problem, x, labels = make_problem(device=device)
    penalties = torch.tensor([1e-3, 1.0, 0.05], dtype=torch.float64)
    for place, fit in solve_path(problem, penalties, tolerance=1e-14):
        assert bool(fit.converged.all())
        assert fit.weights.shape == (2, 3, 4, 6, 5)
        probabilities = fit.log_probabilities(x.to(device)).exp().cpu()
        for head in ((0, 0), (1, 2)):
            for task in (0, 3):
                penalty = float(penalties[place] * problem.scale[head])
                theirs = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-10)
                inputs = x[head].numpy() - 20
                theirs.fit(inputs, labels[task].numpy())
                expected = theirs.predict_proba(inputs).T
                np.testing.assert_allclose(
                    probabilities[head][task][: len(expected)], expected, atol=1e-4
                )
                slopes = fit.weights[head][task].cpu().numpy()
                seen = slopes[: len(expected)] - slopes[: len(expected)].mean(0)
                wanted = theirs.coef_ - theirs.coef_.mean(0)
                assert np.abs(seen - wanted).max() < 1e-4 * max(1, np.abs(wanted).max())


@given(st.integers(0, 50), st.floats(-4, 2))
@settings(max_examples=5, deadline=None)
def test_the_gradient_is_zero_at_the_answer(seed, exponent):
    problem, x, labels = make_problem(seed=seed)
    penalty = (10**exponent * problem.scale)[..., None].expand(2, 3, 4)
    fit = problem.solve(penalty, tolerance=1e-16)
    assert bool(fit.converged.all())
    residual = fit.log_probabilities(x).exp() - torch.nn.functional.one_hot(labels, 6).mT
    centred = x - x.mean(-2, keepdim=True)
    gradient = residual @ centred[..., None, :, :] + penalty[..., None, None] * fit.weights
    size = (residual.abs() @ centred.abs()[..., None, :, :]).amax()
    assert float(gradient.abs().max() / size) < 1e-6
    assert float(residual.sum(-1).abs().max()) < 1e-4
    torch.testing.assert_close(fit.weights.sum(-2), torch.zeros(2, 3, 4, 5).double())


def test_a_start_changes_the_steps_and_not_the_answer():
    problem, _, _ = make_problem()
    penalty = (0.01 * problem.scale)[..., None].expand(2, 3, 4)
    cold = problem.solve(penalty, tolerance=1e-14)
    warm = problem.solve(penalty, start=cold, tolerance=1e-14)
    assert int(warm.steps.max()) <= 1 < int(cold.steps.min())
    torch.testing.assert_close(warm.weights, cold.weights, atol=1e-6, rtol=1e-5)


def test_single_precision_is_near_double():
    for penalty in (1e-4, 1.0):
        fits = []
        for dtype in (torch.float32, torch.float64):
            problem, x, _ = make_problem(dtype=dtype)
            fit = problem.solve((penalty * problem.scale)[..., None].expand(2, 3, 4))
            assert bool(fit.converged.all())
            fits.append(fit.log_probabilities(x.to(dtype)).double().exp())
        torch.testing.assert_close(*fits, atol=5e-3, rtol=0)


def test_separable_classes_and_constant_inputs_are_solved():
    x = torch.cat([torch.randn(1, 40, 3).double() + 50, torch.ones(1, 40, 1).double()], -1)
    x[:, 20:] -= 100
    labels = (torch.arange(40) < 20).long()[None]
    problem = LogisticProblem(x, labels, 2)
    fit = problem.solve(torch.full((1, 1), 1e-6).double())
    assert bool(fit.converged.all())
    assert torch.equal(fit.log_probabilities(x)[0, 0].argmax(0), labels[0])
    constant = LogisticProblem(torch.ones(1, 40, 3).double(), labels, 2)
    for _, fit in solve_path(constant, torch.tensor([1.0, 0.1])):
        assert float(fit.weights.abs().max()) == 0


def test_refuses():
    x, labels = torch.randn(2, 9, 3), torch.arange(9)[None] % 3
    with pytest.raises(UsageError, match=r"0\.\.1"):
        LogisticProblem(x, labels, 2)
    with pytest.raises(NonFiniteError, match="inputs"):
        LogisticProblem(x / 0, labels, 3)
    with pytest.raises(UsageError, match="above 0"):
        LogisticProblem(x, labels, 3).solve(torch.zeros(2, 1))
    with pytest.raises(UsageError, match="one label"):
        LogisticProblem(x[:, :0], labels[:, :0], 3)
