"""Divergence curve: how far apart values are, from the most to the least similar keys."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.measure import Measure, Takes, Transformation
from probes.stats.ranks import (
    FromWeights,
    cumulate,
    find_boundary,
    gather_weights,
    over_resamples,
    sort_rows,
)


def divergence_curve(
    key_similarity: Float[Tensor, "*head pair"],
    value_similarity: Float[Tensor, "*head pair"],
    *,
    bins: int = 20,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head bin"] | Float[Tensor, "resample *head bin"]:
    """Mean of 1 - s_V in bins of equal mass of the rank of s_K, most similar keys first.

    Bin b of B holds the mass between b W / B and (b + 1) W / B of the pairs in falling order of
    s_K; a pair (or a tie of pairs, whose members share everything evenly) that a bin's edge cuts
    counts in both bins by its parts. Integer weights therefore say exactly what copies would say.

    Flat at the overall mean of 1 - s_V when values know nothing about keys, or all s_K are equal;
    rising when similar keys mean similar values. The mean over bins is always the overall mean.
    Unchanged by strictly increasing maps of s_K, by the order of pairs and by a factor on the
    weights; linear in s_V.

    Parameters
    ----------
    key_similarity, value_similarity
        s_K and s_V of the same pairs.
    bins
        How many, at least 2.
    weights
        Non-negative weights of the pairs in each resample.

    Returns
    -------
    Float[Tensor, "*head bin"] or Float[Tensor, "resample *head bin"]
        float64; with a leading axis if weights are given.

    Raises
    ------
    UsageError
        If there are fewer than 2 bins, shapes disagree, or weights are negative or all zero.
    NonFiniteError
        If a similarity is NaN (a zero vector) or infinite.

    Notes
    -----
    Source: docs/measures.md.
    """
    if bins < 2:
        raise UsageError(f"bins is {bins}; a curve needs at least 2.")
    edges = torch.arange(bins + 1, dtype=torch.float64) / bins

    def prepare(key: Tensor, value: Tensor) -> FromWeights:
        by_key = sort_rows(key, descending=True)
        gap = (1 - value.double()).gather(1, by_key.order)

        def measure(weight: Tensor) -> Tensor:
            total = weight.sum(dim=1, keepdim=True)
            ordered = gather_weights(weight, by_key.order)
            edge = find_boundary(cumulate(ordered), by_key, total * edges)
            sums = cumulate(ordered * gap)
            before = sums.gather(2, edge.first)
            through = sums.gather(2, edge.last + 1)
            return (before + edge.fraction * (through - before)).diff(dim=-1) * (
                bins / total[..., None]
            )

        return measure

    return over_resamples(key_similarity, value_similarity, weights, prepare)


MEASURES = (
    Measure(
        name="divergence_curve",
        label="divergence curve",
        symbol="E[1 \N{MINUS SIGN} s_V]",
        unit="mean of 1 \N{MINUS SIGN} s_V",
        direction=0,
        heading="Divergence curve",
        meaning=(
            "The mean of 1 \N{MINUS SIGN} s_V at each rank of s_K: flat where values know nothing "
            "about keys, rising where similar keys mean similar values."
        ),
        function=divergence_curve,
        takes=Takes.PAIR_SIMILARITIES,
        unchanged_by=frozenset({Transformation.INCREASING_KEYS, Transformation.REORDERED}),
        identical=None,
        independent=None,
        source="docs/measures.md",
        axes=("bin",),
        pair_weights=True,
        possible=(0.0, 2.0),
    ),
)
