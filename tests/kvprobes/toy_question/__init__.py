"""A question that is outside the package: a folder like this, and one line in `NAMES`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting

NAME = "tests.kvprobes.toy_question"


@dataclass(frozen=True)
class ToySettings:
    """What is counted."""

    shortest: int = setting(0, "Fewest letters of a word that counts.", at_least=0)
    word: Literal["m1", "m2"] = setting("m1", "Which word of a pair.")
    seed: int = setting(0, "Of nothing.")


QUESTION = Question(
    package=__name__,
    title="The toy",
    asks="How long are the words?",
    settings=ToySettings,
    needs=frozenset({Need.PAIRS}),
    in_run=True,
    presets={"long": {"shortest": 6}},
)
