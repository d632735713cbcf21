"""Probe all heads for a property, and score what they know of words they were not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from probes.errors import UsageError
from probes.linear.classes import number_classes, to_tensor
from probes.linear.cross_validation import cross_validate_logistic
from probes.linear.resampled import WordScore, sum_by_unit
from probes.linear.ridge import cross_validate_ridge
from probes.naming import require_known
from probes.stats.checks import require_one_each, require_same_shape
from probes.stats.folds import Splits
from probes.stats.ridge import read_penalties

Probe = Literal["ridge", "logistic"]
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""In units of the mean eigenvalue of the training inputs' centred scatter matrix."""


@dataclass(frozen=True)
class Probing:
    """What probes of all heads got right on words they had not seen.

    Attributes
    ----------
    score
        Accuracy, or R^2 of numbers.
    balanced
        The mean over classes of the part of each class that was right; None for numbers.
    majority
        The accuracy of always saying the training folds' most frequent class (for numbers 0, as
        their mean is the reference of R^2).
    controls
        Scores of the control tasks, `head` x control, each by unit.
    penalty
        The relative penalty chosen for each task (the property, then its controls) and fold.
    """

    score: WordScore
    balanced: WordScore | None
    majority: WordScore
    controls: WordScore | None
    penalty: Float[Tensor, "*head task fold"]

    @property
    def control(self) -> Float[Tensor, "*head"]:
        """The mean score of the control tasks; NaN where there is none."""
        if self.controls is None:
            return torch.full_like(self.score.observed, torch.nan)
        return self.controls.observed.mean(-1)

    @property
    def selectivity(self) -> Float[Tensor, "*head"]:
        """The score minus its control's (Hewitt & Liang 2019)."""
        return self.score.observed - self.control


def probe_labels(
    x: Float[Tensor, "*head occurrence d"],
    labels: Any,
    *,
    splits: Splits,
    units: Int[Tensor, "occurrence"],
    controls: Shaped[Tensor, "control occurrence"] | None = None,
    probe: Probe = "ridge",
    penalties: Sequence[float] = PENALTIES,
) -> Probing:
    """Predict a label from every head, on folds without the tested words.

    The penalty is chosen inside the training folds, for each head, task and fold (nested
    cross-validation, Varma & Simon 2006).

    Parameters
    ----------
    x
        What the probes read. Multiplied by one number or rotated, it gives the same answers;
        penalised probes do depend on other changes of basis.
    labels
        The class of each occurrence; see `probes.linear.classes.number_classes`.
    splits
        Which occurrences train and which test.
    units
        What intervals resample: 0..n-1, the word of each occurrence (or the pair).
    controls
        From `probes.linear.draw_control_labels`.
    probe
        "ridge": least squares on one-hot labels. "logistic": multinomial, in float32.

    Raises
    ------
    UsageError
        If shapes disagree, there are fewer than 2 classes, or the probe or a penalty is unknown.
    NonFiniteError
        If an input is NaN or infinite.
    """
    require_known("probe", probe, get_args(Probe))
    labels = to_tensor(labels)
    _check(x, labels, splits, units, penalties)
    classes = number_classes(_join(labels, controls))
    tasks, n_classes = classes.number, classes.size
    labels = tasks[0]
    if bool((labels == labels[0]).all()):
        raise UsageError("The labels are of one class; give at least 2.")
    if probe == "ridge":
        one_hot = torch.nn.functional.one_hot(tasks, n_classes).double()
        scores, penalty = cross_validate_ridge(x, one_hot, splits, penalties)
        guess = scores.max(-1).indices  # faster than argmax
    else:
        guess, penalty = cross_validate_logistic(x, tasks, n_classes, splits, penalties)
    tested = splits.tested()
    right = ((guess == tasks) & tested).double()
    count = tested.double()
    commonest = torch.zeros_like(labels)
    for train, mine in _outer_rows(splits):
        commonest[mine] = labels[train].bincount().argmax()
    return Probing(
        score=_score(right[..., :1, :], count, units),
        balanced=_score_by_class(right[..., 0, :], count, labels, units),
        majority=_score(((commonest == labels) & tested).double()[None], count, units),
        controls=None if controls is None else _score(right[..., 1:, None, :], count, units),
        penalty=penalty,
    )


