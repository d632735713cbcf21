"""Scoring a model on what it has not seen: nats per token, and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from probes.errors import UsageError
from probes.tying.batch import NOT_SCORED, Batch
from probes.tying.transformer import Transformer


@dataclass(frozen=True)
class Score:
    """Means over scored tokens: cross-entropy in nats, and the share whose likeliest is right."""

    nats: float
    accuracy: float

    def bits_per_byte(self, bytes_per_token: float) -> float:
        """Convert nats per token to bits per byte of text."""
        return self.nats / math.log(2) / bytes_per_token


@torch.inference_mode()
def score(
    model: Transformer,
    batches: Iterable[Batch],
    *,
    device: str = "cpu",
    precision: str = "float32",
) -> Score:
    """Score a model; every scored token of every batch weighs the same.

    Raises
    ------
    UsageError
        If no token is scored.
    """
    was_training = model.training
    model.eval()
    nats, right, scored = 0.0, 0, 0
    for batch in batches:
        batch = batch.to(device)
        with torch.autocast(batch.tokens.device.type, torch.bfloat16, precision == "bfloat16"):
            logits = model(batch.tokens, batch.source)
        logits, targets = logits.flatten(0, 1).float(), batch.targets.flatten()
        losses = cross_entropy(logits, targets, ignore_index=NOT_SCORED, reduction="none")
        nats += float(losses.double().sum())
        right += int((logits.argmax(1) == targets).sum())
        scored += int((targets != NOT_SCORED).sum())
    model.train(was_training)
    if not scored:
        raise UsageError("No token of these batches is scored; give some that are.")
    return Score(nats / scored, right / scored)
