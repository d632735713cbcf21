"""Every measure beside every null: what is special about the keys and values of one head."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting

PAIRS = 2000
"""A ratio of 5 % of so many pairs is sure to .1 in one head, and to a fraction of it over heads."""

WHOLE = 10**9
"""More pairs than there are: no sample."""


@dataclass(frozen=True)
class NullSettings:
    """How much to compute."""

    pairs: int = setting(
        PAIRS, "Word pairs, drawn at random, that all nulls are measured on.", at_least=20
    )
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
    full={"pairs": WHOLE},
)
