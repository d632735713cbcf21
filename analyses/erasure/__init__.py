"""What is a property worth to the model? Its loss when no linear probe can find it any more."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class ErasureSettings:
    """Which properties, and how much to compute."""

    properties: tuple[str, ...] = setting(
        ("part of speech", "semantic field"), "Properties to erase, of those that have classes."
    )
    words: int = setting(
        400, "Words on which the loss is measured, in a sentence each.", at_least=2
    )
    controls: int = setting(5, "How many control tasks to erase beside it.", at_least=0)
    resamples: int = setting(1000, "Resamples of the words for every interval.", at_least=2)
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="Erasure",
    asks="What does the model lose when a property is erased from its keys, or its values?",
    settings=ErasureSettings,
    needs=frozenset({Need.CAPTURE, Need.MODEL}),
)
