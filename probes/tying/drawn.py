"""Tasks whose sequences are drawn, as many as are asked for, from streams that never meet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch

from probes.tying.batch import Batch, Part, seeded

TRAIN, UNSEEN, LANGUAGE = 0, 1, 2
"""The streams: training's, that of unseen sequences, and that of a task's own rules."""

UNSEEN_BATCHES = 4


class DrawnTask(ABC):
    """A `Task` that draws its batches; subclasses say how (`_draw`)."""

    unseen_size: ClassVar[int] = 256
    """Sequences in each batch of unseen ones."""

    def batch(self, step: int, *, size: int, seed: int) -> Batch:
        """Draw the training sequences of a step."""
        return self._draw(size, seeded(TRAIN, seed, step))

    def unseen(self, part: Part) -> Iterator[Batch]:
        """Draw sequences of another stream than training's, the same for every seed."""
        for number in range(UNSEEN_BATCHES):
            yield self._draw(self.unseen_size, seeded(UNSEEN, int(part == "test"), number))

    @abstractmethod
    def _draw(self, size: int, generator: torch.Generator) -> Batch:
        """Draw `size` sequences."""
