"""What a property is worth to the model: its loss when the property is erased from keys or values.

Keys are edited as they are projected (before QK-norm and rotation), so fit the erasers on keys that
were captured with ``key_stage="projected"``; where a model has no QK-norm, "normed" is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.causal.edits import Edit, EditedPart, Made, intervening
from probes.causal.losses import Scorer
from probes.errors import UsageError
from probes.models.model import Model

Erase = Callable[[Tensor], Tensor]
"""Vectors [kv_head, occurrence, d], erased: a `probes.linear.Eraser`, or anything like it."""


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


@torch.inference_mode()
def measure_erasure_loss(
    model: Model,
    texts: Sequence[str],
    erasers: Mapping[int, Erase],
    *,
    part: EditedPart,
    spans: Sequence[tuple[int, int]] | None = None,
    clean_sums: Float[Tensor, "text"] | None = None,
    batch_size: int = 16,
) -> ErasureLoss:
    """Run a causal model over texts with and without erasure.

    Parameters
    ----------
    erasers
        Layer -> an eraser for all its kv heads (`probes.linear.fit_eraser`).
    part
        Whether keys or values are erased.
    spans
        Of each text, the first and last token to erase at (such as those of the word that the
        erasers were fitted on); by default every token.
    clean_sums
        Those of another measurement of the same texts and spans, which saves running them again.

    Raises
    ------
    UnsupportedModelError
        If the model is not causal.
    UsageError
        If a layer does not exist or makes no keys of its own, spans are not one for each text, or
        no token is to be predicted.
    """
    scorer = Scorer(model)
    if spans is not None and len(spans) != len(texts):
        raise UsageError(f"{len(spans)} spans for {len(texts)} texts; give each text one.")
    batches = [
        _lay_out(model, texts[start : start + batch_size], spans and spans[start:])
        for start in range(0, len(texts), batch_size)
    ]
    counts = torch.cat([batch.counted.sum(1).double() for batch in batches])
    if not bool(counts.any()):
        raise UsageError("No text has two tokens; give texts to predict.")
    if clean_sums is None:
        clean_sums = torch.cat([_sum_losses(scorer, batch) for batch in batches])
    erased = []
    for batch in batches:
        edits = make_erasing_edits(erasers, part=part, where=batch.changed)
        with intervening(model.geometry, edits):
            erased.append(_sum_losses(scorer, batch))
    return ErasureLoss(clean_sums, torch.cat(erased), counts)


def make_erasing_edits(
    erasers: Mapping[int, Erase],
    *,
    part: EditedPart,
    where: Bool[Tensor, "row position"] | None = None,
) -> list[Edit]:
    """Make the edits that erase from the keys or values of some layers, for `intervening`.

    Parameters
    ----------
    where
        The tokens to erase at, of one batch; by default all of every batch.
    """

    def change(made: Made, erase: Erase) -> Tensor:
        heads = made.keys if part == "keys" else made.values  # [row, position, kv_head, d]
        flat = heads.movedim(2, 0).flatten(1, 2)
        erased = erase(flat.float()).reshape(-1, *heads.shape[:2], heads.shape[-1]).movedim(0, 2)
        return erased if where is None else torch.where(where[..., None, None], erased, heads)

    return [
        Edit(part, partial(change, erase=erase), layer=layer) for layer, erase in erasers.items()
    ]


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
    return _Batch(ids, mask, changed.to(model.device), counted)


def _sum_losses(scorer: Scorer, batch: _Batch) -> Float[Tensor, "text"]:
    losses = scorer.score(batch.ids, batch.mask)[:, :-1]
    return torch.where(batch.counted, losses, 0.0).double().sum(1)
