"""Is meaning closer to values than to keys? Likeness in each against scores of meaning.

Scores are GloVe cosine and WordNet's similarities, and human judgements where the user has them.
``compute`` turns the captures into tables, ``draw`` turns the tables into figures. As a script:
``python -m analyses.meaning.compute --help``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.meaning.compute.scored import find_scored
from analyses.meaning.tables import correlate, tabulate_meaning, tabulate_meaning_heads
from analyses.shared.word_pairs import compare_words
from analyses.shared.words_sections import describe_meaning as describe
from kvprobes.captures.words import find_word_captures
from probes.errors import TableError
from probes.parallel import one_core_operations
from probes.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.capture.store import Store

__all__ = ["MeaningSettings", "compute", "describe", "describe_inputs", "draw"]

NAME = "meaning"


@dataclass(frozen=True)
class MeaningSettings:
    """How much to compute: ``resamples`` of the words for every interval."""

    resamples: int = 300
    seed: int = 0


@one_core_operations()
def compute(
    store: Store, pairs: pd.DataFrame, *, settings: MeaningSettings | None = None
) -> dict[str, pd.DataFrame]:
    """Correlate the likeness of keys, and of values, with every score of meaning at hand.

    Parameters
    ----------
    store
        A finished capture of `pairs`; those of words stand beside it.
    pairs
        With ``head``, ``m1``, ``m2``, and perhaps ``glove_cos``, ``wup``, ``lin``.

    Returns
    -------
    ``summary``
        Means over heads; see `tabulate_meaning`.
    ``heads``
        Per layer and kv head; see `tabulate_meaning_heads`.
    ``coverage``
        ``dataset, given, compared, missing``: pairs, and the words that could not be captured.

    Raises
    ------
    TableError
        If there is no capture of words, or nothing has 30 scored pairs.
    """
    settings = settings or MeaningSettings()
    datasets = find_scored(store, pairs, find_word_captures(store))
    if not datasets:
        raise TableError(
            "no 30 captured pairs have a score of meaning. Capture pairs with a column glove_cos, "
            "wup or lin, more pairs (--limit), or give human scores with --human."
        )
    summaries, heads, coverage = [], [], []
    total = sum(2 + scored.store.n_layers for scored in datasets)
    with progress_bar("Correlating with meaning", total=total) as advance:
        for scored in datasets:
            compared = compare_words(
                scored.store, scored.rows, seed=settings.seed, on_layer=advance
            )
            found = correlate(scored, compared, resamples=settings.resamples, seed=settings.seed)
            advance(2)
            summaries.append(tabulate_meaning(found))
            heads.append(tabulate_meaning_heads(found))
            coverage.append(
                {
                    "dataset": scored.dataset,
                    "given": scored.given,
                    "compared": len(scored.table),
                    "missing": ", ".join(scored.missing),
                }
            )
    tables = {"summary": pd.concat(summaries), "heads": pd.concat(heads)}
    for table in tables.values():
        table.insert(0, "model", store.manifest["model"])
        table.insert(1, "key_stage", store.manifest["identity"]["key_stage"])
    return {**tables, "coverage": pd.DataFrame(coverage)}


def describe_inputs(
    store: Store, pairs_hash: str, settings: MeaningSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    words = find_word_captures(store)
    return {
        "capture": store.identity_hash,
        "words": {name: capture.identity_hash for name, capture in words.items()},
        "pairs": pairs_hash,
        "settings": asdict(settings or MeaningSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw keys beside values for every score, and the difference by head, from tables alone."""
    from analyses.meaning.compute import figures

    return {
        "meaning": figures.draw_meaning(tables["summary"]),
        "meaning_heads": figures.draw_meaning_heads(tables["heads"], tables["summary"]),
    }


if __name__ == "__main__":
    from kvprobes.command.cli import run_analysis_script

    run_analysis_script(NAME)
