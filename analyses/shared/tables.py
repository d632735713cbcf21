"""Rows of the result tables: choosing them, and the order of what they name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from probes.capture.store import Store


def present(column: pd.Series[Any], known: Sequence[str]) -> list[str]:
    """Return the values of a column, the known ones first and in their order."""
    values = list(dict.fromkeys(column.dropna().astype(str)))
    return [v for v in known if v in values] + sorted(v for v in values if v not in known)


def populations(table: pd.DataFrame) -> list[str]:
    """Return the populations of pairs in a table: the word pairs, then all pairs."""
    return present(table.loc[table["population"] != "occurrences", "population"], ("word pairs",))


def select(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """Keep the rows in which every named column has the given value."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def number_heads(n_layers: int, n_heads: int) -> pd.DataFrame:
    """Return ``layer`` and ``kv_head`` of every head, in the order of a flat [layer, head]."""
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(n_layers), n_heads),
            "kv_head": np.tile(np.arange(n_heads), n_layers),
        }
    )


def name_capture(tables: Iterable[pd.DataFrame], store: Store) -> None:
    """Put ``model`` and ``key_stage`` of a capture in front of tables that follow from it."""
    for table in tables:
        table.insert(0, "model", store.manifest["model"])
        table.insert(1, "key_stage", store.manifest["identity"]["key_stage"])
