"""Relations between words: which of them dissociates keys from values."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class RelationsSettings:
    """How much to compute."""

    resamples: int = setting(300, "Resamples of the words for every interval.", at_least=2)
    references: int = setting(
        5000, "Random pairs of each kind of words, among which every pair is ranked.", at_least=1
    )
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="Relations between words",
    asks="Which relation between words dissociates keys from values?",
    settings=RelationsSettings,
    needs=frozenset({Need.PAIRS, Need.WORDS}),
    in_run=True,
)
