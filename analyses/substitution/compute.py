"""What a model loses when values are made from keys: the test of K = V by intervention.

``compute`` replaces values (or keys) head by head, layer by layer and everywhere while the model
reads held-out text, and measures the rise of its cross-entropy; ``draw`` draws the tables. As a
script: ``python -m analyses.substitution.compute --preset quick``.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.presets import choose_preset
from analyses.shared.resumable import Units
from analyses.substitution.section import describe_substitution as describe
from analyses.substitution.tables import (
    tabulate_geometry,
    tabulate_heads,
    tabulate_ranks,
    tabulate_rises,
)
from analyses.substitution.trials import SubstitutionSettings, fit_trials, list_trials, run_trials
from probes.causal.substitute import list_kinds
from probes.causal.sweep import Sweep
from probes.causal.windows import Windows, cut_windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.models.model import Model
    from probes.words.texts import Corpus, Document

__all__ = ["PRESETS", "choose_settings", "compute", "describe", "describe_inputs", "draw"]

NAME = "substitution"


PRESETS = {
    "quick": SubstitutionSettings(
        length=40,
        train_windows=4,
        test_documents=12,
        head_kinds=("keys", "mean"),
        ordered_kinds=("keys",),
        ranks=(1, 8, 32),
    ),
    "full": SubstitutionSettings(),
}


def compute(
    model: Model,
    corpus: Corpus,
    *,
    settings: SubstitutionSettings | None = None,
    folder: Path | None = None,
    divergence_heads: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Fit and try every substitution.

    Parameters
    ----------
    model
        A causal language model.
    corpus
        Text to fit on and text to test on.
    folder
        Where finished parts are kept; a run that was killed goes on from them.
    divergence_heads
        The table ``heads`` of `analyses.divergence.compute`, if there is one: its measures of each head are
        correlated with what replacing the head's values costs.

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
        ``directions`` (top, best), ``rank``, and the same figures, all layers at once.
    ``geometry``
        ``measure, cost, value, ci_low, ci_high``: Spearman correlations over kv heads.
    ``documents``
        Summed losses of every substitution and document, from which all else follows.

    Raises
    ------
    UnsupportedModelError
        If the model does not predict next tokens.
    """
    settings = settings or SubstitutionSettings()
    sweep = Sweep(model)
    train, test = cut_text(model, corpus, settings)
    units = Units(folder, describe_inputs(model, corpus, settings))
    kinds = list_kinds(model.geometry.layers)
    fits, r2 = fit_trials(model, train, kinds, settings, units, resumes=sweep.resumes)
    plan = list(list_trials(model, kinds, settings))
    losses = run_trials(sweep, test, plan, fits, settings, units)
    names = [document.name for document in _choose(corpus, settings)]
    losses["document"] = [names[number] for number in losses["document"]]
    resampling = {"resamples": settings.resamples, "seed": settings.seed}
    tables = {
        "summary": tabulate_rises(losses, **resampling),
        "heads": tabulate_heads(losses, "head", r2, **resampling),
        "layers": tabulate_heads(losses, "layer", r2, **resampling),
        "ranks": tabulate_ranks(losses, **resampling),
        "geometry": tabulate_geometry(losses, r2, divergence_heads, **resampling),
        "documents": losses,
    }
    for table in tables.values():
        table.insert(0, "model", model.name)
    return tables


def describe_inputs(
    model: Model, corpus: Corpus, settings: SubstitutionSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "weights": model.weights_hash,
        "config": model.origin.get("config_hash"),
        "corpus": corpus.hash,
        "settings": asdict(settings or SubstitutionSettings()),
    }


def cut_text(
    model: Model, corpus: Corpus, settings: SubstitutionSettings
) -> tuple[Windows, Windows]:
    """Return the windows to fit on and those to test on."""
    train = cut_windows(
        model.tokenizer, corpus.train, length=settings.length, windows=settings.train_windows
    )
    test = cut_windows(
        model.tokenizer,
        _choose(corpus, settings),
        length=settings.length,
        windows=settings.test_windows,
    )
    return train, test


def _choose(corpus: Corpus, settings: SubstitutionSettings) -> list[Document]:
    """Return the documents to test on, spread evenly over those held out."""
    found, wanted = corpus.held_out, settings.test_documents
    if wanted is None or wanted >= len(found):
        return list(found)
    return [found[number * len(found) // wanted] for number in range(wanted)]


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw what comes back, head by head and as a curve over ranks, from the tables alone."""
    from analyses.substitution.figures import draw_geometry, draw_heads, draw_summary

    return {
        "summary": draw_summary(tables["summary"], tables["ranks"]),
        "heads": draw_heads(tables["heads"], tables["layers"]),
        "geometry": draw_geometry(tables["heads"], tables["geometry"]),
    }


def choose_settings(preset: str, *, seed: int = 0) -> SubstitutionSettings:
    """Return the settings of a preset, ``quick`` or ``full``; see `choose_preset`."""
    return choose_preset(PRESETS, preset, seed=seed)


if __name__ == "__main__":
    import typer

    from kvprobes.command.cli import substitute

    typer.run(substitute)
