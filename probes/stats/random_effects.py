"""What holds over models: the mean of a population of models, and the interval for a new one.

Models are drawn from a population with a spread of its own, and each is measured with an error.
The mean over them says what is true of the population. The prediction interval says where the next
model's number is expected, measured with an error like these. `statsmodels` fits the spread
(Paule & Mandel 1982) and the mean.

The usual prediction interval of random effects, mean ± t(models - 2) sqrt(spread² + s²), is one of
the true value. It covers 83 to 91 % where the spread is about as large as the errors, since the
spread is then often estimated as 0. The one here has no such gap: measured values of models are
exchangeable, so that of the next is within t(models - 1) standard deviations of their mean.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2
from scipy.stats import t as student

from probes.errors import NonFiniteError, UsageError

FEWEST = 3
"""Models below which there is no interval for a new one: a spread needs two degrees of freedom."""


@dataclass(frozen=True)
class PopulationMean:
    """A mean over models, and what it says of the next.

    Attributes
    ----------
    models
        How many there are.
    value, low, high
        The mean of the population and its 95 % interval (Hartung & Knapp 2001; Sidik & Jonkman
        2002); without ends below two models.
    new_low, new_high
        95 % prediction interval of the number measured in a new model; NaN below three models.
    spread
        Standard deviation of the population, less the errors of measurement.
    inconsistency
        I², the share of the variance between models that errors of measurement do not explain.
    p_alike
        Cochran's Q: p of the hypothesis that all models have one value.
    """

    models: int
    value: float
    low: float
    high: float
    new_low: float
    new_high: float
    spread: float
    inconsistency: float
    p_alike: float


def pool_models(
    values: Float[np.ndarray, " model"], errors: Float[np.ndarray, " error"]
) -> PopulationMean:
    """Pool one number of several models by a random-effects model.

    The interval of the mean is mean ± t(models - 1) s with the variance s² of Hartung, Knapp, Sidik
    and Jonkman, never below that of the usual formula. The prediction interval is that of a normal
    sample: m ± t(models - 1) d sqrt(1 + 1 / models), with the plain mean m and deviation d.

    Parameters
    ----------
    values
        Of every model, in any unit.
    errors
        Their standard errors, above 0.

    Raises
    ------
    UsageError
        If there is no model, or the two differ in length, or an error is not above 0.
    NonFiniteError
        If a value or an error is NaN or infinite.

    Notes
    -----
    Source: Higgins, Thompson & Spiegelhalter 2009, "A re-evaluation of random-effects
    meta-analysis"; for the prediction interval Hahn 1969, "Factors for calculating two-sided
    prediction intervals for samples from a normal distribution".

    Examples
    --------
    >>> found = pool_models(np.array([0.1, 0.3, 0.2, 0.5]), np.array([0.1, 0.14, 0.1, 0.17]))
    >>> round(found.value, 2)
    0.24
    """
    count = len(values)
    if count != len(errors) or not count:
        raise UsageError(
            f"{count} values and {len(errors)} errors given; give one of each a model."
        )
    if not (np.isfinite(values).all() and np.isfinite(errors).all()):
        raise NonFiniteError("A value or an error of a model is NaN or infinite; leave it out.")
    if (errors <= 0).any():
        raise UsageError(f"Errors must be above 0; the smallest is {errors.min():g}.")
    if count == 1:
        return PopulationMean(1, float(values[0]), *[math.nan] * 7)
    from statsmodels.stats.meta_analysis import combine_effects  # seconds to import

    # What it warns of is not read here: intervals of single models, shares where all agree.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        fitted = combine_effects(values, errors**2, method_re="iterated", use_t=True)
    q = float(fitted.q)
    mean, between = float(fitted.mean_effect_re), max(0.0, float(fitted.tau2))
    usual = 1 / np.sum(1 / (errors**2 + between))
    variance = max(float(fitted.var_hksj_re), float(usual))
    reach = student.ppf(0.975, count - 1) * math.sqrt(variance)
    plain, ahead = float(values.mean()), math.nan
    if count >= FEWEST:
        factor = float(student.ppf(0.975, count - 1)) * math.sqrt(1 + 1 / count)
        ahead = factor * float(values.std(ddof=1))
    return PopulationMean(
        models=count,
        value=mean,
        low=mean - reach,
        high=mean + reach,
        new_low=plain - ahead,
        new_high=plain + ahead,
        spread=math.sqrt(between),
        inconsistency=max(0.0, 1 - (count - 1) / q) if q > 0 else 0.0,
        p_alike=float(chi2.sf(q, count - 1)),
    )
