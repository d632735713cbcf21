"""What a few seeds can say: t intervals and equivalence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float

from probes.errors import NonFiniteError, UsageError


@dataclass(frozen=True)
class SeedSummary:
    """A number over seeds.

    Attributes
    ----------
    value
        The mean over seeds.
    low, high
        The 95 % t interval; NaN with one seed.
    p_equivalent
        p of the two one-sided t tests that the number is within the margin; NaN without a margin
        or with one seed.
    p_different
        p of the two-sided t test against 0.
    """

    value: float
    low: float
    high: float
    p_equivalent: float
    p_different: float

    @property
    def verdict(self) -> str:
        """Say "equivalent", "different" or "undecided", at 5 %.

        A number that is certainly not 0 but certainly within the margin is "equivalent".
        """
        if self.p_equivalent < 0.05:
            return "equivalent"
        return "different" if self.p_different < 0.05 else "undecided"


def summarise_seeds(
    numbers: Float[np.ndarray, " seed"], *, margin: float | None = None
) -> SeedSummary:
    """Summarise one number per seed, taken as normal around its mean.

    With three to five seeds normal quantiles would be far too short; here they are Student's. A
    number that does not differ from 0 may be anything; one for which both one-sided tests against
    the margin are significant is small (TOST, Schuirmann 1987). Unlike scipy's ``ttest_1samp``,
    this takes one seed, and seeds that all say the same.

    Parameters
    ----------
    numbers
        Of independent seeds; differences should be paired, seed by seed.
    margin
        The largest difference that means nothing.

    Raises
    ------
    UsageError
        If there is no seed, or the margin is not above 0.
    NonFiniteError
        If a number is NaN or infinite.
    """
    if margin is not None and not 0 < margin < np.inf:
        raise UsageError(f"The margin is {margin}; give the largest difference that means nothing.")
    if not len(numbers):
        raise UsageError("There is no seed; give the number of at least one.")
    if not np.isfinite(numbers).all():
        raise NonFiniteError("A number of a seed is NaN or infinite.")
    value, freedom = float(numbers.mean()), len(numbers) - 1
    if not freedom:
        return SeedSummary(value, np.nan, np.nan, np.nan, np.nan)
    error = float(numbers.std(ddof=1) / np.sqrt(len(numbers)))
    reach = float(scipy.stats.t.ppf(0.975, freedom)) * error
    p_equivalent = np.nan if margin is None else _tail(margin - abs(value), error, freedom)
    p_different = min(1.0, 2 * _tail(abs(value), error, freedom))
    return SeedSummary(value, value - reach, value + reach, p_equivalent, p_different)


def _tail(distance: float, error: float, freedom: int) -> float:
    """P(t of this spread > distance); without spread 0 beyond 0, and 1 elsewhere."""
    if error == 0:
        return float(distance <= 0)
    return float(scipy.stats.t.sf(distance / error, freedom))
