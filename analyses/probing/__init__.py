"""Linear probes: what keys know that values do not, and the reverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class ProbingSettings:
    """What probes are fitted, and how much to compute."""

    probe: Literal["ridge", "logistic"] = setting(
        "ridge", "ridge: least squares. logistic: ten times slower, and the same picture."
    )
    basis: Literal["raw", "functional"] = setting(
        "raw", "raw: vectors as they are. functional: as the model itself tells vectors apart."
    )
    folds: int = setting(5, "Folds of the words; each is tested once.", at_least=2)
    controls: int = setting(1, "Control tasks for each property.", at_least=0)
    refits: int = setting(3, "Fits with other folds, for their spread.", at_least=1)
    resamples: int = setting(300, "Resamples of the words for every interval.", at_least=2)
    code: bool = setting(True, "Whether to measure description lengths.")
    x_layers: int = setting(
        3, "How many layers' whole x is probed too; the first one always is.", at_least=1
    )
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="Linear probes",
    asks="What do keys know that values do not, and the reverse?",
    settings=ProbingSettings,
    needs=frozenset({Need.CAPTURE}),
    uses=frozenset({Need.UNTRAINED, Need.WORDS}),
)
