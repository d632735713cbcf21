"""Multinomial logistic regression of many heads and label sets at once.

Truncated Newton (Nash 2000, "A survey of truncated-Newton methods"): every step solves H d = -g by
conjugate gradients, preconditioned by the bound of Boehning (1992) in the inputs' principal axes,
in which all is computed, so that neither the scale nor the correlation of the inputs costs
iterations. All label sets of a head share its inputs, and with them the two matrix products of an
iteration; logits are linear in the weights, so the line search needs no product at all. Classes
are before occurrences in memory, where sums over the (few) classes are fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite

FORCING = 0.3  # a Newton system is solved to this part of its right-hand side,
SUFFICIENT = 0.8  # or to this part of the tolerance, beyond which it would be solved for nothing
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
        return self.logits(x).log_softmax(-2)

    def logits(
        self, x: Float[Tensor, "*head occurrence d"]
    ) -> Float[Tensor, "*head task class occurrence"]:
        """Return the log-probabilities, except for a constant of each occurrence."""
        flat = self.weights.flatten(-3, -2) @ x.mT
        return torch.unflatten(flat, -2, self.intercept.shape[-2:]) + self.intercept[..., None]


@dataclass(frozen=True)
class _Point:
    """Where the solver is, the loss of each problem there, and what the problems are."""

    weights: Tensor
    logits: Tensor
    probabilities: Tensor
    value: Tensor
    ridge: Tensor
    index: Tensor

    def of_tasks(self, keep: Tensor) -> _Point:
        """Keep some tasks; the others cost nothing any more."""
        return _Point(*(getattr(self, field.name)[:, keep] for field in fields(self)))


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
        labels = labels.long()
        if int(labels.min()) < 0 or int(labels.max()) >= n_classes:
            raise UsageError(
                f"The labels are in {int(labels.min())}..{int(labels.max())}; with {n_classes} "
                f"classes they must be in 0..{n_classes - 1}."
            )
        self.head = x.shape[:-2]
        self.n_tasks, self.n_classes = labels.shape[0], n_classes
        x = x.reshape(-1, *x.shape[-2:])
        self.mean = x.mean(1, keepdim=True)
        centred = x - self.mean
        scatter = (centred.mT @ centred).double()
        eigenvalues, axes = torch.linalg.eigh((scatter + scatter.mT) / 2)
        self.eigenvalues = eigenvalues.clamp(min=0).to(x.dtype)
        self.axes = axes.to(x.dtype)
        # A last input of ones takes the intercept; centred inputs are orthogonal to it.
        self.x = torch.cat([centred @ self.axes, torch.ones_like(x[..., :1])], -1)
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
        point = self._evaluate(self._forward(weights), weights, ridge, self.index)
        active = torch.ones(rows, dtype=torch.bool, device=self.x.device)
        converged = torch.zeros_like(active)
        steps = torch.zeros(rows, dtype=torch.int64, device=self.x.device)
        solved = torch.empty_like(weights)
        live = torch.arange(self.n_tasks, device=self.x.device)  # tasks that are not done
        for _ in range(max_steps):
            gradient = self._gradient(point)
            inverse = self._precondition(point)
            promised = (gradient.square() * inverse).sum((2, 3)) / (2 * self.n)
            converged[:, live] |= active[:, live] & (promised <= tolerance)
            active[:, live] &= promised > tolerance
            keep = active[:, live].any(0)
            if not bool(keep.all()):
                solved[:, live] = point.weights
                live, point = live[keep], point.of_tasks(keep)
                gradient, inverse = gradient[:, keep], inverse[:, keep]
                if len(live) == 0:
                    break
            going = active[:, live]
            direction, change = self._newton_direction(
                gradient, point, inverse, going, 2 * self.n * SUFFICIENT * tolerance
            )
            point, moved = self._search(
                point, change, direction, (gradient * direction).sum((2, 3))
            )
            active[:, live] &= moved
            steps[:, live] += active[:, live]
        solved[:, live] = point.weights
        return self._uncentre(solved, converged, steps)

    def _forward(self, weights: Tensor) -> Tensor:
        return torch.unflatten(weights.flatten(1, 2) @ self.x.mT, 1, weights.shape[1:3])

    def _backward(self, values: Tensor) -> Tensor:
        return torch.unflatten(values.flatten(1, 2) @ self.x, 1, values.shape[1:3])

    def _evaluate(self, logits: Tensor, weights: Tensor, ridge: Tensor, index: Tensor) -> _Point:
        top = logits.amax(2, keepdim=True)
        own = (logits.gather(2, index) - top)[:, :, 0]
        chances = (logits - top).exp_()
        total = chances.sum(2, keepdim=True)
        loss = (total[:, :, 0].log() - own).sum(-1)
        value = loss + (ridge * weights.square()).sum((2, 3)) / 2
        return _Point(weights, logits, chances.mul_(1 / total), value, ridge, index)

    def _gradient(self, point: _Point) -> Tensor:
        minus = point.probabilities.new_full((), -1.0).expand_as(point.index)
        residual = point.probabilities.scatter_add(2, point.index, minus)
        return self._backward(residual) + point.ridge * point.weights

    def _precondition(self, point: _Point) -> Tensor:
        """Return 1 / diagonal of the bound on the Hessian, [head, task, class, axis]."""
        chances = point.probabilities
        spread = (chances * (1 - chances)).mean(-1)[..., None].clamp(min=1e-6)
        scatter = torch.cat([self.eigenvalues, torch.full_like(self.eigenvalues[:, :1], self.n)], 1)
        return 1 / (spread * scatter[:, None, None] + point.ridge)

    def _newton_direction(
        self, gradient: Tensor, point: _Point, inverse: Tensor, active: Tensor, enough: float
    ) -> tuple[Tensor, Tensor]:
        """Solve H d = -g by conjugate gradients; return d and the logits' change X d."""
        probabilities = point.probabilities
        residual = -gradient * active[..., None, None]
        search = residual * inverse
        direction = torch.zeros_like(gradient)
        change = torch.zeros_like(probabilities)
        size = (residual * search).sum((2, 3))
        goal = (FORCING**2 * size).clamp(min=enough)
        for _ in range(MAX_INNER):
            along = self._forward(search)
            curved = probabilities * along
            curved.addcmul_(probabilities, curved.sum(2, keepdim=True), value=-1)
            product = self._backward(curved).addcmul_(point.ridge, search)
            curvature = (search * product).sum((2, 3))
            going = (size > goal) & (curvature > 0)
            length = torch.where(going, size / curvature, 0.0)[..., None, None]
            direction.addcmul_(length, search)
            change.addcmul_(length, along)
            residual = residual - length * product
            scaled = residual * inverse
            smaller = (residual * scaled).sum((2, 3))
            search = scaled + torch.where(going, smaller / size, 0.0)[..., None, None] * search
            size = torch.where(going, smaller, size)
            if not bool((going & (size > goal)).any()):
                break
        return direction, change

    def _search(
        self, point: _Point, change: Tensor, direction: Tensor, slope: Tensor
    ) -> tuple[_Point, Tensor]:
        """Halve each problem's step until its loss falls; say which found such a step."""
        step = torch.ones_like(point.value)
        slack = 8 * torch.finfo(point.value.dtype).eps * point.value.abs()
        for trial in range(HALVINGS):
            along = step[..., None, None]
            new = self._evaluate(
                torch.addcmul(point.logits, along, change),
                torch.addcmul(point.weights, along, direction),
                point.ridge,
                point.index,
            )
            good = new.value <= point.value + 1e-4 * step * slope + slack
            if bool(good.all()):
                break
            # The last trial is a step of nothing for those that have not found one.
            step = torch.where(good, step, 0.0 if trial == HALVINGS - 2 else step / 2)
        return new, good & (step > 0)

    def _centre_fit(self, start: LogisticFit | None) -> Tensor:
        """Return a fit's weights and its intercept at this data's mean, as one tensor."""
        shape = (len(self.x), self.n_tasks, self.n_classes, self.x.shape[-1])
        if start is None:
            return self.x.new_zeros(shape)
        weights = start.weights.reshape(*shape[:3], -1).to(self.x).flatten(1, 2)
        intercept = start.intercept.reshape(shape[:3]).to(self.x)
        intercept = intercept + (weights @ self.mean.mT).reshape(shape[:3])
        along = torch.unflatten(weights @ self.axes, 1, shape[1:3])
        return torch.cat([along, intercept[..., None]], -1)

    def _uncentre(self, weights: Tensor, converged: Tensor, steps: Tensor) -> LogisticFit:
        slopes = torch.unflatten(
            weights[..., :-1].flatten(1, 2) @ self.axes.mT, 1, weights.shape[1:3]
        )
        intercept = weights[..., -1]
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


