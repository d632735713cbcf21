"""Multinomial logistic regression of many heads and label sets at once.

Truncated Newton (Nash 2000, "A survey of truncated-Newton methods"): every step solves H d = -g by
conjugate gradients, preconditioned by the bound of Boehning (1992) in the inputs' principal axes,
so that neither the scale nor the correlation of the inputs costs iterations. All label sets of a
head share its inputs, and with them the two matrix products of an iteration; logits are linear in
the weights, so the line search needs no product at all. Classes stand before occurrences in memory,
where sums over the (few) classes are fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite

FORCING = 0.3  # a Newton system is solved to this part of its right-hand side
MAX_INNER = 50
HALVINGS = 30


@dataclass(frozen=True)
class LogisticFit:
    """Logistic regressions: log-probabilities are ``log_softmax(weights @ x + intercept)``.

    Attributes
    ----------
    weights, intercept
        Of every class; the classes' weights, and their intercepts, sum to 0.
    converged
        Whether the stopping rule was met.
    steps
        How many Newton steps it took.
    """

    weights: Float[Tensor, "*head task class d"]
    intercept: Float[Tensor, "*head task class"]
    converged: Bool[Tensor, "*head task"]
    steps: Int[Tensor, "*head task"]

    def log_probabilities(
        self, x: Float[Tensor, "*head occurrence d"]
    ) -> Float[Tensor, "*head task class occurrence"]:
        """Return the natural logarithm of every class' probability."""
        flat = self.weights.flatten(-3, -2) @ x.mT
        logits = torch.unflatten(flat, -2, self.intercept.shape[-2:]) + self.intercept[..., None]
        return logits.log_softmax(-2)


