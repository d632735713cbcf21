"""Two one-sided tests: the evidence that there is no difference worth naming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite, require_fraction, require_same_shape


@dataclass(frozen=True)
class EquivalenceTest:
    """What :func:`judge_equivalence` found.

    Attributes
    ----------
    low, high
        The interval of coverage 1 - 2 level (90 %) that must lie inside the margin.
    p_equivalent
        p of the two one-sided tests; small: the figure lies within the margin.
    p_different
        p of the two-sided test against 0; small: the figure is not 0.
    equivalent
        p_equivalent < level: the 90 % interval lies inside the margin.
    different
        p_different < level, and not `equivalent`.
    """

    low: Float[Tensor, "*figure"]
    high: Float[Tensor, "*figure"]
    p_equivalent: Float[Tensor, "*figure"]
    p_different: Float[Tensor, "*figure"]
    equivalent: Bool[Tensor, "*figure"]
    different: Bool[Tensor, "*figure"]

    def verdicts(self) -> np.ndarray:
        """Say "equivalent", "different" or "undecided", in the shape of the figures.

        A difference that is certainly there but certainly smaller than the margin is "equivalent".
        """
        return np.select(
            [self.equivalent.numpy(), self.different.numpy()],
            ["equivalent", "different"],
            default="undecided",
        )


def judge_equivalence(
    observed: Float[Tensor, "*figure"],
    standard_error: Float[Tensor, "*figure"],
    *,
    margin: float,
    level: float = 0.05,
) -> EquivalenceTest:
    """Test whether a difference lies within +-margin (TOST, Schuirmann 1987), and whether it is 0.

    A difference that is not significant may be anything; one whose 90 % interval lies within the
    margin is small. Both tests take the estimate as normal around the truth; p_equivalent =
    Phi((|observed| - margin) / standard_error).

    Parameters
    ----------
    observed
        A difference (or any figure whose null value is 0).
    standard_error
        Of the same figures: ``estimate.standard_error()``.
    margin
        The largest difference that means nothing, above 0. Fix it before looking.
    level
        Of each test.

    Returns
    -------
    EquivalenceTest
        float64. Without any spread the figure itself decides; a figure on the margin is not within.

    Raises
    ------
    UsageError
        If the margin is not a number above 0, an error is negative, `level` is not in (0, 1) or
        shapes disagree.
    NonFiniteError
        If a figure or an error is NaN or infinite.
    """
    require_fraction("level", level)
    require_same_shape("the observed figures", observed, "the standard errors", standard_error)
    require_finite("the observed figures", observed)
    require_finite("the standard errors", standard_error)
    if not 0 < margin < float("inf"):
        raise UsageError(f"The margin is {margin}; give the largest difference that means nothing.")
    if bool((standard_error < 0).any()):
        raise UsageError("A standard error is negative; give Estimate.standard_error().")
    value, error = observed.double(), standard_error.double()
    p_equivalent = _upper_tail(margin - value.abs(), error)
    p_different = (2 * _upper_tail(value.abs(), error)).clamp(max=1)
    reach = torch.special.ndtri(torch.tensor(1 - level, dtype=torch.float64)) * error
    equivalent = p_equivalent < level
    return EquivalenceTest(
        low=value - reach,
        high=value + reach,
        p_equivalent=p_equivalent,
        p_different=p_different,
        equivalent=equivalent,
        different=(p_different < level) & ~equivalent,
    )


def _upper_tail(distance: Tensor, error: Tensor) -> Tensor:
    """P(normal of this spread > distance); without spread 0 beyond 0, and 1 elsewhere."""
    spread = torch.special.ndtr(-distance / error.where(error > 0, torch.ones_like(error)))
    return torch.where(error > 0, spread, (distance <= 0).double())
