"""One pair looked up: how alike its two words' keys and values are in every head, among all pairs.

The founding example for any head word and two modifiers. A pair that the folder's capture does not
hold is captured by itself, with a sample of the shipped pairs to rank it among.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analyses.attention_example.compute import ExampleSettings, find_example
from analyses.attention_example.compute import compute as attention_example
from kvprobes.captures.pairs import CaptureOptions, capture_step, open_whole_store
from kvprobes.results import ResultFolder
from probes.errors import StoreError, TableError
from probes.words.pairs import hash_pairs, load_pairs

if TYPE_CHECKING:
    from probes.capture.store import Store

REFERENCE = 500
"""Shipped pairs that a pair captured by itself is ranked among."""


def look_up(
    options: CaptureOptions, settings: ExampleSettings, *, say: Callable[[str], None]
) -> tuple[ResultFolder, dict[str, pd.DataFrame]]:
    """Rank one pair among the others, in every head; write tables and figures into a folder.

    Parameters
    ----------
    options
        Whose folder is looked at first; it says how to capture what is not there.

    Returns
    -------
    ``lookups/HEAD-FIRST-SECOND`` in the result folder, and the tables of `attention_example`.

    Raises
    ------
    TableError
        If the words cannot be found among the model's tokens, or the two are the same.
    """
    words = (settings.head, settings.first, settings.second)
    if settings.first == settings.second:
        raise TableError(f"this compares {settings.first!r} with itself; name two different words.")
    folder = ResultFolder(options.folder.path / "lookups" / _name("-".join(words)))
    store = _find(options.folder.capture, settings)
    if store is None:
        say(f"The capture in {options.folder.path} does not hold this pair: capturing it")
        store = _capture(options, settings, folder, say)
    pairs = store.table("pairs")
    inputs = attention_example.describe_inputs(store, hash_pairs(pairs), settings)
    if folder.holds(attention_example.NAME, inputs):
        tables = folder.read_tables(attention_example.NAME)
    else:
        tables = attention_example.compute(store, pairs, settings=settings)
        folder.write_tables(attention_example.NAME, tables, inputs)
    folder.write_figures(attention_example.NAME, attention_example.draw(tables))
    return folder, tables


def tabulate_heads(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a layer and kv head: the percentiles of the pair among the given pairs.

    Columns ``layer, kv_head, key_percentile, value_percentile``, functional space.
    """
    similarity = tables["similarity"]
    chosen = similarity[
        (similarity["space"] == "functional") & (similarity["population"] == "word pairs")
    ]
    columns = ["layer", "kv_head", "key_percentile", "value_percentile"]
    return chosen[columns].reset_index(drop=True)


def _find(capture: Path, settings: ExampleSettings) -> Store | None:
    """Open the folder's capture if it is whole and holds the pair in every template."""
    try:
        store = open_whole_store(capture)
        queries = store.table("queries")
        find_example(store, queries, list(dict.fromkeys(queries["template_id"])), settings)
    except (StoreError, TableError):
        return None
    return store


def _capture(
    options: CaptureOptions,
    settings: ExampleSettings,
    folder: ResultFolder,
    say: Callable[[str], None],
) -> Store:
    """Capture the pair and the reference, unless a look-up before this one has."""
    row = {"head": settings.head, "m1": settings.first, "m2": settings.second}
    reference = load_pairs(options.pairs or "compound_pairs", limit=REFERENCE, seed=options.seed)
    asked = pd.DataFrame([{"pair_id": "asked"} | row])
    table = pd.concat([asked, reference[["pair_id", "head", "m1", "m2"]]], ignore_index=True)
    path = folder.path / "pairs.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False)
    own = replace(options, pairs=str(path), limit=None, out=folder.path, overwrite=False)
    store = capture_step(own, say)
    losses = store.table("losses")
    lost = losses[(losses["head"] == settings.head) & losses["modifier"].isin(list(row.values()))]
    if len(lost):
        raise TableError(
            f"{lost['modifier'].iloc[0]!r} before {settings.head!r} cannot be found among the "
            f"tokens of {options.model}: {lost['reason'].iloc[0]}."
        )
    return store


def _name(words: str) -> str:
    return re.sub(r"[^\w-]+", "-", words)
