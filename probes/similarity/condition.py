"""The record of a condition under which keys and values are compared: as trained, or a null.

A null is a condition in which something that training may have brought about is broken, and
everything else is kept. Each is in a file with the function that makes it, in a tuple
``CONDITIONS``; the catalogue lists the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from probes.similarity.null_sides import NullLayer
    from probes.similarity.sides import Side

TRAINED = "trained"


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes
    ----------
    name
        As in result tables.
    label
        The same in plain words, for figures and text.
    colour, marker, line
        In every figure the same; Okabe & Ito (2008), Tol. As trained, lines are solid.
    keeps, breaks
        What a null leaves as trained, and what it takes away.
    meaning
        How it is made, in a sentence or two for a reader.
    sides
        For a null of heads: yields the keys and the values of a layer's null heads. Without it (and
        without `deal`) the question ``nulls`` leaves it out.
    deal
        For a null of words: draws permutations of `n_words`, within strata if it likes; called with
        ``(n_words, *, strata, permutations, seed)``.
    """

    name: str
    label: str
    colour: str
    marker: str
    keeps: str
    breaks: str
    meaning: str
    sides: Callable[[NullLayer], Iterator[tuple[Side, Side]]] | None = None
    deal: Callable[..., Int[Tensor, "permutation word"]] | None = None
    line: str = ":"
