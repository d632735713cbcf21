"""Stores written from made-up keys and values, so that what must come out is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from probes.capture.store import Store, create_store

N_LAYERS, N_KV_HEADS, GROUP_SIZE, D_HEAD, D_VALUE, D_MODEL = 2, 3, 2, 6, 5, 9
NUMBERS = {
    "n_layers": N_LAYERS,
    "n_kv_heads": N_KV_HEADS,
    "n_heads": N_KV_HEADS * GROUP_SIZE,
    "d_head": D_HEAD,
    "d_value": D_VALUE,
    "logit_scale": 0.4,
    "causal": True,
}


def write_store(
    folder: Path,
    words: pd.DataFrame,
    *,
    keys: np.ndarray,
    values: np.ndarray,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    identity_metrics: bool = True,
    seed: int = 0,
) -> Store:
    """Write a whole capture.

    `words` has a row per occurrence: ``word, template_id``, and ``head`` where a compound's head
    noun attends; `keys` and `values` are [occurrence, layer, kv_head, d].
    """
    random = np.random.default_rng(seed)
    n = len(words)
    occurrences = pd.DataFrame(
        {
            "occurrence": range(n),
            "word": words["word"].to_numpy(),
            "template_id": words["template_id"].to_numpy(),
            "head": None,
            "first_token": 1,
            "last_token": 1 + words["word"].str.len().to_numpy() % 2,
        }
    )
    queries = words.rename(columns={"word": "modifier"}).assign(
        occurrence=range(n), distance=1, head=words.get("head", "is")
    )
    tables = {
        "occurrences": occurrences,
        "queries": queries.reset_index(drop=True),
        "losses": pd.DataFrame({"modifier": [], "reason": []}),
        "pairs": pairs,
        "templates": templates,
    }

    def metric(width: int) -> torch.Tensor:
        if identity_metrics:
            return torch.eye(width, dtype=torch.float64).repeat(N_KV_HEADS, 1, 1)
        root = torch.tensor(random.normal(size=(N_KV_HEADS, width, width)))
        return root @ root.mT

    constants = {f"value_metric.{layer}": metric(D_VALUE) for layer in range(N_LAYERS)}
    names = ("weights", "config", "compute_dtype", "key_stage", "dtype", "query_sample", "seed")
    store = create_store(
        folder,
        {**dict.fromkeys((*names, "take"), "made up"), "n": n},
        tables=tables,
        constants=constants,
        n_shards=1,
        context={"model": "made up", "geometry": NUMBERS},
    )
    tensors = {"query_count": torch.tensor([7.0]).double()}
    for layer in range(N_LAYERS):
        tensors[f"k.{layer}"] = torch.tensor(keys[:, layer]).float()
        tensors[f"v.{layer}"] = torch.tensor(values[:, layer]).float()
        tensors[f"x.{layer}"] = torch.tensor(random.normal(size=(n, D_MODEL))).float()
        tensors[f"x_query.{layer}"] = torch.tensor(random.normal(size=(40, D_MODEL))).float()
        tensors[f"attention.{layer}"] = torch.zeros(n, NUMBERS["n_heads"])
        tensors[f"query_moment.{layer}"] = metric(D_HEAD) * 14
    store.write_shard(0, tensors)
    return store
