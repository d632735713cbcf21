"""Is meaning closer to values than to keys? Similarity of each against scores of meaning.

Scores are GloVe cosine and WordNet's similarities, and human judgements where the user has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.meaning.correlations import correlate
from analyses.meaning.scored import find_scored, read_frequencies
from analyses.meaning.tables import tabulate_meaning, tabulate_meaning_heads
from analyses.shared.given import Given
from analyses.shared.tables import name_capture
from analyses.shared.word_pairs import FEWEST_PAIRS, compare_words
from probes.errors import TableError
from probes.files import hash_json
from probes.parallel import one_core_operations
from probes.progress import progress_bar

if TYPE_CHECKING:
    from analyses.meaning import MeaningSettings


@one_core_operations()
def compute(given: Given, settings: MeaningSettings) -> dict[str, pd.DataFrame]:
    """Correlate the similarity of keys, and of values, with every available score of meaning.

    Parameters
    ----------
    given
        A finished capture of word pairs, perhaps with ``glove_cos``, ``wup`` or ``lin``, and those
        of single words.

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
        If nothing has 30 scored pairs.
    """
    datasets = find_scored(given.store, given.words)
    if not datasets:
        raise TableError(
            f"no {FEWEST_PAIRS} captured pairs have a score of meaning. Capture pairs with a "
            "column glove_cos, wup or lin, more pairs (--limit), or give human scores with --human."
        )
    summaries, heads, coverage = [], [], []
    total = sum(2 + scored.store.n_layers for scored in datasets)
    with progress_bar("Correlating with meaning", total=total) as advance:
        for scored in datasets:
            compared = compare_words(
                scored.store, scored.pairs, seed=settings.seed, on_layer=advance
            )
            found = correlate(scored, compared, resamples=settings.resamples, seed=settings.seed)
            advance(2)
            summaries.append(tabulate_meaning(found))
            heads.append(tabulate_meaning_heads(found))
            coverage.append(
                {
                    "dataset": scored.dataset,
                    "given": scored.given,
                    "compared": len(scored.pairs),
                    "missing": ", ".join(scored.missing),
                }
            )
    tables = {"summary": pd.concat(summaries), "heads": pd.concat(heads)}
    name_capture(tables.values(), given.store)
    return {**tables, "coverage": pd.DataFrame(coverage)}


def identify(given: Given, settings: MeaningSettings) -> dict[str, Any]:
    """Name the shipped frequencies, which are covariates."""
    return {"frequencies": hash_json(read_frequencies())}
