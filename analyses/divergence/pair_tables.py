"""Tables with a row a pair: means over heads, and every head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor

from analyses.divergence.tables import Comparisons


def tabulate_pairs(pairs: pd.DataFrame, comparisons: Comparisons) -> pd.DataFrame:
    """Means over heads, and how far the percentile rank of s_K lies above that of s_V."""
    functional, raw = comparisons["functional", "trained"], comparisons["raw", "trained"]
    columns = [c for c in ("pair_id", "head", "m1", "m2", "relatedness", "english") if c in pairs]
    rank_k, rank_v = _percentiles(functional.s_k), _percentiles(functional.s_v)
    gap = (rank_k - rank_v).flatten(0, 1)
    return pairs[columns].assign(
        s_k=functional.s_k.mean((0, 1)).numpy(),
        s_v=functional.s_v.mean((0, 1)).numpy(),
        raw_key_cosine=raw.s_k.mean((0, 1)).numpy(),
        raw_value_cosine=raw.s_v.mean((0, 1)).numpy(),
        key_percentile=rank_k.mean((0, 1)).numpy(),
        value_percentile=rank_v.mean((0, 1)).numpy(),
        dissociation=gap.mean(0).numpy(),
    )


def _percentiles(similarity: Tensor) -> Tensor:
    """Percentile rank of each pair within its head, 0 to 100; ties share their mean rank."""
    ranks = torch.from_numpy(rankdata(similarity.numpy(), axis=-1))
    return 100 * (ranks - 0.5) / similarity.shape[-1]


def tabulate_pair_heads(pairs: pd.DataFrame, comparisons: Comparisons) -> pd.DataFrame:
    """Tabulate every pair, layer and kv head: all similarities, and the functional distances."""
    functional = comparisons["functional", "trained"]
    n_layers, n_heads, n_pairs = functional.s_k.shape
    columns: dict[str, Any] = {
        "pair_id": np.tile(pairs["pair_id"].to_numpy(), n_layers * n_heads),
        "layer": np.repeat(np.arange(n_layers, dtype=np.int16), n_heads * n_pairs),
        "kv_head": np.tile(np.repeat(np.arange(n_heads, dtype=np.int16), n_pairs), n_layers),
    }
    for name in ("s_k", "s_v", "d_k", "d_v"):
        columns[name] = getattr(functional, name).flatten().float().numpy()
    for space in ("raw", "centred"):
        for name in ("s_k", "s_v"):
            columns[f"{space}_{name}"] = (
                getattr(comparisons[space, "trained"], name).flatten().float().numpy()
            )
    return pd.DataFrame(columns)
