"""The pair measures in every resample at once, for all combinations of a layer's heads.

A measure on its own sorts and ranks again for every pair of heads. Here each head's ranks are made
once per resample (`RankedPairs`) and shared: by all measures that have a form on ranks, and by a
head's own values and the other heads' (the mismatched null). Both ways give the same numbers
wherever no two pairs tie; with ties, as in duplicated pairs, they differ by no more than the weight
of the tie. A measure without such a form is called with ``weights``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.parallel import map_threads
from probes.similarity.compare import PairComparison
from probes.similarity.measure import Measure, Takes
from probes.similarity.ranked import RankedPairs

_RESAMPLES = 64  # a block of [pair, resample] numbers is 1.5 MB for 6,000 pairs: near the cache

Samples = Float[Tensor, "resample layer key_head value_head"]


def resample_measures(
    comparison: PairComparison,
    weights: Float[Tensor, "resample pair"],
    *,
    measures: Sequence[Measure],
    crossed: bool,
) -> dict[str, Samples]:
    """Measure pairs in every resample.

    Parameters
    ----------
    comparison
        [layer, head, pair].
    weights
        Non-negative pair weights of each resample (`pair_weights`).
    measures
        Measures of pairs, with ``pair_weights``.
    crossed
        Whether to join keys with the values of every head of the layer, or of their own alone (the
        last axis then has length 1).

    Returns
    -------
    The measures by name; float64.

    Raises
    ------
    UsageError
        If one of them is no measure of pairs that can be resampled.
    """
    for measure in measures:
        if not measure.of_pairs:
            raise UsageError(f"{measure.name} is no number that resampled pairs give.")
    ranked = {
        figure: [own for own in measures if own.ranked and own.takes is figure]
        for figure in (Takes.PAIR_SIMILARITIES, Takes.PAIR_DISTANCES)
    }
    blocks = torch.split(weights.float(), _RESAMPLES)

    def measure_layer(layer: int) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for figure, together in ranked.items():
            if together:
                keys, values = (side[layer].argsort(-1) for side in comparison.figures(figure))
                joined = [_measure_block(keys, values, w, together, crossed) for w in blocks]
                found |= zip((own.name for own in together), torch.cat(joined, dim=1), strict=True)
        for own in measures:
            if own.ranked is None:
                keys, values = (side[layer] for side in comparison.figures(own.takes))
                found[own.name] = _call(own.function, keys, values, weights, crossed)
        return found

    layers = map_threads(measure_layer, range(comparison.s_k.shape[0]))
    return {
        own.name: torch.stack([layer[own.name] for layer in layers], dim=1).double()
        for own in measures
    }


def _measure_block(
    keys: Tensor, values: Tensor, weights: Tensor, measures: Sequence[Measure], crossed: bool
) -> Float[Tensor, "measure resample key_head value_head"]:
    """Measure one layer, whose heads' pairs in rising order are given, in some resamples."""
    w = weights.T.contiguous()
    total = w.sum(0)
    of_values = [RankedPairs(order, w, total) for order in values]
    n_heads = len(of_values)
    out = w.new_empty(len(measures), w.shape[1], n_heads, n_heads if crossed else 1)
    for head, order in enumerate(keys):
        of_keys = RankedPairs(order, w, total)
        others = of_values if crossed else [of_values[head]]
        for number, measure in enumerate(measures):
            for place, other in enumerate(others):
                out[number, :, head, place] = measure.ranked(of_keys, other)  # type: ignore[misc]
    return out


def _call(
    function: Callable[..., Tensor], keys: Tensor, values: Tensor, weights: Tensor, crossed: bool
) -> Float[Tensor, "resample key_head value_head"]:
    """Measure one layer by a measure's own weights, one shift of the heads after the other."""
    heads = torch.arange(len(keys))
    if not crossed:
        return function(keys, values, weights=weights)[..., None]
    out = torch.empty(len(weights), len(heads), len(heads), dtype=torch.float64)
    for shift in range(len(heads)):
        found = function(keys, values.roll(shift, dims=0), weights=weights)
        out[:, heads, (heads - shift) % len(heads)] = found.double()
    return out
