"""The premise: whether words that a query attends to alike have similar keys."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting
from probes.similarity.catalogue import ATTENDED


@dataclass(frozen=True)
class PremiseSettings:
    """How much to compute."""

    resamples: int = setting(300, "Resamples of the words for every interval.", at_least=2)
    attended: float = setting(
        ATTENDED,
        "The share of the attention weights that counts as high.",
        at_least=0.001,
        at_most=0.999,
    )
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="The premise",
    asks="Do words that a query attends to alike have similar keys?",
    settings=PremiseSettings,
    needs=frozenset({Need.PAIRS}),
    in_run=True,
)
