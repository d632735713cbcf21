"""Keys and values of every token of a running text, from its streamed moments alone."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class RunningTextSettings:
    """How much to compute."""

    folds: int = setting(
        8, "Stretches of the text; one at a time is left out for the intervals.", at_least=4
    )
    seed: int = setting(0, "Of the random slices of x.")


QUESTION = Question(
    package=__name__,
    title="Running text",
    asks="How far do values follow from keys over all tokens of a running text?",
    settings=RunningTextSettings,
    needs=frozenset({Need.TEXT}),
)
