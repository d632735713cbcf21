"""The delete-one jackknife: intervals for figures derived from all blocks of the data at once."""

from __future__ import annotations

import numpy as np
import scipy.stats
from jaxtyping import Float


def jackknife_error(
    without: Float[np.ndarray, "block *figure"],
) -> Float[np.ndarray, "*figure"]:
    """Compute the standard error of a figure from what it is without each block.

    sqrt((n - 1) / n sum (figure without b - mean of these)^2). Blocks stand for independent pieces
    of the data (seeds, stretches of a text); of the mean of all blocks it is the usual standard
    error, exactly.

    Parameters
    ----------
    without
        The figure with each block left out.

    Returns
    -------
    Float[np.ndarray, "*figure"]
        NaN with fewer than two blocks.

    Notes
    -----
    Source: Tukey 1958, "Bias and confidence in not-quite large samples"; for blocks of neighbouring
    observations Kunsch 1989, "The jackknife and the bootstrap for general stationary observations".
    """
    n = len(without)
    if n < 2:
        return np.full(without.shape[1:], np.nan)
    spread = ((without - without.mean(0)) ** 2).sum(0)
    return np.asarray(np.sqrt((n - 1) / n * spread))


def jackknife_interval(
    whole: Float[np.ndarray, "*figure"], without: Float[np.ndarray, "block *figure"]
) -> tuple[Float[np.ndarray, "*figure"], Float[np.ndarray, "*figure"]]:
    """Give the 95 % interval of a figure: Student's t with one degree of freedom less than blocks.

    Parameters
    ----------
    whole
        The figure from all blocks.
    without
        See :func:`jackknife_error`.

    Returns
    -------
    low, high
        NaN with fewer than two blocks.
    """
    reach = scipy.stats.t.ppf(0.975, max(len(without) - 1, 1)) * jackknife_error(without)
    return np.asarray(whole - reach), np.asarray(whole + reach)