def split_heads(
    x: Float[Tensor, "head occurrence d"],
) -> tuple[Float[Tensor, "part occurrence d"], ...]:
    """Cut heads into what is best solved at once: one on a CPU, whose caches it fits, or all."""
    return torch.split(x, 1) if x.device.type == "cpu" else (x,)


def solve_path(
    problem: LogisticProblem,
    penalties: Float[Tensor, "penalty"],
    *,
    tolerance: float = 1e-6,
    max_steps: int = 100,
) -> Iterator[tuple[int, LogisticFit]]:
    """Solve for every relative penalty, the strongest first; the last two say where to start.

    Parameters
    ----------
    penalties
        In units of ``problem.scale``.

    Yields
    ------
    tuple of int and LogisticFit
        The penalty's place in `penalties`, and the fit.
    """
    fit: LogisticFit | None = None
    last: LogisticFit | None = None
    for place in penalties.argsort(descending=True).tolist():
        penalty = (penalties[place].item() * problem.scale)[..., None]
        penalty = penalty.clamp(min=torch.finfo(penalty.dtype).tiny)  # inputs that never vary
        start = fit if fit is None or last is None else _extrapolate(last, fit)
        last = fit
        fit = problem.solve(penalty, start=start, tolerance=tolerance, max_steps=max_steps)
        yield place, fit


def _extrapolate(last: LogisticFit, fit: LogisticFit) -> LogisticFit:
    """Go on from one fit of a path to the next by half of the step between the last two."""
    return replace(
        fit,
        weights=torch.lerp(last.weights, fit.weights, 1.5),
        intercept=torch.lerp(last.intercept, fit.intercept, 1.5),
    )
