"""Spaces as coordinate maps: centre, then multiply by the root of a metric.

A space of keys (or values) is a metric A, and ``x -> A^(1/2) x`` turns its geometry into the
Euclidean one. With A = S = E[q q'] / d_head a squared distance of keys is the mean squared gap in
attention logits; with A = W_O W_O' (rows of ``v @ W_O``) a distance of values is the distance of
what the head writes. Under a change of basis that leaves the model's function unchanged (keys
k -> k M, queries by M^-T, so S -> M^-1 S M^-T) the coordinates only rotate, so no measure of
this package moves.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import require_finite
from probes.stats.rounding import computing_dtype, subtract_mean

_TOLERANCE = 1e-4  # relative to the largest eigenvalue: what float32 sums leave of a PSD matrix


def centre(
    vectors: Float[Tensor, "*head occurrence d"],
    groups: Int[Tensor, "occurrence"] | None,
) -> Float[Tensor, "*head occurrence d"]:
    """Subtract the mean over occurrences, within each group if groups are given.

    Exact, not cosmetic: softmax removes a constant added to all keys of a sentence frame, and a
    constant added to all values is a constant bias of the output. The result is unchanged when a
    constant (one per group) is added; centring twice changes nothing; a group of one becomes 0, and
    so does what differs from the mean by rounding only.

    Parameters
    ----------
    vectors
        Keys or values.
    groups
        The group (template) of each occurrence, any integers; None makes one group.

    Returns
    -------
    Float[Tensor, "*head occurrence d"]
        Same dtype. The means are taken in float64.

    Raises
    ------
    UsageError
        If there is no occurrence, or not one group number per occurrence.
    NonFiniteError
        If a vector is NaN or infinite.
    """
    require_finite("the vectors", vectors)
    occurrences = vectors.shape[-2]
    if occurrences == 0:
        raise UsageError("There are no occurrences to centre; give at least one.")
    if groups is None:
        return _subtract(vectors, vectors.mean(dim=-2, keepdim=True, dtype=torch.float64))
    if groups.shape != (occurrences,):
        raise UsageError(
            f"groups has shape {tuple(groups.shape)} for {occurrences} occurrences; give one group "
            "number per occurrence."
        )
    _, group, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    shape = (*vectors.shape[:-2], counts.shape[0], vectors.shape[-1])
    sums = torch.zeros(shape, dtype=torch.float64).index_add_(-2, group, vectors.double())
    return _subtract(vectors, (sums / counts[:, None]).index_select(-2, group))


def _subtract(vectors: Tensor, mean: Tensor) -> Tensor:
    return subtract_mean(vectors, mean.to(computing_dtype(vectors.dtype))).to(vectors.dtype)


def metric_root(metric: Float[Tensor, "*head d d"]) -> Float[Tensor, "*head d d"]:
    """Symmetric root R of a positive semi-definite metric A, so that ``|x R|^2 = x A x'``.

    By eigendecomposition in float64; eigenvalues that rounding made slightly negative count as 0,
    so a singular metric (a head that ignores some directions) is welcome. The root of a projection
    is itself, that of c I is sqrt(c) I, that of 0 is 0.

    Parameters
    ----------
    metric
        Symmetric positive semi-definite matrices.

    Returns
    -------
    Float[Tensor, "*head d d"]
        Same dtype.

    Raises
    ------
    UsageError
        If a matrix is not square, not symmetric, or has an eigenvalue clearly below 0 (beyond
        1e-4 of the largest in size).
    NonFiniteError
        If a metric is NaN or infinite.
    """
    if metric.ndim < 2 or metric.shape[-1] != metric.shape[-2]:
        raise UsageError(f"The metric has shape {tuple(metric.shape)}; give square matrices.")
    require_finite("the metric", metric)
    matrix = metric.double()
    size = matrix.abs().amax(dim=(-2, -1))
    skew = (matrix - matrix.mT).abs().amax(dim=(-2, -1))
    if bool((skew > _TOLERANCE * size).any()):
        raise UsageError(
            "A metric is not symmetric: entries differ from their mirror image by up to "
            f"{float((skew / size).nan_to_num().max()):.2g} of the largest. Give A = B B'."
        )
    eigenvalues, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    lowest, largest = eigenvalues[..., 0], eigenvalues.abs().amax(dim=-1)
    indefinite = lowest < -_TOLERANCE * largest
    if bool(indefinite.any()):
        raise UsageError(
            f"{int(indefinite.sum())} metrics have negative eigenvalues (lowest "
            f"{float(lowest.min()):.3g}, largest {float(largest.max()):.3g}); squared distances "
            "would be negative. Give a positive semi-definite matrix, such as E[q q']."
        )
    root: Tensor = (vectors * eigenvalues.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT
    return root.to(metric.dtype)


def to_coordinates(
    vectors: Float[Tensor, "*head occurrence d"], metric: Float[Tensor, "*head d d"]
) -> Float[Tensor, "*head occurrence d"]:
    """Coordinates of vectors in a metric: their Euclidean geometry is the metric's.

    Distances and cosines of the coordinates are unchanged under vectors -> vectors M, metric ->
    M^-1 metric M^-T for every invertible M (the coordinates themselves rotate).

    Parameters
    ----------
    vectors
        Keys or values, centred if the measure needs it.
    metric
        One per head; see :func:`metric_root`.

    Returns
    -------
    Float[Tensor, "*head occurrence d"]
        ``vectors @ metric_root(metric)``, in the vectors' dtype.

    Raises
    ------
    UsageError
        If the shapes disagree or the metric is no metric.
    NonFiniteError
        If anything is NaN or infinite.
    """
    expected = (*vectors.shape[:-2], vectors.shape[-1], vectors.shape[-1])
    if metric.shape != expected:
        raise UsageError(
            f"The metric has shape {tuple(metric.shape)}; expected {expected} for vectors of shape "
            f"{tuple(vectors.shape)}: one square matrix per head."
        )
    require_finite("the vectors", vectors)
    return vectors @ metric_root(metric.double()).to(vectors.dtype)
