"""Count the letters of the captured pairs' words."""

from __future__ import annotations

import pandas as pd

from analyses.shared.given import Given
from probes.errors import TableError
from tests.kvprobes.toy_question import ToySettings


def compute(given: Given, settings: ToySettings) -> dict[str, pd.DataFrame]:
    """Return a table ``summary`` with ``word, value``.

    Raises
    ------
    TableError
        If no word is long enough.
    """
    words = given.store.table("pairs")[settings.word]
    lengths = words.str.len()
    if not (lengths >= settings.shortest).any():
        raise TableError(f"no word of {given.store.folder} has {settings.shortest} letters.")
    summary = pd.DataFrame({"word": words, "value": lengths})
    return {"summary": summary[lengths >= settings.shortest].reset_index(drop=True)}


def identify(given: Given, settings: ToySettings) -> dict[str, str]:
    """Name the alphabet, which only this question reads."""
    return {"alphabet": "Latin"}
