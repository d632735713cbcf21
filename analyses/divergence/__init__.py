"""The headline: whether similar keys come with dissimilar values."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting

RATIO = "dissociation_ratio_5%"
"""The measure by which the question is answered."""

KINDS = ("related", "mid", "unrelated")
"""How related the two words of a pair may be."""


@dataclass(frozen=True)
class DivergenceSettings:
    """How much to compute.

    Raises
    ------
    UsageError
        If a measure is none of pairs.
    """

    resamples: int = setting(300, "Resamples of the words for every interval.", at_least=2)
    draws: int = setting(1, "Random heads for each trained one.", at_least=1)
    random_pairs: int = setting(
        6000, "Random pairs of the captured words, the second population.", at_least=2
    )
    bins: int = setting(20, "Bins of the divergence curve.", at_least=2)
    measures: tuple[str, ...] = setting(
        (), "Measures of pairs, by name; all of the catalogue unless some are given."
    )
    seed: int = setting(0, "Seed of every random choice.")

    def __post_init__(self) -> None:
        if self.measures:
            from probes.naming import require_known
            from probes.similarity.catalogue import list_pair_measures

            known = [measure.name for measure in list_pair_measures()]
            for name in self.measures:
                require_known("measure of pairs", name, known)


QUESTION = Question(
    package=__name__,
    title="Do similar keys come with dissimilar values?",
    asks="Do similar keys come with dissimilar values, more or less than without training?",
    settings=DivergenceSettings,
    needs=frozenset({Need.PAIRS}),
    in_run=True,
)
