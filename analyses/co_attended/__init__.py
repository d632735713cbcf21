"""The claim as it was made: of words that one query attends to, keys are alike, values are not."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class CoAttendedSettings:
    """How much to read, and what counts as attended together."""

    documents: int | None = setting(
        30, "Documents of running text that are read; none: all of them.", at_least=2
    )
    length: int = setting(128, "Tokens of each document.", at_least=16)
    share: float = setting(
        0.25, "In sentences the smaller of the two weights is in this top share.", at_least=0.01
    )
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="Words that one query attends to",
    asks="Do words that one query attends to have similar keys and dissimilar values?",
    settings=CoAttendedSettings,
    needs=frozenset({Need.CONTEXTS, Need.MODEL, Need.CORPUS}),
    uses=frozenset({Need.CAPTURE, Need.SWAPS}),
    in_run=True,
    quick={"documents": 8},
)
