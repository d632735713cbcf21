"""What is planted, cell by cell, and what must be answered; docs/calibration.md says the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from probes.planted.design import Planting

Expected = Literal["yes", "not yes"]
"""Where something is planted the answer is yes; where nothing is, no or undetermined."""

KEYS, LESS_ALIKE, DISSIMILAR = "keys alike", "values less alike", "values dissimilar"
"""The answers that are read from a capture (`analyses.co_attended`)."""

ANSWERS = (KEYS, LESS_ALIKE, DISSIMILAR)

NOTHING: dict[str, Expected] = dict.fromkeys(ANSWERS, "not yes")
ALL: dict[str, Expected] = dict.fromkeys(ANSWERS, "yes")


@dataclass(frozen=True)
class Cell:
    """One kind of small model, made again for every seed.

    Attributes
    ----------
    expected
        Answer -> what it must be; answers at the edge of their rule are left out.
    text
        Whether running text of the same words is read too.
    """

    name: str
    planting: Planting
    expected: Mapping[str, Expected] = field(default_factory=dict)
    text: bool = False


CELLS = (
    Cell("nothing", Planting(0.0), NOTHING),
    Cell("classes, .2 of heads", Planting(0.2)),
    Cell("classes, .5 of heads", Planting(0.5), ALL),
    Cell("classes", Planting(1.0), ALL, text=True),
    Cell("classes, strength .05", Planting(1.0, strength=0.05)),
    Cell("classes, strength .1", Planting(1.0, strength=0.1), ALL),
    Cell("classes, common vector", Planting(1.0, common=100.0), ALL),
    Cell("nothing, common vector", Planting(0.0, common=100.0), NOTHING),
    Cell(
        "values as keys",
        Planting(1.0, values="keys"),
        {KEYS: "yes", LESS_ALIKE: "not yes", DISSIMILAR: "not yes"},
        text=True,
    ),
    Cell(
        "half values as keys",  # values are at 59
        Planting(1.0, same=0.5),
        {KEYS: "yes", LESS_ALIKE: "yes", DISSIMILAR: "not yes"},
    ),
    Cell(
        "classes, attention at random", Planting(1.0, strength=0.25, attention="at random"), NOTHING
    ),
    Cell("keys alike to .02", Planting(0.0, key_scale=0.02), {KEYS: "yes"}),
    Cell("keys alike to .05", Planting(0.0, key_scale=0.05), {KEYS: "yes"}),
    Cell("keys alike to .1", Planting(0.0, key_scale=0.1), {KEYS: "not yes"}),
    Cell("nothing, by q.k", Planting(0.0, others="by key"), {KEYS: "not yes"}, text=True),
)
"""The last one is the mechanical part: attending by q.k alone makes keys a little alike, and so
values less alike than keys. Its truth is not nothing; only the level of its keys is asked for."""

QUICK = ("nothing", "classes, .5 of heads", "values as keys", "keys alike to .02")
"""The cells of ``--quick``."""
