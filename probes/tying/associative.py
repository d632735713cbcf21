"""Associative memory as a task: what is matched and what is returned differ, or are the same.

Both tasks show items and then cues; at every cue, the answer must be given. Answers are never
shown, so they cannot be found by elimination; only cues are scored, and chance is known. One layer
of attention is enough: a head matches the cue and hands the answer on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.errors import UsageError
from probes.tying.batch import NOT_SCORED, Batch
from probes.tying.drawn import DrawnTask


@dataclass(frozen=True)
class HeteroAssociative(DrawnTask):
    """Items are pairs, each one token; a cue names the key of one, its value must be given.

    Every sequence draws other keys, in another order, with values drawn again, so a head that
    answers must match one thing, the key, and return another, the value, of which the key says
    nothing. A model that returns the value of any item of the context is right with probability
    1 / items + (1 - 1 / items) / values.
    """

    items: int = 8
    cues: int = 8
    keys: int = 16
    values: int = 16
    bytes_per_token: float = math.nan

    def __post_init__(self) -> None:
        if min(self.cues, self.values) < 1 or not 1 <= self.items <= self.keys:
            raise UsageError(
                f"{self.cues} cues for {self.items} items of {self.keys} keys and {self.values} "
                "values: give at least one of each, and no more items than keys."
            )

    @property
    def vocabulary(self) -> int:
        """Pairs (key x values + value), then keys as cues, then values as answers."""
        return self.keys * self.values + self.keys + self.values

    @property
    def length(self) -> int:
        """Positions of a sequence."""
        return self.items + self.cues

    def _draw(self, size: int, generator: torch.Generator) -> Batch:
        keys = _draw_without_repeats(size, self.keys, generator)[:, : self.items]
        values = torch.randint(self.values, (size, self.items), generator=generator)
        asked = torch.randint(self.items, (size, self.cues), generator=generator)
        pairs = self.keys * self.values
        return _ask(
            items=keys * self.values + values,
            cues=pairs + keys.gather(1, asked),
            answers=pairs + self.keys + values.gather(1, asked),
        )


@dataclass(frozen=True)
class AutoAssociative(DrawnTask):
    """Items are on a ring; a cue is within `reach` steps of one, and that item must be given.

    Completion of a pattern, as in a Hopfield memory: the item that matches the cue best is itself
    the answer, so what is matched and what is returned coincide. Items of one sequence are more
    than twice `reach` apart, so only one is right. A model that names any token near the cue is
    right with probability 1 / (2 reach + 1), a model that names any item with 1 / items.
    """

    items: int = 8
    cues: int = 8
    ring: int = 64
    reach: int = 2
    bytes_per_token: float = math.nan

    def __post_init__(self) -> None:
        width = 2 * self.reach + 1
        if min(self.cues, self.items, width) < 1 or self.items * width > self.ring:
            raise UsageError(
                f"{self.cues} cues for {self.items} items, each {width} wide, on a ring of "
                f"{self.ring}: give at least one of each, and a ring in which the items fit."
            )

    @property
    def vocabulary(self) -> int:
        """Items, then cues."""
        return 2 * self.ring

    @property
    def length(self) -> int:
        """Positions of a sequence."""
        return self.items + self.cues

    def _draw(self, size: int, generator: torch.Generator) -> Batch:
        width = 2 * self.reach + 1
        spare = self.ring - self.items * width
        # Which of these places are items: every way to spread the spare steps, equally likely.
        places = _draw_without_repeats(size, spare + self.items, generator)[:, : self.items]
        gaps = places.sort(dim=1).values - torch.arange(self.items)
        turn = torch.randint(self.ring, (size, 1), generator=generator)
        items = (gaps + width * torch.arange(self.items) + turn) % self.ring
        items = items.gather(1, _draw_without_repeats(size, self.items, generator))
        asked = torch.randint(self.items, (size, self.cues), generator=generator)
        near = torch.randint(-self.reach, self.reach + 1, (size, self.cues), generator=generator)
        answers = items.gather(1, asked)
        return _ask(items, self.ring + (answers + near) % self.ring, answers)


def _ask(items: Tensor, cues: Tensor, answers: Tensor) -> Batch:
    """Put cues after items; only cues are scored."""
    targets = torch.cat([torch.full_like(items, NOT_SCORED), answers], dim=1)
    return Batch(torch.cat([items, cues], dim=1), targets)


def _draw_without_repeats(size: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(size, count, generator=generator).argsort(dim=1)
