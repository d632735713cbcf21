"""Tieability: how much of the values a linear map of the keys gives, on words it has not seen.

1 means that K = V would cost nothing here up to a change of basis. Every fit comes from sums over
folds (K'K, K'V, the means), so that the nested choice of the penalty never returns to the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.measure import RIGID, Measure, Takes, always
from probes.similarity.moments import CrossMoments, require_alike
from probes.stats.checks import require_finite
from probes.stats.folds import word_folds
from probes.stats.ridge import FoldMoments, RidgeFit, read_penalties
from probes.stats.rounding import subtract_mean, to_unit_size

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1)
"""Relative ridge penalties that are tried unless others are given."""

_BYTES = 64 * 2**20  # of float64 keys and values in one block of heads


@dataclass(frozen=True)
class TieabilityResult:
    """What :func:`tieability` found.

    Attributes
    ----------
    r2
        1 - (held-out squared error) / (held-out squares around the training mean).
    penalty
        The relative penalty chosen for each outer fold.
    word_error, word_total
        The two sums, word by word.
    words
        The number of each word on the word axis, ascending.
    """

    r2: Float[Tensor, "*head"]
    penalty: Float[Tensor, "*head fold"]
    word_error: Float[Tensor, "*head word"]
    word_total: Float[Tensor, "*head word"]
    words: Int[Tensor, "word"]


def tieability(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
    *,
    words: Int[Tensor, "occurrence"],
    folds: int = 5,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
) -> TieabilityResult:
    """Held-out R^2 of the best linear map (with intercept) from keys to values.

    Ridge regression, cross-validated over folds of words: no word is in training and test. The
    penalty of each outer fold is the one with the least squared error when its training folds are
    left out in turn; it counts in units of the mean eigenvalue of the training keys' centred
    scatter matrix.

    1 when values are a linear map of keys; about 0, and slightly below, when they are independent
    of keys; in between, the explained part of the values' variance. Unchanged by rotations and
    shifts of keys and values, by a factor on either, and by any order of the occurrences; in
    functional coordinates therefore by every change of basis of the model.

    Parameters
    ----------
    keys, values
        Coordinates, centred or not; the two widths may differ.
    words
        The word (any integer) of each occurrence.
    folds
        At least 3: one tests, one chooses, one trains.
    penalties
        Relative penalties to choose from, above 0.
    seed
        Of the assignment of words to folds; see :func:`word_folds`.

    Returns
    -------
    TieabilityResult
        float64. `r2` is NaN for a head whose values never vary.

    Raises
    ------
    UsageError
        If shapes disagree, folds are fewer than 3 or more than the words, or a penalty is not a
        number above 0.
    NonFiniteError
        If a key or value is NaN or infinite.

    Notes
    -----
    Source: docs/measures.md. The nested choice: Varma & Simon 2006.
    """
    require_alike(keys, values)
    grid = _check(folds, penalties)
    if words.shape != keys.shape[-2:-1]:
        raise UsageError(
            f"words has shape {tuple(words.shape)} for {keys.shape[-2]} occurrences; give one word "
            "number per occurrence."
        )
    fold = word_folds(words, folds, seed)
    numbers, word = torch.unique(words, return_inverse=True)
    head = keys.shape[:-2]
    keys, values = keys.reshape(-1, *keys.shape[-2:]), values.reshape(-1, *values.shape[-2:])
    step = max(1, _BYTES // (8 * keys.shape[1] * (keys.shape[2] + values.shape[2])))
    blocks = [
        _cross_validate(k, v, word, len(numbers), fold, folds, grid)
        for k, v in zip(torch.split(keys, step), torch.split(values, step), strict=True)
    ]
    choice, error, total = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return TieabilityResult(
        r2=(1 - error.sum(-1) / total.sum(-1)).reshape(head),
        penalty=grid[choice].reshape(*head, folds),
        word_error=error.reshape(*head, -1),
        word_total=total.reshape(*head, -1),
        words=numbers,
    )


def _cross_validate(
    keys: Tensor,
    values: Tensor,
    word: Tensor,
    n_words: int,
    fold: Tensor,
    folds: int,
    penalties: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Choice of penalty ``[row, fold]``, error and total ``[row, word]`` for a block of heads."""
    # Moments lose precision when the mean is large beside the spread, as it is for keys.
    # Products of four tiny numbers are 0.
    keys, _ = to_unit_size(subtract_mean(keys, keys.double().mean(1, keepdim=True)))
    values, size = to_unit_size(subtract_mean(values, values.double().mean(1, keepdim=True)))
    moments = FoldMoments.of(keys, values, fold, folds)
    choice = _choose(moments, folds, penalties)
    error, total = keys.new_zeros(2, keys.shape[0], n_words)
    for f in range(folds):
        fit = RidgeFit.of(moments, [g for g in range(folds) if g != f], penalties)
        mine = fold == f
        residual = fit.residual(keys[:, mine], values[:, mine], choice[:, f])
        around = values[:, mine] - fit.value_mean[:, None]
        error.index_add_(1, word[mine], residual.square().sum(-1))
        total.index_add_(1, word[mine], around.square().sum(-1))
    unit = size[..., 0].square()
    return choice, error * unit, total * unit


