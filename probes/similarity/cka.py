"""Do keys and values have the same inner products? Debiased linear centred kernel alignment.

All in the space of the coordinates: no matrix of occurrences by occurrences is ever made.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.measure import RIGID, Measure, Takes, Transformation, always
from probes.similarity.moments import CrossMoments, require_alike
from probes.stats.rounding import subtract_mean, to_unit_size, tolerance

_NOTHING = tolerance(torch.float32) ** 2  # of a sum of squares


def debiased_cka(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
) -> Float[Tensor, "*head"]:
    """Linear CKA of keys and values, from unbiased estimates of the three HSIC.

    HSIC(K, V) / sqrt(HSIC(K, K) HSIC(V, V)), each HSIC without the products of an occurrence with
    itself. Plain CKA keeps them, and says "alike" of anything that is wide beside the number of
    occurrences.

    1 when the coordinates are the same up to rotation, shift and a factor; 0 in expectation of the
    numerator when they are independent (so it is negative half of the time). Unchanged by
    rotations, shifts and a factor of either; *not* by linear maps, for directions count by their
    variance. Symmetric in keys and values. Needs the fourth moments: the co-moments that
    give tieability are not enough (:func:`linear_cka_from_moments` is the plain one).

    Parameters
    ----------
    keys, values
        Coordinates, centred or not, one row for each word: the rows of a word in several templates
        are not independent, so their products are a bias of the same kind. To average the inner
        products over templates, put a word's rows side by side.

    Returns
    -------
    Float[Tensor, "*head"]
        float64, at most 1. NaN for a head whose keys or values never vary, or in which all products
        of two occurrences are equal (as those of orthogonal vectors of one length are): there is
        no geometry to agree with.

    Raises
    ------
    UsageError
        If shapes disagree or there are fewer than 4 occurrences.
    NonFiniteError
        If a key or value is NaN or infinite.

    Notes
    -----
    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited"; the
    unbiased HSIC: Song et al. 2012, "Feature selection via dependence maximization", equation 5.
    """
    require_alike(keys, values)
    n = keys.shape[-2]
    if n < 4:
        raise UsageError(f"The unbiased HSIC needs at least 4 occurrences; {n} came.")
    # Without the mean the row sums of a kernel matrix are 0, which leaves of the unbiased HSIC only
    # what is below; the estimate itself does not depend on the origin.
    k, v = _centre(keys), _centre(values)
    key_square, value_square = k.square().sum(-1), v.square().sum(-1)

    def hsic(x: Tensor, y: Tensor, x_square: Tensor, y_square: Tensor) -> Tensor:
        """Unbiased HSIC, times n (n - 3); NaN if rounding alone keeps that of x and x from 0."""
        together = (x.mT @ y).square().sum((-2, -1))
        own = (x_square * y_square).sum(-1)
        sums = x_square.sum(-1) * y_square.sum(-1)
        found = together - own + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * own
        return torch.where((found > _NOTHING * together) | (x is not y), found, torch.nan)

    joint = hsic(k, v, key_square, value_square)
    key, value = hsic(k, k, key_square, key_square), hsic(v, v, value_square, value_square)
    return (joint / (key * value).sqrt()).clamp(-1, 1)


def _centre(vectors: Float[Tensor, "*head n d"]) -> Float[Tensor, "*head n d"]:
    return to_unit_size(subtract_mean(vectors, vectors.double().mean(-2, keepdim=True)))[0]


def linear_cka_from_moments(moments: CrossMoments) -> Float[Tensor, "*head"]:
    """Plain linear CKA, ||C_kv||^2 / (||C_kk|| ||C_vv||), from co-moments alone.

    It keeps the products of an occurrence with itself, which :func:`debiased_cka` leaves out, and
    is too high by about (effective width) / occurrences: much for the words of a table, less than
    .001 for 100,000 tokens of a corpus.

    Returns
    -------
    Float[Tensor, "*head"]
        float64, in [0, 1]; NaN for a head whose keys or values never vary.

    Notes
    -----
    Source: Kornblith et al. 2019, equation 3 with linear kernels.
    """
    joint = moments.key_value.square().sum((-2, -1))
    own = [side.square().sum((-2, -1)).sqrt() for side in (moments.key_key, moments.value_value)]
    ratio: Tensor = joint / (own[0] * own[1])
    return ratio.clamp(max=1.0)


MEASURES = (
    Measure(
        name="debiased_cka",
        label="debiased CKA",
        symbol="debiased CKA",
        unit="alignment",
        direction=1,
        heading="Debiased CKA",
        meaning=(
            "Centred kernel alignment: do keys and values of the words have the same inner "
            "products? 1: they are the same up to rotation, shift and a factor; 0: unrelated."
        ),
        function=debiased_cka,
        takes=Takes.WORDS,
        unchanged_by=RIGID | {Transformation.SWAPPED},
        identical=1.0,
        independent=always(0.0),
        source="Kornblith et al. 2019; Song et al. 2012",
    ),
)