class LogisticProblem:
    """The training data of many logistic regressions, laid out once for all penalties.

    Parameters
    ----------
    x
        Inputs, float32 or float64; everything is computed in their precision and on their device.
    labels
        Sets of labels 0..n_classes-1, each shared by all heads.
    n_classes
        How many classes every set has; some may have no occurrence.

    Raises
    ------
    UsageError
        If a label is out of range or there is no occurrence.
    NonFiniteError
        If an input is NaN or infinite.
    """

    def __init__(
        self,
        x: Float[Tensor, "*head occurrence d"],
        labels: Int[Tensor, "task occurrence"],
        n_classes: int,
    ) -> None:
        require_finite("the inputs", x)
        if x.shape[-2] == 0 or labels.shape[-1] != x.shape[-2]:
            raise UsageError(
                f"x has shape {tuple(x.shape)} and the labels {tuple(labels.shape)}; give one "
                "label for each of at least one occurrence."
            )
        if int(labels.min()) < 0 or int(labels.max()) >= n_classes:
            raise UsageError(
                f"The labels lie in {int(labels.min())}..{int(labels.max())}; with {n_classes} "
                f"classes they must lie in 0..{n_classes - 1}."
            )
        self.head = x.shape[:-2]
        self.n_tasks, self.n_classes = labels.shape[0], n_classes
        x = x.reshape(-1, *x.shape[-2:])
        self.mean = x.mean(1, keepdim=True)
        centred = x - self.mean
        # A last input of ones takes the intercept; centred inputs are orthogonal to it.
        self.x = torch.cat([centred, torch.ones_like(x[..., :1])], -1)
        self.x_transposed = self.x.mT.contiguous()
        scatter = (centred.mT @ centred).double()
        eigenvalues, axes = torch.linalg.eigh((scatter + scatter.mT) / 2)
        self.eigenvalues = eigenvalues.clamp(min=0).to(x.dtype)
        self.axes = axes.to(x.dtype)
        self.index = labels[None, :, None].expand(len(x), -1, -1, -1)  # [head, task, 1, occurrence]
        self.n = x.shape[1]

    @property
    def scale(self) -> Float[Tensor, "*head"]:
        """The mean eigenvalue of the centred X'X, the unit of relative penalties."""
        scale: Tensor = self.eigenvalues.mean(-1).reshape(self.head)
        return scale

    def solve(
        self,
        penalty: Float[Tensor, "*head task"],
        *,
        start: LogisticFit | None = None,
        tolerance: float = 1e-6,
        max_steps: int = 100,
    ) -> LogisticFit:
        """Minimise the summed cross-entropy (nats) + penalty / 2 * (sum of squared weights).

        Parameters
        ----------
        penalty
            Of every head and task, above 0; scikit-learn's 1 / C (for its binary model, twice
            that). The intercept is not penalised.
        start
            Where to begin: the fit at a neighbouring penalty, or on other occurrences.
        tolerance
            A problem is done when the preconditioned gradient promises no more than this decrease
            of the mean loss, in nats per occurrence.
        max_steps
            Newton steps at most.

        Returns
        -------
        LogisticFit

        Raises
        ------
        UsageError
            If a penalty is not above 0.
        """
        if not bool((penalty > 0).all()):
            raise UsageError(f"The least penalty is {float(penalty.min())}; give numbers above 0.")
        rows = (len(self.x), self.n_tasks)
        ridge = penalty.expand(*self.head, self.n_tasks).reshape(*rows, 1, 1).to(self.x)
        ridge = torch.cat([ridge.expand(-1, -1, -1, self.x.shape[-1] - 1), 0 * ridge], -1)
        weights = self._centre_fit(start)
        logits = self._forward(weights)
        value = self._objective(logits, weights, ridge)
        active = torch.ones(rows, dtype=torch.bool, device=self.x.device)
        converged = torch.zeros_like(active)
        steps = torch.zeros(rows, dtype=torch.int64, device=self.x.device)
        for _ in range(max_steps):
            probabilities = logits.softmax(2)
            gradient = self._backward(probabilities, subtract_labels=True) + ridge * weights
            inverse = self._preconditioner(probabilities, ridge)
            scaled = self._precondition(gradient, inverse)
            done = (gradient * scaled).sum((2, 3)) / (2 * self.n) <= tolerance
            converged |= active & done
            active &= ~done
            if not bool(active.any()):
                break
            direction, change = self._newton_direction(
                gradient, probabilities, ridge, inverse, active
            )
            step, value, moved = self._search(
                logits, change, weights, direction, ridge, value, (gradient * direction).sum((2, 3))
            )
            active &= moved
            step = torch.where(active, step, 0.0)[..., None, None]
            weights = weights + step * direction
            logits = logits.addcmul_(step.expand_as(change), change)
            steps += active
        return self._uncentre(weights, converged, steps)

    def _forward(self, weights: Tensor) -> Tensor:
        return torch.unflatten(weights.flatten(1, 2) @ self.x_transposed, 1, weights.shape[1:3])

    def _backward(self, values: Tensor, *, subtract_labels: bool = False) -> Tensor:
        if subtract_labels:
            values = values.scatter_add(
                2, self.index, values.new_full((), -1.0).expand_as(self.index)
            )
        return torch.unflatten(values.flatten(1, 2) @ self.x, 1, values.shape[1:3])

    def _objective(self, logits: Tensor, weights: Tensor, ridge: Tensor) -> Tensor:
        loss = logits.logsumexp(2) - logits.gather(2, self.index)[:, :, 0]
        return loss.sum(-1) + (ridge * weights.square()).sum((2, 3)) / 2

    def _preconditioner(self, probabilities: Tensor, ridge: Tensor) -> Tensor:
        """Return 1 / diagonal of the bound on the Hessian, [head, task, class, axis]."""
        spread = (probabilities * (1 - probabilities)).mean(-1)[..., None].clamp(min=1e-6)
        scatter = torch.cat([self.eigenvalues, torch.full_like(self.eigenvalues[:, :1], self.n)], 1)
        return 1 / (spread * scatter[:, None, None] + ridge)

    def _precondition(self, gradient: Tensor, inverse: Tensor) -> Tensor:
        along = gradient[..., :-1].flatten(1, 2) @ self.axes
        scaled = torch.unflatten(along, 1, gradient.shape[1:3]) * inverse[..., :-1]
        back = torch.unflatten(scaled.flatten(1, 2) @ self.axes.mT, 1, gradient.shape[1:3])
        return torch.cat([back, gradient[..., -1:] * inverse[..., -1:]], -1)

    def _newton_direction(
        self,
        gradient: Tensor,
        probabilities: Tensor,
        ridge: Tensor,
        inverse: Tensor,
        active: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Solve H d = -g by conjugate gradients; return d and the logits' change X d."""
        residual = -gradient * active[..., None, None]
        scaled = self._precondition(residual, inverse)
        search = scaled
        direction = torch.zeros_like(gradient)
        change = torch.zeros_like(probabilities)
        size = (residual * scaled).sum((2, 3))
        goal = FORCING**2 * size
        for _ in range(MAX_INNER):
            along = self._forward(search)
            curved = probabilities * (along - (probabilities * along).sum(2, keepdim=True))
            product = self._backward(curved) + ridge * search
            curvature = (search * product).sum((2, 3))
            going = (size > goal) & (curvature > 0)
            length = torch.where(going, size / curvature, 0.0)[..., None, None]
            direction = direction + length * search
            change.addcmul_(length.expand_as(along), along)
            residual = residual - length * product
            scaled = self._precondition(residual, inverse)
            smaller = (residual * scaled).sum((2, 3))
            search = scaled + torch.where(going, smaller / size, 0.0)[..., None, None] * search
            size = torch.where(going, smaller, size)
            if not bool((going & (size > goal)).any()):
                break
        return direction, change

    def _search(
        self,
        logits: Tensor,
        change: Tensor,
        weights: Tensor,
        direction: Tensor,
        ridge: Tensor,
        value: Tensor,
        slope: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Halve each problem's step until its loss falls; return steps, losses, and who moved."""
        step = torch.ones_like(value)
        slack = 8 * torch.finfo(value.dtype).eps * value.abs()
        for _ in range(HALVINGS):
            along = step[..., None, None]
            new = self._objective(logits + along * change, weights + along * direction, ridge)
            good = new <= value + 1e-4 * step * slope + slack
            if bool(good.all()):
                break
            step = torch.where(good, step, step / 2)
        return step, torch.where(good, new, value), good

    def _centre_fit(self, start: LogisticFit | None) -> Tensor:
        """Return a fit's weights and its intercept at this data's mean, as one tensor."""
        shape = (len(self.x), self.n_tasks, self.n_classes, self.x.shape[-1])
        if start is None:
            return self.x.new_zeros(shape)
        weights = start.weights.reshape(*shape[:3], -1).to(self.x)
        intercept = start.intercept.reshape(shape[:3]).to(self.x)
        intercept = intercept + (weights.flatten(1, 2) @ self.mean.mT).reshape(shape[:3])
        return torch.cat([weights, intercept[..., None]], -1)

    def _uncentre(self, weights: Tensor, converged: Tensor, steps: Tensor) -> LogisticFit:
        slopes, intercept = weights[..., :-1], weights[..., -1]
        intercept = intercept - (slopes.flatten(1, 2) @ self.mean.mT).reshape(intercept.shape)
        # What all classes share cancels; the preconditioner may have moved it.
        slopes = slopes - slopes.mean(2, keepdim=True)
        intercept = intercept - intercept.mean(2, keepdim=True)
        return LogisticFit(
            weights=slopes.reshape(*self.head, *slopes.shape[1:]),
            intercept=intercept.reshape(*self.head, *intercept.shape[1:]),
            converged=converged.reshape(*self.head, self.n_tasks),
            steps=steps.reshape(*self.head, self.n_tasks),
        )


def solve_path(
    problem: LogisticProblem,
    penalties: Float[Tensor, "penalty"],
    *,
    tolerance: float = 1e-6,
    max_steps: int = 100,
) -> Iterator[tuple[int, LogisticFit]]:
    """Solve for every relative penalty, the strongest first, each starting from the last.

    Parameters
    ----------
    penalties
        In units of ``problem.scale``.

    Yields
    ------
    tuple of int and LogisticFit
        The penalty's place in `penalties`, and the fit.
    """
    fit = None
    for place in penalties.argsort(descending=True).tolist():
        penalty = (penalties[place].item() * problem.scale)[..., None]
        penalty = penalty.clamp(min=torch.finfo(penalty.dtype).tiny)  # inputs that never vary
        fit = problem.solve(penalty, start=fit, tolerance=tolerance, max_steps=max_steps)
        yield place, fit