def probe_numbers(
    x: Float[Tensor, "*head occurrence d"],
    numbers: Float[Tensor, "occurrence"],
    *,
    splits: Splits,
    units: Int[Tensor, "occurrence"],
    controls: Float[Tensor, "control occurrence"] | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> Probing:
    """Predict a number from every head by ridge regression, on folds without the tested words.

    The score is the held-out R^2: 1 - (squared error) / (squares around the training folds' mean);
    0 for a probe that knows nothing, and below where it does harm. Otherwise like `probe_labels`.

    Raises
    ------
    UsageError
        If shapes disagree, a penalty is not above 0, or the numbers are all equal.
    NonFiniteError
        If an input or a number is NaN or infinite.
    """
    _check(x, numbers, splits, units, penalties)
    if bool((numbers == numbers[0]).all()):
        raise UsageError("The numbers are all equal; there is nothing to predict.")
    tasks = _join(numbers, controls).double()
    predicted, penalty = cross_validate_ridge(x, tasks[..., None], splits, penalties)
    tested = splits.tested()
    level = torch.zeros_like(tasks)
    for train, mine in _outer_rows(splits):
        level[:, mine] = tasks[:, train].mean(1, keepdim=True)
    around = torch.where(tested, (tasks - level).square(), 0.0)
    error = torch.where(tested, (tasks - predicted[..., 0]).square(), 0.0)
    explained = around - error
    return Probing(
        score=_score(explained[..., :1, :], around[:1], units),
        balanced=None,
        majority=_score(torch.zeros_like(around[:1]), around[:1], units),
        controls=None
        if controls is None
        else _score(explained[..., 1:, None, :], around[1:, None], units),
        penalty=penalty,
    )


def _join(labels: Tensor, controls: Tensor | None) -> Tensor:
    """Put the labels before those of their controls."""
    if controls is None:
        return labels[None]
    require_same_shape("a control", controls[0], "the labels", labels)
    return torch.cat([labels[None], controls])


def _outer_rows(splits: Splits) -> Iterator[tuple[Tensor, Tensor]]:
    """Mark what each scored fit trains on, and what it is tested on."""
    for fit in splits.outer:
        yield splits.rows(fit.train), splits.rows(fit.tested)


def _score(part: Tensor, count: Tensor, units: Tensor) -> WordScore:
    """Sum over units; `part` is [*head, part, occurrence], `count` broadcasts against it."""
    n_units = int(units.max()) + 1
    numerator = sum_by_unit(part, units, n_units)
    denominator = sum_by_unit(
        count.expand(part.shape[-2:]) if count.ndim < 2 else count, units, n_units
    )
    return WordScore(numerator, denominator.expand_as(numerator))


def _score_by_class(right: Tensor, count: Tensor, labels: Tensor, units: Tensor) -> WordScore:
    """Sum over the units of every class: a part for each class."""
    shape = (int(labels.max()) + 1, int(units.max()) + 1)
    place = labels * shape[1] + units
    numerator, denominator = (
        torch.unflatten(sum_by_unit(values, place, shape[0] * shape[1]), -1, shape)
        for values in (right, count)
    )
    return WordScore(numerator, denominator.expand_as(numerator))


def _check(
    x: Tensor, labels: Tensor, splits: Splits, units: Tensor, penalties: Sequence[float]
) -> None:
    require_one_each(x, len(labels), len(splits.cell), len(units))
    if int(units.min()) < 0:
        raise UsageError(f"A unit is {int(units.min())}; number what is resampled from 0.")
    splits.require_training(choose=len(read_penalties(penalties)) > 1)
