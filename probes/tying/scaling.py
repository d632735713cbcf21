"""Loss against parameters: one curve for all variants, shifted by the factor each one needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import least_squares

from probes.errors import NonFiniteError, UsageError

FLOOR_STARTS = (0.0, 0.5, 0.9)
"""Shares of the lowest loss that the search for the floor starts from."""


@dataclass(frozen=True)
class ScalingFit:
    """loss = floor + scale (parameters / factor)^-exponent.

    Attributes
    ----------
    factors
        One a variant: how many times the parameters it needs for the loss of the first one, whose
        factor is 1.
    residual
        Root mean square of what the curve leaves, in nats.
    """

    floor: float
    scale: float
    exponent: float
    factors: Float[np.ndarray, " variant"]
    residual: float


def fit_scaling(
    parameters: Float[np.ndarray, " run"],
    losses: Float[np.ndarray, " run"],
    variants: Int[np.ndarray, " run"],
) -> ScalingFit:
    """Fit one power law with a floor to all variants at once, by least squares.

    Floor, scale and exponent are shared; a variant's curve is the first one's, shifted along the
    axis of parameters. So the factor is the same at every loss, and can be computed without
    extrapolating either curve.

    Parameters
    ----------
    parameters, losses
        Of each run.
    variants
        Which variant it is of, from 0; one must have runs of three sizes, every other of two.

    Raises
    ------
    UsageError
        If shapes disagree, or there are fewer sizes.
    NonFiniteError
        If a loss is not a number.

    Notes
    -----
    Source: the form of Hoffmann et al. 2022, "Training compute-optimal large language models",
    in the number of parameters alone, since all runs read the same tokens.
    """
    if not parameters.shape == losses.shape == variants.shape:
        raise UsageError(
            f"{parameters.size} parameter counts, {losses.size} losses and {variants.size} "
            "variants; give one of each a run."
        )
    if not np.isfinite(losses).all():
        raise NonFiniteError("A loss is NaN or infinite; leave that run out, or find out why.")
    n_variants = int(variants.max()) + 1
    sizes = [len(set(parameters[variants == number])) for number in range(n_variants)]
    if min(sizes) < 2 or max(sizes) < 3:
        raise UsageError(
            f"The variants have {sizes} sizes; a curve needs three of one variant and two of every "
            "other."
        )
    centre = np.exp(np.log(parameters).mean())
    logs = np.log(parameters / centre)

    def leave(solution: np.ndarray) -> np.ndarray:
        floor, scale, exponent = solution[0], np.exp(solution[1]), np.exp(solution[2])
        shifts = np.concatenate([[0.0], solution[3:]])
        left: np.ndarray = floor + scale * np.exp(-exponent * (logs - shifts[variants])) - losses
        return left

    lowest = float(losses.min())
    fits = [
        least_squares(
            leave,
            [share * lowest, np.log((1 - share) * losses.mean()), np.log(0.3)]
            + [0.0] * (n_variants - 1),
            bounds=([0.0] + [-np.inf] * (n_variants + 1), np.inf),
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
            max_nfev=5000,
        )
        for share in FLOOR_STARTS
    ]
    best = min(fits, key=lambda fit: float(fit.cost)).x
    exponent = float(np.exp(best[2]))
    return ScalingFit(
        floor=float(best[0]),
        scale=float(np.exp(best[1]) * centre**exponent),
        exponent=exponent,
        factors=np.exp(np.concatenate([[0.0], best[3:]])),
        residual=float(np.sqrt((leave(best) ** 2).mean())),
    )
