"""The weights alone: whether W_K and W_V of a head read the same directions of the input."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question


@dataclass(frozen=True)
class WeightsSettings:
    """There is nothing to set: no text is read and nothing is drawn at random."""


QUESTION = Question(
    package=__name__,
    title="The weights alone",
    asks="Do W_K and W_V of a head read the same directions of the input?",
    settings=WeightsSettings,
    needs=frozenset({Need.MODEL}),
    in_run=True,
)
