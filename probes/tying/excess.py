"""Tieability inside a trained model: how far a head's values are a linear map of its keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from probes.similarity.closed_form import closed_form_r2
from probes.tying.attention import Attention
from probes.tying.batch import Batch
from probes.tying.transformer import Transformer


@torch.inference_mode()
def measure_tieability(model: Transformer, batches: Iterable[Batch]) -> pd.DataFrame:
    """Measure the R^2 of the best linear map from a head's keys to what the head writes.

    Every position of every batch is an occurrence. What the head writes is its value times its
    block of W_O, the blocks of all query heads of the kv head side by side; keys are unrotated.
    With thousands of occurrences and tens of channels the closed form's bias, d_head / occurrences,
    is below 0.01.

    Parameters
    ----------
    batches
        Unseen ones.

    Returns
    -------
    DataFrame
        ``attention`` (the module's name), ``kv_head``, ``r2``, ``r2_mismatched_heads`` (the same
        keys with what the layer's other heads write, averaged over them; NaN with one kv head) and
        ``excess`` = (r2 - r2_mismatched_heads) / (1 - r2_mismatched_heads).
    """
    inputs: dict[str, list[Tensor]] = {}
    with _keeping_inputs(model, inputs):
        for batch in batches:
            model(batch.tokens, batch.source)
    tables = []
    for name, parts in inputs.items():
        module = model.get_submodule(name)
        keys, written = _read(module, parts)
        r2 = torch.stack(
            [closed_form_r2(keys, written.roll(-shift, 0)) for shift in range(len(keys))]
        )
        own, others = r2[0], r2[1:].mean(0)  # no other head: the mean of nothing is NaN
        tables.append(
            pd.DataFrame(
                {
                    "attention": name,
                    "kv_head": range(len(keys)),
                    "r2": own.numpy(),
                    "r2_mismatched_heads": others.numpy(),
                    "excess": ((own - others) / (1 - others)).numpy(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


@contextmanager
def _keeping_inputs(model: Transformer, inputs: dict[str, list[Tensor]]) -> Iterator[None]:
    """Keep what every attention reads its keys and values from, while the block runs."""
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, Attention):

            def keep(_: Any, arguments: tuple[Tensor, ...], name: str = name) -> None:
                inputs.setdefault(name, []).append(arguments[-1])

            handles.append(module.register_forward_pre_hook(keep))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _read(module: Any, parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return keys [kv_head, occurrence, d_head] and what is written, [.., group x d_model]."""
    keys, values = [], []
    for x in parts:
        k, v = module.read_keys_values(x)
        keys.append(k.transpose(0, 1).flatten(1, 2))
        values.append(v.transpose(0, 1).flatten(1, 2))
    # [d_model, head x d_head] -> [kv_head, d_head, group x d_model]
    weight = module.output.weight
    blocks = weight.reshape(len(weight), module.n_kv_heads, -1, module.d_head)
    blocks = blocks.permute(1, 3, 2, 0).flatten(2)
    return torch.cat(keys, 1), torch.cat(values, 1) @ blocks
