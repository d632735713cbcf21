"""Do W_K and W_V of a head read the same directions of x? Principal angles of the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.measure import Measure, Takes
from probes.stats.checks import require_finite
from probes.stats.rounding import rounding_variance


@dataclass(frozen=True)
class PrincipalAngles:
    """What :func:`principal_angles` found, with what two random subspaces would give.

    Attributes
    ----------
    cosines
        Cosines of the principal angles, falling; NaN beyond the narrower rank.
    mean_squared_cosine
        1 when the narrower row space is within the wider, 0 when they are orthogonal.
    chance, chance_sd
        Mean and standard deviation of it over pairs of uniformly random subspaces of the same
        dimensions.
    """

    cosines: Float[Tensor, "*head angle"]
    mean_squared_cosine: Float[Tensor, "*head"]
    chance: Float[Tensor, "*head"]
    chance_sd: Float[Tensor, "*head"]

    @property
    def standardised(self) -> Float[Tensor, "*head"]:
        """Standard deviations above chance; NaN where a row space is all of the input space."""
        return (self.mean_squared_cosine - self.chance) / self.chance_sd


def principal_angles(
    key_weights: Float[Tensor, "*head d_key d_input"],
    value_weights: Float[Tensor, "*head d_value d_input"],
) -> PrincipalAngles:
    """Principal angles between the row spaces of W_K and W_V, for every head.

    The mean squared cosine is tr(P_K P_V) / min(p, q), with P the projections on the row spaces
    and p, q their dimensions. For independent uniformly random subspaces of R^D its expectation is
    max(p, q) / D (d_head / d_model for a usual head), and tr(P_K P_V) has the variance

        2 p (D - p) q (D - q) / (D^2 (D - 1) (D + 2)).

    Unchanged by invertible maps of keys and of values (a row space does not depend on its basis),
    and by a common rotation of the input; symmetric in keys and values. It says what the head
    *could* read alike: how much of x lies there is for the measures of keys and values to say.

    Parameters
    ----------
    key_weights, value_weights
        W_K and W_V, each row a direction of the input.

    Returns
    -------
    PrincipalAngles
        float64. NaN for a head whose weights are 0.

    Raises
    ------
    UsageError
        If the heads or the width of the input differ.
    NonFiniteError
        If a weight is NaN or infinite.

    Notes
    -----
    Source: Björck & Golub 1973, "Numerical methods for computing angles between linear subspaces".
    The variance: Collins & Śniady 2006, "Integration with respect to the Haar measure on unitary,
    orthogonal and symplectic group".
    """
    _check(key_weights, value_weights)
    key, key_rank = _row_basis(key_weights)
    value, value_rank = _row_basis(value_weights)
    narrow, wide = torch.minimum(key_rank, value_rank), torch.maximum(key_rank, value_rank)
    cosines = torch.linalg.svdvals(key @ value.mT).clamp(max=1.0)
    exists = torch.arange(cosines.shape[-1]) < narrow[..., None]
    size = float(key_weights.shape[-1])
    spread = key_rank * (size - key_rank) * value_rank * (size - value_rank)
    # Of a line there is one direction only, and nothing varies.
    variance = 2 * spread / (size**2 * max(size - 1, 1) * (size + 2))
    return PrincipalAngles(
        cosines=torch.where(exists, cosines, torch.nan),
        mean_squared_cosine=cosines.square().sum(-1) / narrow,
        chance=torch.where(narrow > 0, wide / size, torch.nan),
        chance_sd=variance.sqrt() / narrow,
    )


def _row_basis(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal rows that span the row space, 0 beyond its dimension, and the dimension."""
    _, singular, rows = torch.linalg.svd(weights.double(), full_matrices=False)
    # What is smaller than the rounding of the weights is no direction.
    rounding = rounding_variance(weights.double().square().sum(-1), weights.dtype).sqrt()[..., None]
    computed = max(weights.shape[-2:]) * torch.finfo(torch.float64).eps * singular[..., :1]
    kept = singular > torch.maximum(rounding, computed)
    return rows * kept[..., None], kept.sum(-1)


def _check(key_weights: Tensor, value_weights: Tensor) -> None:
    key, value = key_weights.shape, value_weights.shape
    if len(key) < 2 or key[:-2] != value[:-2] or key[-1] != value[-1]:
        raise UsageError(
            f"W_K has shape {tuple(key)} and W_V {tuple(value)}; expected [*head, d, d_input] with "
            "the same heads and the same input."
        )
    require_finite("W_K", key_weights)
    require_finite("W_V", value_weights)


MEASURES = (
    Measure(
        name="principal_angles",
        label="principal angles of W_K and W_V",
        symbol="cos²",
        unit="mean squared cosine",
        direction=1,
        heading="Principal angles",
        meaning=(
            "The mean squared cosine of the angles between the directions of the input that W_K "
            "reads and those that W_V reads: 1 if one holds the other, 0 if they are orthogonal."
        ),
        function=lambda key_weights, value_weights: (
            principal_angles(key_weights, value_weights).mean_squared_cosine
        ),
        takes=Takes.WEIGHTS,
        unchanged_by=Takes.WEIGHTS.admits,
        identical=1.0,
        independent=lambda sizes: max(sizes.d_key, sizes.d_value) / sizes.d_input,
        source="Björck & Golub 1973",
    ),
)
