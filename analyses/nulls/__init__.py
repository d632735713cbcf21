"""Every measure beside every null: what is special about the keys and values of one head."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class NullSettings:
    """How much to compute."""

    permutations: int = setting(
        1000, "Permutations of the words, within all words and within matched ones.", at_least=1
    )
    draws: int = setting(1, "Random heads of each kind for each trained one.", at_least=1)
    neighbour_words: int = setting(
        1500, "Words, drawn at random, among which neighbours are sought.", at_least=11
    )
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="Every measure beside every null",
    asks="Are the keys and values of a head more alike than if there were nothing to it?",
    settings=NullSettings,
    needs=frozenset({Need.PAIRS}),
    uses=frozenset({Need.UNTRAINED}),
    in_run=True,
)
