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
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.linear.erasure import Eraser
from probes.models.model import Model


@dataclass(frozen=True)
class ErasureLoss:
    """Cross-entropy of every text (nats, summed over its tokens), as it is and with the erasure.

    A causal model predicts nothing otherwise before the first token that is changed, so only what
    follows it is counted.
    """

    clean_sums: Float[Tensor, "text"]
    erased_sums: Float[Tensor, "text"]
    counts: Float[Tensor, "text"]

    @property
    def n_tokens(self) -> int:
        """How many tokens are predicted."""
        return int(self.counts.sum())

    @property
    def clean(self) -> float:
        """Mean loss a token, nats, as the model is."""
        return float(self.clean_sums.sum() / self.counts.sum())

    @property
    def erased(self) -> float:
        """Mean loss a token, nats, with the property erased."""
        return float(self.erased_sums.sum() / self.counts.sum())

    @property
    def rise(self) -> float:
        """How much the loss rises."""
        return self.erased - self.clean

    def resample(self, weights: Float[Tensor, "resample text"]) -> Float[Tensor, "resample"]:
        """Return the rise in each resample of the texts."""
        rise = (self.erased_sums - self.clean_sums).to(weights)
        return (weights @ rise) / (weights @ self.counts.to(weights))


def measure_erasure_loss(
    model: Model,
    texts: Sequence[str],
    erasers: Mapping[int, Eraser],
    *,
    what: Literal["k", "v"],
    spans: Sequence[tuple[int, int]] | None = None,
    clean_sums: Float[Tensor, "text"] | None = None,
    batch_size: int = 16,
) -> ErasureLoss:
    """Run a causal model over texts with and without erasure.

    Parameters
    ----------
    erasers
        Layer -> an eraser for all its kv heads, from vectors [kv_head, occurrence, d].
    what
        Whether keys or values are erased.
    spans
        Of each text, the first and last token to erase at (such as those of the word that the
        erasers were fitted on); by default every token.
    clean_sums
        Those of another measurement of the same texts and spans, which saves running them again.

    Raises
    ------
    UsageError
        If the model is not causal, a layer does not exist, spans are not one for each text, or no
        token is to be predicted.
    """
    if not model.geometry.causal:
        raise UsageError(f"{model.name} predicts no next token; give a causal model.")
    wrong = [layer for layer in erasers if not 0 <= layer < model.geometry.n_layers]
    if wrong:
        raise UsageError(f"There is no layer {wrong[0]}; there are {model.geometry.n_layers}.")
    if spans is not None and len(spans) != len(texts):
        raise UsageError(f"{len(spans)} spans for {len(texts)} texts; give each text one.")
    batches = [
        _lay_out(model, texts[start : start + batch_size], spans and spans[start:])
        for start in range(0, len(texts), batch_size)
    ]
    counts = torch.cat([batch.counted.sum(1).double() for batch in batches]).cpu()
    if not bool(counts.any()):
        raise UsageError("No text has two tokens; give texts to predict.")
    if clean_sums is None:
        clean_sums = torch.cat([_sum_losses(model, batch) for batch in batches])
    erased = []
    for batch in batches:
        with erasing(model, erasers, what=what, where=batch.changed):
            erased.append(_sum_losses(model, batch))
    return ErasureLoss(clean_sums, torch.cat(erased), counts)


@contextmanager
def erasing(
    model: Model,
    erasers: Mapping[int, Eraser],
    *,
    what: Literal["k", "v"],
    where: Bool[Tensor, "text position"] | None = None,
) -> Iterator[None]:
    """Erase from the keys or values of some layers while the block runs.

    Parameters
    ----------
    where
        The tokens to erase at, of one batch; by default all of every batch.
    """
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
                erased = eraser(flat.float()).transpose(0, 1).reshape(heads.shape)
                if where is not None:
                    erased = torch.where(where[..., None, None].to(heads.device), erased, heads)
                changed = output.clone()
                changed[..., columns.to(output.device)] = erased.to(output.dtype)
                return changed

            stack.callback(projection.module.register_forward_hook(erase).remove)
        yield


@dataclass(frozen=True)
class _Batch:
    """Padded texts, which tokens are changed, and which predictions count."""

    ids: Int[Tensor, "text position"]
    mask: Int[Tensor, "text position"]
    changed: Bool[Tensor, "text position"]
    counted: Bool[Tensor, "text prediction"]


def _lay_out(model: Model, texts: Sequence[str], spans: Sequence[tuple[int, int]] | None) -> _Batch:
    encoded = [model.tokenizer(text)["input_ids"] for text in texts]
    ids = torch.zeros(len(encoded), max(1, *map(len, encoded)), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    place = torch.arange(ids.shape[1])
    changed = torch.zeros_like(ids, dtype=torch.bool)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
        mask[row, : len(tokens)] = 1
        first, last = (0, len(tokens) - 1) if spans is None else spans[row]
        changed[row] = (place >= first) & (place <= last) & (mask[row] > 0)
    # Prediction p is of token p + 1, and follows a change at or before p.
    counted = (mask[:, 1:] > 0) & (changed.cumsum(1)[:, :-1] > 0)
    return _Batch(*(part.to(model.device) for part in (ids, mask, changed, counted)))


@torch.inference_mode()
def _sum_losses(model: Model, batch: _Batch) -> Float[Tensor, "text"]:
    logits = model.hf(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
    chances = logits[:, :-1].float().log_softmax(-1)
    losses = -chances.gather(-1, batch.ids[:, 1:, None])[..., 0]
    return torch.where(batch.counted, losses, 0.0).double().sum(1).cpu()
