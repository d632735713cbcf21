"""Translation, where the founding question comes from: cross-attention beside self-attention."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.divergence import RATIO, DivergenceSettings
from analyses.shared.given import Need
from analyses.shared.question import Question
from probes.similarity.catalogue import OCCURRENCES, WORD_PAIRS

SHOWN = (
    (RATIO, WORD_PAIRS),
    ("representational_similarity", WORD_PAIRS),
    ("tieability", OCCURRENCES),
)
"""The measures that figure and report show, and of which population."""


@dataclass(frozen=True)
class CrossSettings(DivergenceSettings):
    """How much to compute at each site."""


QUESTION = Question(
    package=__name__,
    title="Translation: cross-attention beside self-attention",
    asks="Do cross-attention and self-attention of a translator dissociate keys from values alike?",
    settings=CrossSettings,
    needs=frozenset({Need.PAIRS, Need.SITES}),
    in_run=True,
)
