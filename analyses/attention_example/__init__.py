"""The founding example: before "network", like keys and unlike values of "neural" and "social"."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting
from probes.words.founding import FOUNDING_PAIRS

_HEAD, _FIRST, _SECOND = FOUNDING_PAIRS[0]


@dataclass(frozen=True)
class ExampleSettings:
    """Which example, and among how many random pairs of the captured words it is ranked."""

    head: str = setting(_HEAD, "The word that attends.")
    first: str = setting(_FIRST, "A word before it, to which it attends.")
    second: str = setting(_SECOND, "Another word before it.")
    random_pairs: int = setting(
        6000, "Random pairs of the captured words to rank it among too.", at_least=1
    )
    seed: int = setting(0, "Of the random pairs.")


QUESTION = Question(
    package=__name__,
    title="The founding example",
    asks='Before "network", have "neural" and "social" similar keys and dissimilar values?',
    settings=ExampleSettings,
    needs=frozenset({Need.PAIRS}),
    in_run=True,
)
