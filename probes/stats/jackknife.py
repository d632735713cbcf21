"""The delete-one jackknife: intervals for figures derived from all blocks of the data at once."""

from __future__ import annotations

import numpy as np
import scipy.stats
from jaxtyping import Float


def jackknife_interval(
    whole: Float[np.ndarray, "*figure"], without: Float[np.ndarray, "block *figure"]
) -> tuple[Float[np.ndarray, "*figure"], Float[np.ndarray, "*figure"]]:
    """Give the 95 % interval of a figure: Student's t with one degree of freedom less than blocks.

    The standard error is sqrt((n - 1) / n sum (figure without b - mean of these)^2). Blocks are
    for independent pieces of the data (seeds, stretches of a text); of the mean of all blocks it is
    the usual t interval, exactly.

    Parameters
    ----------
    whole
        The figure from all blocks.
    without
        The figure with each block left out.

    Returns
    -------
    low, high
        NaN with fewer than two blocks.

    Notes
    -----
    Source: Tukey 1958, "Bias and confidence in not-quite large samples"; for blocks of neighbouring
    observations Kunsch 1989, "The jackknife and the bootstrap for general stationary observations".
    """
    n = len(without)
    if n < 2:
        nothing = np.full(without.shape[1:], np.nan)
        return nothing, nothing
    spread = ((without - without.mean(0)) ** 2).sum(0)
    reach = scipy.stats.t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * spread)
    return np.asarray(whole - reach), np.asarray(whole + reach)
