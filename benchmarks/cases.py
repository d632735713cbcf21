"""What the simulation of `benchmarks.inference` counts, and the bands that rates must be in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

LEVEL = 0.05
TYPE_I = (0.035, 0.065)
COVERAGE = (0.92, 0.97)
AT_MOST = (0.0, 0.05)
RESAMPLES, PERMUTATIONS = 300, 239
RATIO, SIMILARITY = "dissociation ratio (5 %)", "representational similarity"
NAMES = {RATIO: "dissociation_ratio_5%", SIMILARITY: "representational_similarity"}
"""Figure -> its name in the catalogue of measures."""


@dataclass(frozen=True)
class Case:
    """What was counted: a line of the table, and the band in which its rate must lie."""

    section: str
    figure: str
    setting: str
    band: tuple[float, float] | None = None


Counts = dict[Case, Tensor]
"""Case -> whether it happened, one number in [0, 1] a data set."""

Round = Callable[[int], Counts]
"""Seed -> the counts of a few data sets."""
