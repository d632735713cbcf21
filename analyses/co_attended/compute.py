"""Words that one query attends to: how alike their keys are, how alike their values.

All sources are measured in one way. *Coordination*: two modifiers before one head noun, in one
sentence. In its place *your sentences*, or a *treebank*. *Running text* and its *content words*:
all tokens that a query attends to. *Two queries*: the compounds of the capture of word pairs, where
each word has a sentence, and a query, of its own.

An encoder-decoder is asked at its encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.co_attended.sources import (
    COMPOUNDS,
    leave_out_selected,
    measure_sentences,
    measure_text,
    name_source,
    reads_another_script,
)
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

ANOTHER_SCRIPT = (
    "the text is in another script than the captured words. Give one in their language with --text."
)
OWN_WORDS = (
    "it attends to words that the model writes itself, so which two words are in a sentence "
    "cannot be set beforehand. The encoder is asked in its place."
)


@one_core_operations()
def compute(given: Given, settings: CoAttendedSettings) -> dict[str, pd.DataFrame]:
    """Measure every source and give the four answers for each.

    Parameters
    ----------
    given
        The capture of contexts, the model and text; also the compounds and the swaps, where
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
    ``left_out``
        ``source, reason``: what could be a source, and is not.

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
    (events, judged), left_out = leave_out_selected(contexts), []
    source = name_source(contexts)
    found = [
        measure_sentences(contexts, events, source, model=given.model, judged=judged, **chosen)
    ]
    if reads_another_script(events.words, given.corpus):
        left_out.append(("running text", ANOTHER_SCRIPT))
    else:
        found += measure_text(
            given.model,
            given.corpus,
            FinishedParts.of(given, settings, leaving_out=("share",)),
            documents=settings.documents,
            length=settings.length,
            seed=settings.seed,
        )
    if given.store is not None and len(given.store.table("pairs").get("m1", ())):
        pairs = ContextPairs.of_compounds(given.store)
        found.append(measure_sentences(given.store, pairs, COMPOUNDS, **chosen))
    if given.model.has_encoder_and_decoder:
        left_out.append(("the decoder", OWN_WORDS))
    tables = {
        "answers": tabulate_answers(found, given.swaps),
        "summary": tabulate_summary(found),
        "sizes": tabulate_sizes(found),
        "heads": tabulate_heads(found),
        "counts": tabulate_counts(found),
        "left_out": pd.DataFrame(left_out, columns=["source", "reason"]),
    }
    for table in tables.values():
        table.insert(0, "model", contexts.manifest["model"])
        table.insert(1, "key_stage", contexts.manifest["identity"]["key_stage"])
    return tables
