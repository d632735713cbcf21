"""One layer's keys and values, as trained and in the hands of every null of heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float, Int
from torch import Tensor

from probes.capture.located import CapturedWords
from probes.similarity.sides import Side
from probes.similarity.spaces import HeadMetrics, read_heads, read_metrics, to_space

if TYPE_CHECKING:
    from probes.capture.store import Store


@dataclass(frozen=True)
class Captured:
    """A capture, the functional metrics of its layers, and each occurrence's template.

    With ``rows`` its occurrences stand in the order of another capture: a row for each of that
    one's, any where -1 says that it is not here.
    """

    store: Store
    metrics: list[HeadMetrics]
    templates: Int[Tensor, " occurrence"]
    rows: Int[Tensor, " other"] | None = None

    @classmethod
    def of(cls, store: Store) -> Captured:
        """Read what is needed to place the keys and values of a capture in functional space."""
        return cls(store, read_metrics(store), CapturedWords.of(store).template)

    def keys(self, layer: int) -> Float[Tensor, "kv_head occurrence d_head"]:
        """Return one layer's trained keys in the functional space."""
        return self.place(read_heads(self.store, "k", layer), self.metrics[layer], "key")

    def values(self, layer: int) -> Float[Tensor, "kv_head occurrence d_value"]:
        """Return one layer's trained values in the functional space."""
        return self.place(read_heads(self.store, "v", layer), self.metrics[layer], "value")

    def place(
        self,
        vectors: Float[Tensor, "head occurrence d"],
        metrics: HeadMetrics,
        of: Literal["key", "value"],
    ) -> Float[Tensor, "head row d"]:
        """Give the coordinates of some heads' keys or values in the functional space."""
        metric = getattr(metrics, of)
        placed = to_space(vectors, "functional", metric=metric, templates=self.templates)
        return placed if self.rows is None else placed[:, self.rows]


@dataclass(frozen=True)
class NullLayer:
    """What the nulls of one layer are made of.

    Attributes
    ----------
    captured
        The trained model's capture.
    untrained
        The untrained model's, of the same sentences; None where there is none.
    make_side
        Turns coordinates in the functional space into a `Side`.
    draws
        Random heads of every kind for each trained one.
    seed
        Of every random choice.
    """

    captured: Captured
    untrained: Captured | None
    layer: int
    make_side: Callable[[Float[Tensor, "head occurrence d"]], Side]
    draws: int
    seed: int

    @cached_property
    def trained(self) -> tuple[Side, Side]:
        """The trained keys and the trained values."""
        sides = self.captured.keys(self.layer), self.captured.values(self.layer)
        return self.make_side(sides[0]), self.make_side(sides[1])
