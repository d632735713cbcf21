"""Random keys, values, weights and attention of SmolLM2's shape, for `benchmarks.similarity`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from probes.similarity.compare import PairComparison, compare_pairs
from probes.stats.bootstrap import pair_weights, resample_words

N_KV_HEADS, GROUP_SIZE, D_HEAD, D_MODEL, N_TEMPLATES = 3, 3, 64, 576, 3


@dataclass(frozen=True)
class Data:
    """A capture's worth of random numbers; layers first, then kv heads."""

    keys: Tensor
    values: Tensor
    weights_k: Tensor
    weights_v: Tensor
    attention: Tensor
    """[side, layer, kv_head, query_head, pair]."""
    rows: Tensor
    """[word, template]."""
    words: Tensor
    left: Tensor
    right: Tensor
    """Occurrences [pair, template]."""
    pair_weights: Tensor
    """[resample, pair]; the first row is all 1."""

    @classmethod
    def draw(cls, *, n_layers: int, n_words: int, n_pairs: int, resamples: int) -> Data:
        """Draw keys, and values that a linear map of them explains in part."""
        random = torch.Generator().manual_seed(0)
        draw = partial(torch.randn, generator=random)
        keys = draw(n_layers, N_KV_HEADS, n_words * N_TEMPLATES, D_HEAD)
        maps = draw(n_layers, N_KV_HEADS, D_HEAD, D_HEAD) / D_HEAD**0.5
        # No pair comes twice: the loop assumes no ties.
        place = torch.randperm(n_words * (n_words - 1) // 2, generator=random)[:n_pairs]
        first, second = torch.triu_indices(n_words, n_words, offset=1)[:, place]
        rows = torch.arange(n_words * N_TEMPLATES).reshape(N_TEMPLATES, n_words).T.contiguous()
        counts = resample_words(n_words, resamples=resamples, seed=0)
        weights = pair_weights(counts, first, second)
        shape = (2, n_layers, N_KV_HEADS, GROUP_SIZE, n_pairs)
        return cls(
            keys=keys,
            values=keys @ maps + draw(*keys.shape),
            weights_k=draw(n_layers, N_KV_HEADS, D_HEAD, D_MODEL),
            weights_v=draw(n_layers, N_KV_HEADS, D_HEAD, D_MODEL),
            attention=draw(*shape, dtype=torch.float64).sigmoid(),
            rows=rows,
            words=torch.arange(n_words).repeat(N_TEMPLATES),
            left=rows[first],
            right=rows[second],
            pair_weights=torch.cat([torch.ones(1, n_pairs), weights]),
        )

    def compare(self, layer: int) -> PairComparison:
        """Pair figures of one layer."""
        return compare_pairs(self.keys[layer], self.values[layer], self.left, self.right)
