"""What a property is worth to the model: its loss when the property is erased from keys or values.

The hook sits on the projection (keys before QK-norm and rotation), so fit the erasers on keys that
were captured with ``key_stage="projected"``; where a model has no QK-norm, "normed" is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from probes.errors import UsageError
from probes.linear.erasure import Eraser
from probes.models.model import Model


@dataclass(frozen=True)
class ErasureLoss:
    """Mean cross-entropy a token (nats), as it is and with the property erased."""

    clean: float
    erased: float
    n_tokens: int

    @property
    def rise(self) -> float:
        """How much the loss rises."""
        return self.erased - self.clean


def measure_erasure_loss(
    model: Model,
    texts: Sequence[str],
    erasers: Mapping[int, Eraser],
    *,
    what: Literal["k", "v"],
    batch_size: int = 16,
) -> ErasureLoss:
    """Run a causal model over texts with and without erasure at every token.

    Parameters
    ----------
    erasers
        Layer -> an eraser for all its kv heads, from vectors [kv_head, occurrence, d].
    what
        Whether keys or values are erased.

    Raises
    ------
    UsageError
        If the model is not causal, a layer does not exist, or no text has two tokens.
    """
    if not model.geometry.causal:
        raise UsageError(f"{model.name} predicts no next token; give a causal model.")
    wrong = [layer for layer in erasers if not 0 <= layer < model.geometry.n_layers]
    if wrong:
        raise UsageError(f"There is no layer {wrong[0]}; there are {model.geometry.n_layers}.")
    clean, count = _sum_losses(model, texts, batch_size)
    if count == 0:
        raise UsageError("No text has two tokens; give texts to predict.")
    with erasing(model, erasers, what=what):
        erased, _ = _sum_losses(model, texts, batch_size)
    return ErasureLoss(clean=clean / count, erased=erased / count, n_tokens=count)


@contextmanager
def erasing(
    model: Model, erasers: Mapping[int, Eraser], *, what: Literal["k", "v"]
) -> Iterator[None]:
    """Erase from the keys or values of some layers while the block runs."""
    with ExitStack() as stack:
        for layer, eraser in erasers.items():
            attention = model.geometry.layers[layer]
            projection = attention.key if what == "k" else attention.value
            columns = projection.columns

            def erase(
                _module: Any,
                _inputs: Any,
                output: Tensor,
                eraser: Eraser = eraser,
                columns: Tensor = columns,
            ) -> Tensor:
                heads = output[..., columns.to(output.device)]  # [..., kv_head, d_head]
                flat = heads.reshape(-1, *columns.shape).transpose(0, 1)
                changed = output.clone()
                changed[..., columns.to(output.device)] = (
                    eraser(flat.float()).transpose(0, 1).reshape(heads.shape).to(output.dtype)
                )
                return changed

            stack.callback(projection.module.register_forward_hook(erase).remove)
        yield


@torch.inference_mode()
def _sum_losses(model: Model, texts: Sequence[str], batch_size: int) -> tuple[float, int]:
    total, count = 0.0, 0
    tokenizer = model.tokenizer
    for start in range(0, len(texts), batch_size):
        encoded = [tokenizer(text)["input_ids"] for text in texts[start : start + batch_size]]
        longest = max(len(ids) for ids in encoded)
        if longest < 2:
            continue
        ids = torch.zeros(len(encoded), longest, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        logits = model.hf(input_ids=ids, attention_mask=mask, use_cache=False).logits
        chances = logits[:, :-1].float().log_softmax(-1)
        losses = -chances.gather(-1, ids[:, 1:, None])[..., 0]
        total += float((losses * mask[:, 1:]).double().sum())
        count += int(mask[:, 1:].sum())
    return total, count
