"""Captures of random keys and values of any size, whose growth `benchmarks.run` measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from probes.capture.store import Store, create_store

GROUP_SIZE, D_HEAD, D_MODEL, N_QUERIES = 2, 32, 96, 256


@dataclass(frozen=True)
class Size:
    """How large a capture is."""

    pairs: int = 3000
    heads: int = 2
    layers: int = 4
    templates: int = 2
    words: int = 800


def write_random_capture(folder: Path, size: Size) -> Store:
    """Write a whole capture of word pairs; every word stands once in every template."""
    draw = torch.Generator().manual_seed(0)
    names = np.array([f"w{number:05d}" for number in range(size.words)], dtype=object)
    template_ids = [f"t{number:02d}" for number in range(size.templates)]
    place = torch.randperm(size.words * (size.words - 1) // 2, generator=draw)[: size.pairs]
    first, second = torch.triu_indices(size.words, size.words, offset=1)[:, place].numpy()
    pairs = pd.DataFrame(
        {
            "pair_id": [f"p{number:06d}" for number in range(len(first))],
            "head": "head",
            "m1": names[first],
            "m2": names[second],
        }
    )
    n = size.words * size.templates
    occurrences = pd.DataFrame(
        {
            "occurrence": range(n),
            "word": np.tile(names, size.templates),
            "template_id": np.repeat(template_ids, size.words),
            "head": None,
            "first_token": 1,
            "last_token": 1,
        }
    )
    queries = occurrences[["occurrence", "template_id"]].assign(
        query=range(n), modifier=occurrences["word"], head="head", distance=1
    )

    def metric() -> torch.Tensor:
        root = torch.randn(size.heads, D_HEAD, D_HEAD, generator=draw, dtype=torch.float64)
        return root @ root.mT

    n_heads = size.heads * GROUP_SIZE
    constants, tensors = {}, {"query_count": torch.tensor([N_QUERIES]).double()}
    for layer in range(size.layers):
        x = torch.randn(n, D_MODEL, generator=draw)
        maps = torch.randn(2, D_MODEL, size.heads, D_HEAD, generator=draw) / D_MODEL**0.5
        tensors[f"x.{layer}"] = x
        tensors[f"k.{layer}"], tensors[f"v.{layer}"] = torch.einsum("nm,smhd->snhd", x, maps)
        tensors[f"x_query.{layer}"] = torch.randn(N_QUERIES, D_MODEL, generator=draw)
        tensors[f"attention.{layer}"] = torch.rand(n, n_heads, generator=draw)
        tensors[f"query_moment.{layer}"] = metric() * N_QUERIES * GROUP_SIZE
        constants[f"value_metric.{layer}"] = metric()
        for part, heads in (("query", n_heads), ("key", 2), ("value", 2), ("output", n_heads)):
            heads = size.heads if part in ("key", "value") else heads
            constants[f"spectrum.{part}.{layer}"] = torch.ones(heads, D_HEAD)
    identity = ("weights", "config", "compute_dtype", "key_stage", "dtype", "query_sample", "seed")
    store = create_store(
        folder,
        {**dict.fromkeys((*identity, "take"), "random"), "size": vars(size)},
        tables={
            "occurrences": occurrences,
            "queries": queries,
            "losses": pd.DataFrame({"modifier": [], "reason": []}),
            "pairs": pairs,
            "templates": pd.DataFrame({"template_id": template_ids, "text": ""}),
        },
        constants=constants,
        n_shards=1,
        context={
            "model": "random",
            "geometry": {
                "n_layers": size.layers,
                "n_kv_heads": size.heads,
                "n_heads": n_heads,
                "d_head": D_HEAD,
                "d_value": D_HEAD,
                "logit_scale": D_HEAD**-0.5,
                "causal": True,
            },
        },
    )
    store.write_shard(0, {name: tensor.contiguous() for name, tensor in tensors.items()})
    return store
