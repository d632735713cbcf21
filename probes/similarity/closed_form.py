"""Tieability in closed form: the in-sample R^2 of least squares from keys to values."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from probes.similarity.measure import RIGID, Measure, Takes, Transformation
from probes.similarity.moments import CrossMoments


def closed_form_r2(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
) -> Float[Tensor, "*head"]:
    """In-sample R^2 of least squares from keys to values, from their covariances.

    tr(C_vk C_kk^+ C_kv) / tr(C_vv): 1 when values are a linear map of keys, and at least as large
    as any other map's. Biased upwards: d_key / (occurrences - 1) on average for independent
    values; the held-out figure is :func:`probes.similarity.tieability.tieability`. Unchanged by
    every invertible affine map of the keys, by rotations, shifts and a factor of the values.

    Parameters
    ----------
    keys, values
        Coordinates, centred or not.

    Returns
    -------
    Float[Tensor, "*head"]
        float64, in [0, 1]; NaN for a head whose values never vary.

    Raises
    ------
    UsageError
        If shapes disagree.
    NonFiniteError
        If a key or value is NaN or infinite.

    Notes
    -----
    Source: docs/measures.md; the redundancy index of Stewart & Love 1968, "A general canonical
    correlation index".
    """
    return closed_form_r2_from_moments(CrossMoments.of(keys, values))


def closed_form_r2_from_moments(moments: CrossMoments) -> Float[Tensor, "*head"]:
    """Equal :func:`closed_form_r2` of the occurrences that the moments were taken over.

    Parameters
    ----------
    moments
        Of all occurrences, however many blocks they came in.

    Returns
    -------
    Float[Tensor, "*head"]
        float64, in [0, 1]; NaN for a head whose values never vary.
    """
    explained = (moments.whiten_keys().mT @ moments.key_value).square().sum((-2, -1))
    total = moments.value_value.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (explained / total).clamp(max=1.0)


MEASURES = (
    Measure(
        name="closed_form_r2",
        label="closed-form tieability",
        symbol="closed-form R²",
        unit="share of the variance",
        direction=1,
        heading="Closed-form tieability",
        meaning=(
            "R² of least squares from keys to what the values write, on the words "
            "it was fitted on: the same as tieability, but never below what chance gives."
        ),
        function=closed_form_r2,
        takes=Takes.COORDINATES,
        unchanged_by=RIGID | {Transformation.MAPPED_KEYS},
        identical=1.0,
        independent=lambda sizes: sizes.d_key / (sizes.count - 1),
        source="Stewart & Love 1968",
    ),
)
