"""Words that one query attends to: how alike their keys are, how alike their values.

Four sources are measured in one way. *Coordination*: two modifiers before one head noun, in one
sentence. *Running text* and its *content words*: all tokens that a query attends to. *Two queries*:
the compounds of the capture of word pairs, where each word has a sentence, and a query, of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.co_attended.sources import leave_out_selected, measure_sentences, measure_text
from analyses.co_attended.tables import (
    tabulate_answers,
    tabulate_counts,
    tabulate_heads,
    tabulate_sizes,
    tabulate_summary,
)
from analyses.shared.given import Given
from analyses.shared.resumable import FinishedParts
from probes.capture.contexts import ContextPairs
from probes.parallel import one_core_operations
from probes.similarity.conditions import require_one_width

if TYPE_CHECKING:
    from analyses.co_attended import CoAttendedSettings


@one_core_operations()
def compute(given: Given, settings: CoAttendedSettings) -> dict[str, pd.DataFrame]:
    """Measure every source and give the four answers for each.

    Parameters
    ----------
    given
        The capture of coordinations, the model and text; also the compounds and the swaps, where
        they are there.

    Returns
    -------
    ``answers``
        ``source, name, question, verdict, p_yes, p_no, reason``.
    ``summary``
        Means over query heads: ``source, condition, measure, weighting, value, ci_low, ci_high``;
        a condition ``trained - X`` is a difference.
    ``sizes``
        ``source, condition, measure, value, ci_low, ci_high``: the key gap in nats of logit, the
        value gap over that of matched pairs, over what the heads write, and over the stream.
    ``heads``
        ``source, layer, head, kv_head, measure, value, ci_low, ci_high, p, p_bh, p_max_t,
        attention``.
    ``counts``
        ``source, units, selected, heads``.

    Raises
    ------
    UnsupportedModelError
        If the layers have different numbers of kv heads.
    TableError
        If the text has no window.
    """
    require_one_width(given.contexts)
    chosen: dict[str, Any] = {"share": settings.share, "seed": settings.seed}
    contexts = given.contexts
    pairs, judged = leave_out_selected(contexts)
    found = [
        measure_sentences(
            contexts, pairs, "coordination", model=given.model, judged=judged, **chosen
        )
    ]
    found += measure_text(
        given.model,
        given.corpus,
        FinishedParts.of(given, settings, leaving_out=("share",)),
        documents=settings.documents,
        length=settings.length,
        seed=settings.seed,
    )
    if given.store is not None and "m1" in given.store.table("pairs"):
        pairs = ContextPairs.of_compounds(given.store)
        found.append(measure_sentences(given.store, pairs, "two queries", **chosen))
    tables = {
        "answers": tabulate_answers(found, given.swaps),
        "summary": tabulate_summary(found),
        "sizes": tabulate_sizes(found),
        "heads": tabulate_heads(found),
        "counts": tabulate_counts(found),
    }
    for table in tables.values():
        table.insert(0, "model", contexts.manifest["model"])
        table.insert(1, "key_stage", contexts.manifest["identity"]["key_stage"])
    return tables
