"""Which directions of the keys' and the values' space go together? Canonical correlations.

Invariant under every invertible linear map of either side, so a direction of tiny variance counts
as much as the widest; CKA and tieability weigh by variance.
"""

from __future__ import annotations

from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.measure import Measure, Takes
from probes.similarity.moments import CrossMoments, require_alike
from probes.stats.folds import word_folds


def canonical_correlations(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
    *,
    stored: torch.dtype | None = None,
) -> Float[Tensor, "*head axis"]:
    """All canonical correlations of keys and values, in sample, falling.

    Singular values of C_kk^(-1/2) C_kv C_vv^(-1/2), with no regularisation but a rank cut: axes
    whose variance rounding alone could have made do not count. Of independent data the mean square
    is max(d_key, d_value) / (occurrences - 1), not 0; see
    :func:`held_out_canonical_correlations`.

    1 along every direction that is a linear map of the other side's. Unchanged by invertible
    affine maps of either; symmetric in keys and values.

    Parameters
    ----------
    keys, values
        Coordinates, centred or not.
    stored
        What they were stored in before they came here; by default, what they are in.

    Returns
    -------
    Float[Tensor, "*head axis"]
        float64, in [0, 1]; as many axes as the narrower width, and NaN where the narrower rank has
        no more.

    Raises
    ------
    UsageError
        If shapes disagree, or there are not more occurrences than d_key + d_value: some
        correlations would be 1 for any data.
    NonFiniteError
        If a key or value is NaN or infinite.

    Notes
    -----
    Source: Hotelling 1936, "Relations between two sets of variates". From co-moments:
    :func:`canonical_correlations_from_moments`.
    """
    require_alike(keys, values)
    _require_more_occurrences(keys.shape[-2], keys, values)
    return canonical_correlations_from_moments(CrossMoments.of(keys, values, stored=stored))


def canonical_correlations_from_moments(moments: CrossMoments) -> Float[Tensor, "*head axis"]:
    """Equal :func:`canonical_correlations` of the occurrences the moments were taken over."""
    key, value = moments.whiten_keys(), moments.whiten_values()
    singular = torch.linalg.svdvals(key.mT @ moments.key_value @ value).clamp(max=1.0)
    return _blank_beyond(singular, _count_axes(key, value))


def held_out_canonical_correlations(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
    *,
    words: Int[Tensor, "occurrence"],
    folds: int = 5,
    seed: int = 0,
) -> Float[Tensor, "*head axis"]:
    """Correlations of the canonical variates on words they were not fitted on.

    The axes are fitted on all folds but one and projected on that one; products of the projections,
    around the mean of their own fold, are summed over folds before they are divided. In sample
    every axis finds some correlation; here an axis that fits noise comes out near 0, of either
    sign. The mean square of independent data is 1 to 2 / occurrences (wide to narrow keys).

    Parameters
    ----------
    keys, values
        Coordinates, centred or not.
    words
        The word (any integer) of each occurrence; folds split words.
    folds, seed
        See :func:`probes.stats.word_folds`.

    Returns
    -------
    Float[Tensor, "*head axis"]
        float64, in [-1, 1], in the order of the fitted correlations, so nearly falling; NaN
        where the narrower rank, in some fold, has no more axes.

    Raises
    ------
    UsageError
        If shapes disagree, there are fewer words than folds, or a fit has not more occurrences
        than d_key + d_value.
    NonFiniteError
        If a key or value is NaN or infinite.

    Notes
    -----
    Source: cross-validated canonical correlations as in Raghu et al. 2017, "SVCCA", on held-out
    data; folds by word as everywhere here.
    """
    require_alike(keys, values)
    if words.shape != keys.shape[-2:-1]:
        raise UsageError(
            f"words has shape {tuple(words.shape)} for {keys.shape[-2]} occurrences; give one word "
            "number per occurrence."
        )
    fold = word_folds(words, folds, seed)
    _require_more_occurrences(len(words) - int(fold.bincount().max()), keys, values)
    folded = [fold == f for f in range(folds)]
    parts = [CrossMoments.of(keys[..., mine, :], values[..., mine, :]) for mine in folded]
    sums = torch.zeros(3, *keys.shape[:-2], min(keys.shape[-1], values.shape[-1])).double()
    count = torch.full(keys.shape[:-2], sums.shape[-1])
    for f, test in enumerate(parts):
        train = reduce(CrossMoments.merge, parts[:f] + parts[f + 1 :])
        key, value = train.whiten_keys(), train.whiten_values()
        left, _, right = torch.linalg.svd(key.mT @ train.key_value @ value, full_matrices=False)
        key_axes, value_axes = key @ left, value @ right.mT
        sums[0] += _along(key_axes, test.key_value, value_axes)
        sums[1] += _along(key_axes, test.key_key, key_axes)
        sums[2] += _along(value_axes, test.value_value, value_axes)
        count = torch.minimum(count, _count_axes(key, value))
    return _blank_beyond((sums[0] / (sums[1] * sums[2]).sqrt()).clamp(-1, 1), count)


