"""The numbers of a run that a study sets side by side, each with where it is and its range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analyses.shared.tables import select
from kvprobes.results import ResultFolder
from probes.errors import StoreError
from probes.naming import require_known

_NORMAL_95 = 1.959964
RANDOM = "trained - random_heads"
ANOTHER = "trained - mismatched_heads"


@dataclass(frozen=True)
class Number:
    """One number.

    Attributes
    ----------
    question, table, where
        The question, its table, and the row.
    nothing
        What it is where there is nothing to be found.
    possible
        The least and the largest that it can be.
    """

    name: str
    label: str
    question: str
    table: str
    where: dict[str, str]
    nothing: float
    possible: tuple[float, float]
    decimals: int = 1


def list_numbers() -> list[Number]:
    """List all numbers, in the order of the page."""
    return list(_numbers())


def find_number(name: str) -> Number:
    """Find a number by its name.

    Raises
    ------
    UsageError
        If there is none; the message lists them.

    Examples
    --------
    >>> find_number("coordination.key_percentile").nothing
    50.0
    """
    known = {number.name: number for number in _numbers()}
    require_known("number of a study", name, known)
    return known[name]


def read_numbers(folder: ResultFolder, questions: tuple[str, ...]) -> pd.DataFrame:
    """Read all numbers that a finished run has.

    Returns
    -------
    ``number, value, ci_low, ci_high, error``: the standard error is the width of the 95 % interval
    over 2 x 1.96. A number without an interval is left out.
    """
    rows = []
    for question in questions:
        try:
            tables = folder.read_tables(question)
        except StoreError:
            continue  # it was left out in this model, and the page says so
        for number in _numbers():
            if number.question != question or number.table not in tables:
                continue
            found = select(tables[number.table], **number.where)
            if found.empty:
                continue
            value, low, high = (float(found.iloc[0][n]) for n in ("value", "ci_low", "ci_high"))
            error = (high - low) / (2 * _NORMAL_95)
            if error > 0:
                rows.append((number.name, value, low, high, error))
    return pd.DataFrame(rows, columns=["number", "value", "ci_low", "ci_high", "error"])


def _numbers() -> Iterator[Number]:
    points, differences = (0.0, 100.0), (-100.0, 100.0)
    for source in ("coordination", "running text"):
        where = {"source": source, "weighting": "plain"}
        place = ("co_attended", "summary")
        for name, label, measure, condition, nothing, possible in (
            ("key_percentile", "keys, percentile", "key_percentile", "trained", 50.0, points),
            (
                "key_beyond_another_head",
                "keys, beyond another head's choice",
                "key_percentile",
                ANOTHER,
                0.0,
                differences,
            ),
            (
                "key_beyond_random_heads",
                "keys, beyond random heads",
                "key_percentile",
                RANDOM,
                0.0,
                differences,
            ),
            ("value_percentile", "values, percentile", "value_percentile", "trained", 50.0, points),
            ("difference", "keys less values", "difference", "trained", 0.0, differences),
        ):
            row = where | {"measure": measure, "condition": condition}
            short = source.replace(" ", "_")
            told = f"{source}: {label}"
            yield Number(f"{short}.{name}", told, *place, row, nothing, possible)
    everywhere = {"scope": "all", "measure": "total_variation"}
    for name, label, population, possible in (
        ("index", "swaps: index of values over keys", "word pairs", (-1.0, 1.0)),
        (
            "index_beyond_random_pairs",
            "swaps: index beyond random pairs",
            "word pairs - matched random pairs",
            (-2.0, 2.0),
        ),
    ):
        row = everywhere | {"population": population}
        yield Number(f"swaps.{name}", label, "swaps", "indices", row, 0.0, possible, 2)
    of_pairs = {"space": "functional", "population": "word pairs", "condition": "trained"}
    for name, label, measure, nothing, possible in (
        ("dissociation", "DR(5 %) of word pairs", "dissociation_ratio_5%", 1.0, (0.0, 2.0)),
        (
            "similarity",
            "representational similarity of word pairs",
            "representational_similarity",
            0.0,
            (-1.0, 1.0),
        ),
    ):
        row = of_pairs | {"measure": measure}
        yield Number(
            f"divergence.{name}", label, "divergence", "summary", row, nothing, possible, 2
        )
