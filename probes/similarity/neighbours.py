"""Do a word's nearest keys belong to the words whose values are nearest too? Mutual neighbours.

Distances of all words to all words are made block by block by matrix products, averaged over
templates as those of single pairs are (`compare_pairs`), and only the nearest words are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.measure import RIGID, Measure, Takes, Transformation, always
from probes.stats.checks import require_finite, require_indices
from probes.stats.rounding import computing_dtype, subtract_mean, to_unit_size

SIZES = (5, 10, 20)
"""The usual sizes of a neighbourhood."""

BESIDE_NULLS = 10
"""The size that is set beside nulls."""

_BLOCK = 128  # words whose distances to all words are held at once: 1.7 MB for 3,300 words
_BYTES = 2**20  # of differences of vectors held at once


@dataclass(frozen=True)
class Neighbourhood:
    """Every word's vectors and nearest words, for every head.

    Attributes
    ----------
    vectors
        The words' coordinates, template by template.
    nearest
        Numbers of the nearest words, nearest first, the word itself left out.
    mean_distance
        Mean distance of each word to all others.
    """

    vectors: Float[Tensor, "*head template word d"]
    nearest: Int[Tensor, "*head word neighbour"]
    mean_distance: Float[Tensor, "*head word"]

    def roll(self, shift: int) -> Neighbourhood:
        """Give each head another head's words' neighbours, by rotation of the last head axis.

        With it the mismatched null costs no second search.
        """
        return replace(
            self,
            vectors=self.vectors.roll(shift, dims=-4),
            nearest=self.nearest.roll(shift, dims=-3),
            mean_distance=self.mean_distance.roll(shift, dims=-2),
        )


def find_neighbours(
    coordinates: Float[Tensor, "*head occurrence d"],
    rows: Int[Tensor, "word template"],
    *,
    count: int = max(SIZES),
) -> Neighbourhood:
    """Find the nearest words of every word, by mean Euclidean distance over templates.

    Of words exactly as far the one that torch happens to sort first is taken. Unchanged by
    rotations, by shifts (one a template, too) and by a factor.

    Parameters
    ----------
    coordinates
        Keys or values in one space; computed in their dtype, float32 at least.
    rows
        The occurrence of each word in each template.
    count
        How many neighbours to find.

    Returns
    -------
    Neighbourhood

    Raises
    ------
    UsageError
        If a row points outside the occurrences, or there are not more words than neighbours.
    NonFiniteError
        If a coordinate is NaN or infinite.
    """
    n_words = rows.shape[0]
    require_indices("rows", rows, coordinates.shape[-2])
    require_finite("the coordinates", coordinates)
    if not 1 <= count < n_words:
        raise UsageError(
            f"{count} neighbours of each word asked for, among {n_words} words; give at least 1 "
            "and more words than neighbours."
        )
    dtype = computing_dtype(coordinates.dtype)
    gathered = coordinates.to(dtype).index_select(-2, rows.T.flatten())
    head = coordinates.shape[:-2]
    vectors = gathered.reshape(*head, rows.shape[1], n_words, -1)
    found = [_search(of_head, count) for of_head in vectors.reshape(-1, *vectors.shape[-3:])]
    nearest, mean_distance = (torch.stack(parts) for parts in zip(*found, strict=True))
    return Neighbourhood(
        vectors, nearest.reshape(*head, n_words, count), mean_distance.reshape(*head, n_words)
    )


def _search(
    vectors: Float[Tensor, "template word d"], count: int
) -> tuple[Int[Tensor, "word neighbour"], Float[Tensor, " word"]]:
    """Find one head's nearest words, and its words' mean distance to all others."""
    # |x - y|^2 as one product of [-2 x, |x|^2, 1] and [y, 1, |y|^2]; about the mean, so that little
    # is lost where the vectors have much in common.
    x = subtract_mean(vectors, vectors.mean(1, keepdim=True))
    x, size = to_unit_size(x.flatten(0, 1))
    x = x.reshape(vectors.shape)
    square, one = x.square().sum(-1, keepdim=True), torch.ones_like(x[..., :1])
    left = torch.cat([-2 * x, square, one], -1)
    right = torch.cat([x, one, square], -1).mT.contiguous()
    n_templates, n_words = x.shape[:2]
    nearest = torch.empty(n_words, count, dtype=torch.int64)
    mean_distance = x.new_empty(n_words)
    for start in range(0, n_words, _BLOCK):
        block = slice(start, min(start + _BLOCK, n_words))
        total = (left[0, block] @ right[0]).clamp_(min=0).sqrt_()
        for template in range(1, n_templates):
            total += (left[template, block] @ right[template]).clamp_(min=0).sqrt_()
        itself = total.diagonal(start)[: len(total)]
        itself.fill_(0)
        mean_distance[block] = total.sum(1)
        itself.fill_(torch.inf)
        nearest[block] = total.topk(count, largest=False).indices
    return nearest, mean_distance * (size[0, 0] / (n_templates * (n_words - 1)))


def mutual_neighbours(
    keys: Neighbourhood, values: Neighbourhood, *, sizes: Sequence[int] = SIZES
) -> Float[Tensor, "*head size word"]:
    """Share of each word's k nearest words that keys and values agree on, corrected for chance.

    (overlap - chance) / (1 - chance), where two random choices of k among the n - 1 other words
    overlap by chance = k / (n - 1). The measure is the mean over words; the word is what to
    resample. The words compared with stay those that were captured: a larger vocabulary has nearer
    neighbours.

    1 when keys and values have the same neighbours, 0 in expectation when they are independent.
    Unchanged by whatever changes the order of no word's distances: rotations, shifts, a factor;
    symmetric in keys and values.

    Parameters
    ----------
    keys, values
        From :func:`find_neighbours`, with the same words and heads.
    sizes
        Every k.

    Returns
    -------
    Float[Tensor, "*head size word"]
        float32. NaN for a head whose words' keys, or values, are all one point.

    Raises
    ------
    UsageError
        If keys and values are of other words or heads, or k is more than were found.

    Notes
    -----
    Source: the mutual nearest-neighbour metric of Huh et al. 2024, "The Platonic representation
    hypothesis"; the correction for chance is that of Cohen's kappa.
    """
    _check(keys, values, sizes)
    n_words = keys.nearest.shape[-2]
    overlaps = []
    for size in sizes:
        mine, others = keys.nearest[..., :size], values.nearest[..., :size]
        shared = torch.zeros(mine.shape[:-1])
        for place in range(size):
            shared += (mine == others[..., place, None]).any(-1)
        chance = size / (n_words - 1)
        # Where all others are neighbours, agreement is certain and says nothing.
        overlaps.append((shared / size - chance) / (1 - chance) if chance < 1 else shared * 0)
    collapsed = (keys.mean_distance == 0).all(-1) | (values.mean_distance == 0).all(-1)
    return torch.stack(overlaps, -2).masked_fill(collapsed[..., None, None], torch.nan)


def neighbour_distance_ratio(
    near: Neighbourhood, measured: Neighbourhood, *, sizes: Sequence[int] = SIZES
) -> Float[Tensor, "*head size word"]:
    """Mean distance in one space to the nearest words of the other, over the mean distance of all.

    With keys as `near` and values as `measured`: how far apart are values where keys are near? The
    figure of a word is the mean value distance to its k nearest keys, divided by the mean value
    distance of all pairs of words; the measure is the mean over words. When words are resampled the
    divisor stays, as do the words compared with.

    1 in expectation when keys and values are independent, near 0 when near keys mean near values in
    spaces of few dimensions; never below the ratio of the values' own neighbours, which
    ``neighbour_distance_ratio(values, values)`` gives. Unchanged by rotations, shifts and a factor
    of either.

    Parameters
    ----------
    near
        Whose neighbours.
    measured
        Whose distances; the same words and heads.
    sizes
        Every k.

    Returns
    -------
    Float[Tensor, "*head size word"]
        In the vectors' dtype. NaN for a head whose words are all one point.

    Raises
    ------
    UsageError
        If the two are of other words or heads, or k is more than were found.

    Notes
    -----
    Source: docs/measures.md.
    """
    _check(near, measured, sizes)
    head = near.nearest.shape[:-2]
    distances = torch.stack(
        [
            _measure_distances(vectors, nearest[:, : max(sizes)])
            for vectors, nearest in zip(
                measured.vectors.reshape(-1, *measured.vectors.shape[-3:]),
                near.nearest.reshape(-1, *near.nearest.shape[-2:]),
                strict=True,
            )
        ]
    ).reshape(*head, -1, max(sizes))
    overall = measured.mean_distance.mean(-1)[..., None]
    return torch.stack([distances[..., :size].mean(-1) / overall for size in sizes], -2)


def _measure_distances(
    vectors: Float[Tensor, "template word d"], nearest: Int[Tensor, "word neighbour"]
) -> Float[Tensor, "word neighbour"]:
    """Measure the distance of each word to its neighbours, mean over templates."""
    total = vectors.new_zeros(nearest.shape)
    scaled, size = to_unit_size(vectors.flatten(0, 1))
    step = max(1, _BYTES // (nearest.shape[1] * vectors.shape[-1] * vectors.element_size()))
    for x in scaled.reshape(vectors.shape):
        for start in range(0, len(nearest), step):
            part = slice(start, start + step)
            others = x.index_select(0, nearest[part].flatten()).unflatten(0, (-1, nearest.shape[1]))
            total[part] += (others - x[part, None]).norm(dim=-1)
    return total * (size / len(vectors))


def _check(one: Neighbourhood, other: Neighbourhood, sizes: Sequence[int]) -> None:
    if one.mean_distance.shape != other.mean_distance.shape:
        raise UsageError(
            f"The neighbourhoods are of heads and words {tuple(one.mean_distance.shape)} and "
            f"{tuple(other.mean_distance.shape)}; they must be the same."
        )
    found = min(one.nearest.shape[-1], other.nearest.shape[-1])
    if not sizes or not all(1 <= size <= found for size in sizes):
        raise UsageError(
            f"Neighbourhoods of {list(sizes)} asked for; {found} neighbours were found. Give sizes "
            "from 1 to that, or a larger count to find_neighbours."
        )


def _measure_size(
    measure: Callable[..., Tensor], size: int, *, reverse: bool = False
) -> Callable[[Neighbourhood, Neighbourhood], Tensor]:
    """Take the mean over words of a measure at one size."""

    def function(keys: Neighbourhood, values: Neighbourhood) -> Tensor:
        near, measured = (values, keys) if reverse else (keys, values)
        return measure(near, measured, sizes=(size,)).mean((-2, -1))

    return function


def _list_measures() -> Iterator[Measure]:
    for size in SIZES:
        yield Measure(
            name=f"mutual_neighbours_{size}",
            label=f"mutual neighbours (k = {size})",
            symbol=f"mutual neighbours (k = {size})",
            unit="share, less what chance gives",
            direction=1,
            heading="Mutual neighbours",
            meaning=(
                "Of the k words whose keys are nearest to a word's key, how many are among the k "
                "whose values are nearest to its value? 1: all; 0: as many as chance gives."
            ),
            function=_measure_size(mutual_neighbours, size),
            takes=Takes.NEIGHBOURHOODS,
            unchanged_by=RIGID | {Transformation.SWAPPED},
            identical=1.0,
            independent=always(0.0),
            source="Huh et al. 2024",
            beside_nulls=size == BESIDE_NULLS,
        )
        for of in ("value", "key"):
            yield Measure(
                name=f"neighbour_{of}_distance_ratio_{size}",
                label=f"neighbour {of} distance ratio (k = {size})",
                symbol=f"neighbour distance ratio (k = {size})",
                unit="of the mean distance",
                direction=-1,
                heading="Neighbour distance ratio",
                meaning=(
                    "How far apart values are where keys are near: the mean distance of values "
                    "from a word to the k words with the nearest keys, over that to all words (or "
                    "of keys, to the nearest values). 1: as far as any two words."
                ),
                function=_measure_size(neighbour_distance_ratio, size, reverse=of == "key"),
                takes=Takes.NEIGHBOURHOODS,
                unchanged_by=RIGID,
                identical=None,
                independent=always(1.0),
                source="docs/measures.md",
                beside_nulls=size == BESIDE_NULLS and of == "value",
            )


MEASURES = tuple(_list_measures())
