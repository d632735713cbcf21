"""The null of no training: the same heads of the same architecture as its code initialises it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from probes.similarity.condition import Condition

if TYPE_CHECKING:
    from probes.similarity.null_sides import NullLayer
    from probes.similarity.sides import Side


def _take_untrained(given: NullLayer) -> Iterator[tuple[Side, Side]]:
    if given.untrained is not None:
        sides = given.untrained.keys(given.layer), given.untrained.values(given.layer)
        yield given.make_side(sides[0]), given.make_side(sides[1])


CONDITIONS = (
    Condition(
        "untrained_model",
        "untrained model",
        "#666666",
        "X",
        keeps="the architecture, the sentences, and how its code draws weights",
        breaks="all training",
        meaning=(
            "The same sentences in the same architecture as its code initialises it, before any "
            "training."
        ),
        sides=_take_untrained,
    ),
)
