"""The command lines of the two analyses that need the model at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from analyses import substitution, swaps
from analyses.cli import Device, Model, Out, Seed, explaining_errors
from analyses.results import ResultFolder
from analyses.workflow import CaptureOptions
from probes.errors import StoreError
from probes.models.bundled import DEFAULT_MODEL

Preset = Annotated[str, typer.Option(help="quick (minutes) or full (an hour or more on 2 cores).")]


def substitute_step(
    model: Any,
    folder: ResultFolder,
    *,
    text: str = "text",
    preset: str = "quick",
    seed: int = 0,
) -> bool:
    """Compute and draw `analyses.substitution` into a folder, unless it is there.

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
    """Compute and draw `analyses.swaps` into a folder, unless it is there.

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


def run_substitution() -> None:
    """Be the command line of ``python -m analyses.substitution``."""

    def script(
        model: Model = DEFAULT_MODEL,
        preset: Preset = "quick",
        text: Annotated[str, typer.Option(help="text, a .txt file, or a folder of them.")] = "text",
        out: Out = None,
        seed: Seed = 0,
        device: Device = "cpu",
    ) -> None:
        """Replace values by maps of keys, and measure the rise of the loss."""
        from probes.models.load import load_model

        folder = CaptureOptions(model, out=out).folder
        with explaining_errors():
            loaded = load_model(model, device=device)
            substitute_step(loaded, folder, text=text, preset=preset, seed=seed)
            _show(folder, substitution.NAME)

    typer.run(script)


def run_swaps() -> None:
    """Be the command line of ``python -m analyses.swaps``."""

    def script(
        model: Model = DEFAULT_MODEL,
        preset: Preset = "quick",
        out: Out = None,
        seed: Seed = 0,
        device: Device = "cpu",
    ) -> None:
        """Swap keys and values between the words of minimal pairs."""
        from probes.models.load import load_model

        folder = CaptureOptions(model, out=out).folder
        with explaining_errors():
            swap_step(load_model(model, device=device), folder, preset=preset, seed=seed)
            _show(folder, swaps.NAME)

    typer.run(script)


def _show(folder: ResultFolder, name: str) -> None:
    table = folder.read_tables(name)["summary"]
    typer.echo(table.drop(columns="model").to_string(index=False, float_format="%.4f"))
    for file in sorted(Path(folder.path).glob(f"*/{name}.*")):
        typer.echo(file)


__all__ = ["run_substitution", "run_swaps", "substitute_step", "swap_step"]