def mean_squared_correlation(correlations: Float[Tensor, "*head axis"]) -> Float[Tensor, "*head"]:
    """Mean square of a head's canonical correlations, over the axes it has.

    1 when the narrower side is a linear map of the other. Raghu et al. 2017 report the mean, after
    a cut of small directions; the mean square is the explained part of the variance, as R^2 is.

    Returns
    -------
    Float[Tensor, "*head"]
        NaN where no axis is left.
    """
    return correlations.square().nanmean(-1)


def _along(left: Tensor, matrix: Tensor, right: Tensor) -> Tensor:
    """Diagonal of left' matrix right."""
    return (left * (matrix @ right)).sum(-2)


def _count_axes(key: Tensor, value: Tensor) -> Tensor:
    """Rank of the narrower side, from the whitening maps."""
    return torch.minimum(*((side != 0).any(-2).sum(-1) for side in (key, value)))


def _blank_beyond(correlations: Tensor, count: Tensor) -> Tensor:
    exists = torch.arange(correlations.shape[-1]) < count[..., None]
    return torch.where(exists, correlations, torch.nan)


def _require_more_occurrences(n_occurrences: int, keys: Tensor, values: Tensor) -> None:
    needed = keys.shape[-1] + values.shape[-1]
    if n_occurrences <= needed:
        raise UsageError(
            f"{n_occurrences} occurrences are too few to correlate {keys.shape[-1]} dimensions of "
            f"keys with {values.shape[-1]} of values: more than {needed} are needed, or some "
            "correlations are 1 for any data. Capture more words."
        )


def _measure_held_out(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
    words: Int[Tensor, " occurrence"],
    *,
    seed: int = 0,
) -> Float[Tensor, "*head"]:
    found = held_out_canonical_correlations(keys, values, words=words, seed=seed)
    return mean_squared_correlation(found)


_MEANING = (
    "The mean square of the canonical correlations: how much of the narrower of keys and values is "
    "a linear map of the other, with every direction counting alike. Held out: on words that the "
    "axes were not fitted on."
)

MEASURES = (
    Measure(
        name="canonical_correlation",
        label="canonical correlations",
        symbol="canonical correlations",
        unit="mean square",
        direction=1,
        heading="Canonical correlations",
        meaning=_MEANING,
        function=lambda keys, values: mean_squared_correlation(
            canonical_correlations(keys, values)
        ),
        takes=Takes.COORDINATES,
        unchanged_by=Takes.COORDINATES.admits,
        identical=1.0,
        independent=lambda sizes: max(sizes.d_key, sizes.d_value) / (sizes.count - 1),
        source="Hotelling 1936",
        beside_nulls=False,
    ),
    Measure(
        name="held_out_canonical_correlation",
        label="held-out canonical correlations",
        symbol="held-out canonical correlations",
        unit="mean square",
        direction=1,
        heading="Canonical correlations",
        meaning=_MEANING,
        function=_measure_held_out,
        takes=Takes.HELD_OUT,
        unchanged_by=Takes.HELD_OUT.admits,
        identical=1.0,
        independent=lambda sizes: 1 / sizes.count,
        source="Hotelling 1936; Raghu et al. 2017",
        # Of fewer occurrences the axes could not be distinguished from chance.
        enough=lambda sizes: sizes.count > 2 * (sizes.d_key + sizes.d_value),
    ),
)
