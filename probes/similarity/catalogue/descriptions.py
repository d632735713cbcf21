"""What tables hold beside the measures: of keys alone, of values alone, of single pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probes.similarity.catalogue.conditions import find_condition
from probes.similarity.catalogue.measures import find_measure, list_measures
from probes.similarity.catalogue.places import EXCESS
from probes.similarity.catalogue.registry import Registry


@dataclass(frozen=True)
class Description:
    """A figure that is no measure of keys against values.

    Attributes
    ----------
    name
        As in result tables.
    label
        In plain words.
    heading, meaning
        What it is, in a sentence for a reader, and under which heading that is.
    decimals
        How exactly it is told.
    """

    name: str
    label: str
    heading: str
    meaning: str
    decimals: int = 2


def _describe_sides() -> Iterator[Description]:
    for part in ("key", "value"):
        yield Description(
            f"mean_{part}_cosine",
            f"mean {part} cosine",
            "Similarities s_K and s_V",
            "Cosines of the keys of two words, and of their values, in one of the spaces. d_K and "
            "d_V are their distances.",
        )
    for part in ("key", "value"):
        yield Description(
            f"{part}_dimension",
            f"effective dimension of {part}s",
            "Effective dimension",
            "In how many directions vectors spread: (Σλ)² / Σλ² over the eigenvalues λ of their "
            "covariance.",
            decimals=1,
        )
    for part in ("key", "value"):
        yield Description(
            f"{part}_common_share",
            f"share of a {part} that all {part}s have in common",
            "Common share",
            "How much of the mean squared length of vectors is one vector that all words of a "
            "template share.",
        )


_DESCRIPTIONS: Registry[Description] = Registry("figure")
for _description in _describe_sides():
    _DESCRIPTIONS.register(_description)
_DESCRIPTIONS.register(
    Description(
        "dissociation",
        "dissociation",
        "Dissociation of a pair",
        "How many percentile points its s_K is above its s_V among all word pairs, mean over "
        "heads.",
        decimals=1,
    )
)
list_descriptions, find_description = _DESCRIPTIONS.entries, _DESCRIPTIONS.find


def find_label(name: str) -> str:
    """Return what a figure of a table is called in plain words.

    Raises
    ------
    UsageError
        If neither the measures nor the descriptions have it.
    """
    if name.startswith(EXCESS):
        return f"excess tieability over {find_condition(name.removeprefix(EXCESS)).label}"
    if name in {description.name for description in list_descriptions()}:
        return find_description(name).label
    return find_measure(name).label


def define_figures() -> dict[str, str]:
    """Return what everything in the tables means, for a reader: heading -> a sentence or two."""
    measures = {measure.heading: measure.meaning for measure in list_measures()}
    return measures | {other.heading: other.meaning for other in list_descriptions()}