def tieability_from_moments(
    parts: Sequence[CrossMoments], *, penalties: Sequence[float] = PENALTIES
) -> tuple[Float[Tensor, "*head"], Float[Tensor, "*head fold"]]:
    """Equal :func:`tieability`, with the moments of each fold in the place of its occurrences.

    A stretch of a corpus can be a fold, as a word is one in a capture of words.

    Parameters
    ----------
    parts
        The moments of each fold, at least 3; no occurrence is in two.

    Returns
    -------
    r2, penalty
        As in :class:`TieabilityResult`; float64.

    Raises
    ------
    UsageError
        If there are fewer than 3 folds, or a penalty is not a number above 0.
    """
    folds = len(parts)
    grid = _check(folds, penalties)
    head = parts[0].key_mean.shape[:-1]
    moments = sum_folds(parts)
    choice = _choose(moments, folds, grid)
    error, total = moments.key.new_zeros(2, len(choice))
    for f in range(folds):
        fit = RidgeFit.of(moments, [g for g in range(folds) if g != f], grid)
        error += fit.error(moments, f).gather(1, choice[:, f, None])[:, 0]
        level, mine = fit.value_mean, moments.value[:, f]
        around = moments.value_value[:, f] - 2 * mine * level + moments.count[f] * level.square()
        total += around.sum(-1)
    return (1 - error / total).reshape(head), grid[choice].reshape(*head, folds)


def sum_folds(parts: Sequence[CrossMoments]) -> FoldMoments:
    """Turn the centred moments of folds into the sums that ridge regression takes.

    Heads lie on one axis, and the origin is the mean of all folds, which the fits do not depend on.
    """
    counts = [float(part.count) for part in parts]
    key, value = (
        torch.stack([getattr(part, name).flatten(0, -2) for part in parts], 1)
        for name in ("key_mean", "value_mean")
    )  # [row, fold, d]
    count = torch.tensor(counts, dtype=key.dtype, device=key.device)
    weight = (count / count.sum())[:, None]
    key, value = (side - (weight * side).sum(1, keepdim=True) for side in (key, value))

    def add_up(name: str, left: Tensor, right: Tensor) -> Tensor:
        centred = torch.stack([getattr(part, name).flatten(0, -3) for part in parts], 1)
        return centred + count[:, None, None] * left[..., :, None] * right[..., None, :]

    return FoldMoments(
        count,
        count[:, None] * key,
        count[:, None] * value,
        add_up("key_key", key, key),
        add_up("key_value", key, value),
        add_up("value_value", value, value).diagonal(dim1=-2, dim2=-1),
    )


def _check(folds: int, penalties: Sequence[float]) -> Float[Tensor, "penalty"]:
    if folds < 3:
        raise UsageError(f"folds is {folds}; one tests, one chooses, one trains: give at least 3.")
    return read_penalties(penalties)


def _choose(
    moments: FoldMoments, folds: int, penalties: Float[Tensor, "penalty"]
) -> Int[Tensor, "row fold"]:
    """Choose each outer fold's penalty: the least error when its training folds are left out."""
    inner = moments.key.new_zeros(len(moments.key), folds, len(penalties))
    for first in range(folds):
        for second in range(first + 1, folds):
            train = [f for f in range(folds) if f not in (first, second)]
            fit = RidgeFit.of(moments, train, penalties)
            inner[:, first] += fit.error(moments, second)
            inner[:, second] += fit.error(moments, first)
    return inner.argmin(-1)


def resampled_r2(
    result: TieabilityResult, word_weights: Float[Tensor, "resample word"]
) -> Float[Tensor, "resample *head"]:
    """Held-out R^2 in each resample of the words, without fitting again.

    Says how much the figure depends on the words it was *tested* on; the maps stay as they were,
    so it leaves out the variance of refitting.

    Parameters
    ----------
    result
        From :func:`tieability`.
    word_weights
        Counts of the words ``result.words``, in this order; see
        :func:`probes.stats.bootstrap.resample_words`.

    Returns
    -------
    Float[Tensor, "resample *head"]
        float64; equal to ``result.r2`` where all weights are equal.

    Raises
    ------
    UsageError
        If there is not one weight per word, or a weight is negative.
    NonFiniteError
        If a weight is NaN or infinite.
    """
    n_words = result.words.shape[0]
    if word_weights.ndim != 2 or word_weights.shape[1] != n_words:
        raise UsageError(
            f"The word weights have shape {tuple(word_weights.shape)}; expected [resample, "
            f"{n_words}], one for each of result.words."
        )
    require_finite("the word weights", word_weights)
    if bool((word_weights < 0).any()):
        raise UsageError("A word weight is negative; weights count copies, so give 0 or more.")
    weights = word_weights.double().T
    ratio = (result.word_error @ weights) / (result.word_total @ weights)
    return 1 - ratio.movedim(-1, 0)


MEASURES = (
    Measure(
        name="tieability",
        label="held-out tieability",
        symbol="tieability R²",
        unit="share of the variance",
        direction=1,
        heading="Tieability",
        meaning=(
            "R² of the best linear map from keys to what the values write, tried "
            "on words it was not fitted on. 1: the head could do with K = V, up to a change of "
            "basis. Its excess over a null is E = (R² \N{MINUS SIGN} "
            "R²_null) / (1 \N{MINUS SIGN} R²_null): above 0, "
            "keys and values share more than in the null; below 0, less."
        ),
        function=lambda keys, values, words, seed=0: (
            tieability(keys, values, words=words, seed=seed).r2
        ),
        takes=Takes.HELD_OUT,
        unchanged_by=RIGID,
        identical=1.0,
        independent=always(0.0),
        source="docs/measures.md",
    ),
)
