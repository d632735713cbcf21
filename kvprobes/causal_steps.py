"""The steps behind the two causal analyses: tables and figures, unless they are there."""

from __future__ import annotations

from typing import Any

from analyses.substitution.compute import compute as substitution
from analyses.swaps.compute import compute as swaps
from kvprobes.results import ResultFolder
from probes.errors import StoreError


def substitute_step(
    model: Any,
    folder: ResultFolder,
    *,
    text: str = "text",
    preset: str = "quick",
    seed: int = 0,
) -> bool:
    """Compute and draw `analyses.substitution.compute` into a folder, unless it is there.

    Returns
    -------
    Whether anything had to be computed.
    """
    from probes.words.texts import load_corpus

    settings = substitution.choose_settings(preset, seed=seed)
    corpus = load_corpus(text)
    heads = _read_divergence(folder)
    inputs = substitution.describe_inputs(model, corpus, settings)
    inputs["divergence"] = None if heads is None else folder.read_manifest("divergence")["files"]
    is_new = not folder.holds(substitution.NAME, inputs)
    if is_new:
        tables = substitution.compute(
            model,
            corpus,
            settings=settings,
            folder=folder.path / "units" / substitution.NAME,
            divergence_heads=heads,
        )
        folder.write_tables(substitution.NAME, tables, inputs)
    tables = folder.read_tables(substitution.NAME)
    folder.write_figures(substitution.NAME, substitution.draw(tables))
    return is_new


def swap_step(model: Any, folder: ResultFolder, *, preset: str = "quick", seed: int = 0) -> bool:
    """Compute and draw `analyses.swaps.compute` into a folder, unless it is there.

    Returns
    -------
    Whether anything had to be computed.
    """
    from probes.words import load_pairs, load_templates

    settings = swaps.choose_settings(preset, seed=seed)
    pairs = load_pairs(limit=settings.pairs, seed=seed)
    templates = load_templates(count=settings.templates)
    inputs = swaps.describe_inputs(model, pairs, templates, settings)
    is_new = not folder.holds(swaps.NAME, inputs)
    if is_new:
        tables = swaps.compute(
            model,
            pairs,
            templates,
            settings=settings,
            folder=folder.path / "units" / swaps.NAME,
        )
        folder.write_tables(swaps.NAME, tables, inputs)
    folder.write_figures(swaps.NAME, swaps.draw(folder.read_tables(swaps.NAME)))
    return is_new


def _read_divergence(folder: ResultFolder) -> Any:
    """Return the measures of the heads, if the folder has them."""
    try:
        return folder.read_tables("divergence")["heads"]
    except StoreError:
        return None
