"""Meaning: whether scores of it follow the similarity of values or that of keys."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class MeaningSettings:
    """How much to compute."""

    resamples: int = setting(300, "Resamples of the words for every interval.", at_least=2)
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="Meaning",
    asks="Is meaning closer to values than to keys?",
    settings=MeaningSettings,
    needs=frozenset({Need.PAIRS, Need.WORDS}),
    in_run=True,
)
