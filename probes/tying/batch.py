"""What a model is trained and scored on: tokens, those that follow, and which of them count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

NOT_SCORED = -100
"""A target that does not count (the value that torch's cross-entropy leaves out)."""

Part = Literal["validation", "test"]


@dataclass(frozen=True)
class Batch:
    """Sequences of one length, none of it padding.

    Attributes
    ----------
    tokens, targets
        What the decoder reads, and the token that follows each position, or `NOT_SCORED`.
    source
        What the encoder reads, for an encoder-decoder.
    """

    tokens: Int[Tensor, "batch position"]
    targets: Int[Tensor, "batch position"]
    source: Int[Tensor, "batch source_position"] | None = None

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        source = None if self.source is None else self.source.to(device)
        return Batch(self.tokens.to(device), self.targets.to(device), source)


@runtime_checkable
class Task(Protocol):
    """Something to learn, in batches that follow from the seed and the step alone.

    Batches do not depend on the model, so all variants see the same data in the same order, and a
    run can go on at any step.
    """

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""

    @property
    def length(self) -> int:
        """The most positions of a sequence, of the source too."""

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text per scored token of the test part; NaN where tokens are not text."""

    def batch(self, step: int, *, size: int, seed: int) -> Batch:
        """Return the training batch of a step, counted from 0."""

    def unseen(self, part: Part) -> Iterator[Batch]:
        """Yield what no training batch holds: for choosing settings, or for the final score."""


def seeded(*numbers: int) -> torch.Generator:
    """Return a generator that follows from several small numbers, mixed well.

    Parameters
    ----------
    *numbers
        Each from 0.
    """
    import numpy as np

    state = np.random.SeedSequence(numbers).generate_state(2, dtype=np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
