"""Translation, where the founding question comes from: cross-attention beside self-attention."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.divergence import DivergenceSettings
from analyses.shared.given import Need
from analyses.shared.question import Question


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
