"""What a few seeds can say: t intervals, equivalence, and the jackknife for derived figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float

from probes.errors import NonFiniteError, UsageError
from probes.stats.jackknife import jackknife_error


@dataclass(frozen=True)
class SeedSummary:
    """A figure over seeds.

    Attributes
    ----------
    value
        The mean over seeds (or the figure of all seeds, for a jackknife).
    low, high
        The 95 % t interval; NaN with one seed.
    p_equivalent
        p of the two one-sided t tests that the figure lies within the margin; NaN without a margin
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

        A figure that is certainly not 0 but certainly within the margin is "equivalent".
        """
        if self.p_equivalent < 0.05:
            return "equivalent"
        return "different" if self.p_different < 0.05 else "undecided"


def summarise_seeds(
    figures: Float[np.ndarray, " seed"], *, margin: float | None = None
) -> SeedSummary:
    """Summarise one figure a seed, taken as normal around its mean.

    With three to five seeds normal quantiles would be far too short; here they are Student's. A
    figure that does not differ from 0 may be anything; one for which both one-sided tests against
    the margin are significant is small (TOST, Schuirmann 1987).

    Parameters
    ----------
    figures
        Of independent seeds; differences should be paired, seed by seed.
    margin
        The largest figure that means nothing.

    Raises
    ------
    UsageError
        If there is no seed, or the margin is not above 0.
    NonFiniteError
        If a figure is NaN or infinite.
    """
    _check(figures, margin)
    n = len(figures)
    error = float(figures.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return _summarise(float(figures.mean()), error, n - 1, margin)


def jackknife_seeds(
    whole: float, without: Float[np.ndarray, " seed"], *, margin: float | None = None
) -> SeedSummary:
    """Summarise a figure that is derived from all seeds at once, by leaving out one at a time.

    Parameters
    ----------
    whole
        The figure from all seeds.
    without
        The figure without each seed; see :func:`probes.stats.jackknife_error`.

    Raises
    ------
    UsageError
        If there is no seed, or the margin is not above 0.
    NonFiniteError
        If a figure is NaN or infinite.
    """
    _check(np.append(without, whole), margin)
    return _summarise(whole, float(jackknife_error(without)), len(without) - 1, margin)


def _check(figures: np.ndarray, margin: float | None) -> None:
    if not len(figures):
        raise UsageError("There is no seed; give at least one figure.")
    if margin is not None and not 0 < margin < np.inf:
        raise UsageError(f"The margin is {margin}; give the largest figure that means nothing.")
    if not np.isfinite(figures).all():
        raise NonFiniteError("A figure of a seed is NaN or infinite.")


def _summarise(value: float, error: float, freedom: int, margin: float | None) -> SeedSummary:
    if np.isnan(error):
        return SeedSummary(value, np.nan, np.nan, np.nan, np.nan)
    reach = float(scipy.stats.t.ppf(0.975, freedom)) * error
    p_equivalent = np.nan if margin is None else _tail(margin - abs(value), error, freedom)
    p_different = min(1.0, 2 * _tail(abs(value), error, freedom))
    return SeedSummary(value, value - reach, value + reach, p_equivalent, p_different)


def _tail(distance: float, error: float, freedom: int) -> float:
    """P(t of this spread > distance); without spread 0 beyond 0, and 1 elsewhere."""
    if error == 0:
        return float(distance <= 0)
    return float(scipy.stats.t.sf(distance / error, freedom))
