"""Labels of classes and settings of probes, of any type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from probes.errors import SettingError, UsageError


class Classes(NamedTuple):
    """Class labels as numbers without gaps, and the label that each number stands for."""

    number: Int[Tensor, "*task occurrence"]
    labels: Int[Tensor, "class"]

    @property
    def size(self) -> int:
        """How many classes there are."""
        return len(self.labels)


def number_classes(labels: Any) -> Classes:
    """Give the classes that occur numbers from 0, so that no type and no gap changes a result.

    Parameters
    ----------
    labels
        Whole numbers from 0, as a tensor, an array, a pandas column or a list, of integers,
        booleans or floating-point numbers without fractions.

    Raises
    ------
    UsageError
        If there is none, or one is negative or no whole number.

    Examples
    --------
    >>> number_classes([7, 3, 7]).number
    tensor([1, 0, 1])
    """
    given = to_tensor(labels)
    whole = given.long()
    if given.ndim == 0 or given.numel() == 0:
        raise UsageError(f"The labels have shape {tuple(given.shape)}; give one an occurrence.")
    if not torch.equal(whole.to(given.dtype), given):
        raise UsageError("The labels are not all whole numbers; give classes 0, 1 and on.")
    if int(whole.min()) < 0:
        raise UsageError(
            f"A label is {int(whole.min())}; classes are numbered from 0. Leave out the "
            "occurrences that have no class, where another library marks them with -1 or -100."
        )
    values, number = torch.unique(whole, return_inverse=True)
    return Classes(number, values)


def to_tensor(labels: Any) -> Tensor:
    """Return labels as a tensor, from whatever holds numbers.

    Raises
    ------
    UsageError
        If they are no numbers.
    """
    if isinstance(labels, Tensor):
        return labels
    try:
        return torch.from_numpy(np.array(labels))  # a copy: what pandas gives may be read-only
    except (TypeError, ValueError) as error:  # text, objects, rows of different lengths
        raise UsageError(
            f"The labels are no numbers ({error}). Give whole numbers from 0, such as "
            "pandas.factorize(labels)[0]."
        ) from error


def read_positive(name: str, value: Any) -> float:
    """Return a setting as a number above 0.

    Raises
    ------
    SettingError
        If it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise SettingError(f"{name} is {value!r}; give a finite number above 0.")
    return number


def read_groups(groups: Any, n_rows: int) -> Int[Tensor, "row"]:
    """Give what is left out together one number: by default each row is its own.

    Raises
    ------
    SettingError
        If there is not one group for each row.
    """
    if groups is None:
        return torch.arange(n_rows)
    given = np.asarray(groups)
    if given.shape != (n_rows,):
        raise SettingError(
            f"groups has shape {given.shape} for {n_rows} rows; give the group of each row."
        )
    return torch.from_numpy(np.unique(given, return_inverse=True)[1])


def refuse_settings(name: str, given: dict[str, Any]) -> None:
    """Refuse what scikit-learn's estimators take and these do not; None is nothing.

    Raises
    ------
    SettingError
        If something was given.
    """
    unknown = sorted(key for key, value in given.items() if value is not None)
    if unknown:
        raise SettingError(
            f"{name}.fit takes no {', '.join(unknown)}. Leave it out; a row that is to weigh "
            "double can come twice."
        )
