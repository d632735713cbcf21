"""The data dictionary: what each column of each result table means, and its unit.

The list is in ``columns.tsv`` beside this file; the tests hold every table that they compute
against it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from probes.naming import require_known

if TYPE_CHECKING:
    import pandas as pd

PATH = Path(__file__).parent / "columns.tsv"


@dataclass(frozen=True)
class Column:
    """A row of the dictionary.

    Attributes
    ----------
    column
        Its name; a star stands for the name of a condition or a measure.
    unit
        Of its numbers; "name" or "text" for words.
    tables
        Which tables have it: ``question.table``, where a star stands for any.
    meaning
        In a sentence.
    """

    column: str
    unit: str
    tables: tuple[str, ...]
    meaning: str

    def is_in(self, table: str) -> bool:
        """Whether a table has it."""
        return any(fnmatchcase(table, pattern) for pattern in self.tables)


@cache
def list_columns() -> tuple[Column, ...]:
    """Return the whole dictionary, in the order of its file."""
    with PATH.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(
            Column(row["column"], row["unit"], tuple(row["tables"].split()), row["meaning"])
            for row in rows
        )


def list_tables() -> list[str]:
    """Return all tables as ``question.table``, in order.

    >>> "divergence.heads" in list_tables()
    True
    """
    return sorted({name for column in list_columns() for name in column.tables if "*" not in name})


def find_column(table: str, name: str) -> Column | None:
    """Return what is in the dictionary about a column of a table; None if nothing does."""
    own = [column for column in list_columns() if column.is_in(table)]
    exact = [column for column in own if column.column == name]
    return next(iter(exact + [c for c in own if fnmatchcase(name, c.column)]), None)


def describe_table(table: str) -> pd.DataFrame:
    """Return ``column, unit, meaning`` of one table.

    Raises
    ------
    UsageError
        If there is no such table.

    Examples
    --------
    >>> describe_table("weights.heads").query("column == 'layer'")["unit"].item()
    'from 0'
    """
    import pandas as pd

    require_known("table", table, list_tables())
    rows = [(c.column, c.unit, c.meaning) for c in list_columns() if c.is_in(table)]
    return pd.DataFrame(rows, columns=["column", "unit", "meaning"])
