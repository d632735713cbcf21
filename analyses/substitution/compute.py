"""Replace values (or keys) head by head, layer by layer and everywhere, and measure the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.given import Given
from analyses.shared.resumable import FinishedParts
from analyses.substitution.tables import (
    tabulate_geometry,
    tabulate_heads,
    tabulate_ranks,
    tabulate_rises,
)
from analyses.substitution.trials import fit_trials, list_trials, run_trials
from probes.causal.substitute import list_kinds
from probes.causal.sweep import Sweep
from probes.causal.windows import Windows, cut_windows

if TYPE_CHECKING:
    from analyses.substitution import SubstitutionSettings
    from probes.words.texts import Corpus, Document


def compute(given: Given, settings: SubstitutionSettings) -> dict[str, pd.DataFrame]:
    """Fit and try every substitution.

    Parameters
    ----------
    given
        A causal language model, and text to fit on and to test on. With the measures of single
        heads (`analyses.divergence`), they are correlated with what replacing the head's values
        costs. Finished parts are kept; a run that was killed resumes from them.

    Returns
    -------
    ``summary``
        ``scope`` (head, layer, all), ``kind``, ``fit`` (at once, in order), ``rise`` in nats a
        token with ``ci_low, ci_high`` over documents, ``recovered`` = 1 - rise / rise of mean
        ablation, with its interval. For single heads and layers: means over them.
    ``heads``, ``layers``
        The same for every kv head and layer, with ``r2_text``, the R^2 of the fit from keys to
        values in the functional metric, on the training text.
    ``ranks``
        ``directions`` (top, best), ``rank``, and the same numbers, all layers at once.
    ``geometry``
        ``measure, cost, value, ci_low, ci_high``: Spearman correlations over kv heads.
    ``documents``
        Summed losses of every substitution and document, from which all else follows.

    Raises
    ------
    UnsupportedModelError
        If the model does not predict next tokens.
    """
    model, corpus = given.model, given.corpus
    sweep = Sweep(model)
    train, test = cut_text(given, settings)
    parts = FinishedParts.of(given, settings, leaving_out=("resamples",))
    kinds = list_kinds(model.geometry.layers)
    fits, r2 = fit_trials(model, train, kinds, settings, parts, resumes=sweep.resumes)
    plan = list(list_trials(model, kinds, settings))
    losses = run_trials(sweep, test, plan, fits, settings, parts)
    names = [document.name for document in _choose(corpus, settings)]
    losses["document"] = [names[number] for number in losses["document"]]
    resampling = {"resamples": settings.resamples, "seed": settings.seed}
    tables = {
        "summary": tabulate_rises(losses, **resampling),
        "heads": tabulate_heads(losses, "head", r2, **resampling),
        "layers": tabulate_heads(losses, "layer", r2, **resampling),
        "ranks": tabulate_ranks(losses, **resampling),
        "geometry": tabulate_geometry(losses, r2, given.heads, **resampling),
        "documents": losses,
    }
    for table in tables.values():
        table.insert(0, "model", model.name)
    return tables


def cut_text(given: Given, settings: SubstitutionSettings) -> tuple[Windows, Windows]:
    """Return the windows to fit on and those to test on."""
    parts = (
        (given.corpus.train, settings.train_windows),
        (_choose(given.corpus, settings), settings.test_windows),
    )
    train, test = (
        cut_windows(given.model.tokenizer, documents, length=settings.length, windows=windows)
        for documents, windows in parts
    )
    return train, test


def _choose(corpus: Corpus, settings: SubstitutionSettings) -> list[Document]:
    """Return the documents to test on, spread evenly over those held out."""
    found, wanted = corpus.held_out, settings.test_documents
    if wanted is None or wanted >= len(found):
        return list(found)
    return [found[number * len(found) // wanted] for number in range(wanted)]
