"""The step behind ``kvprobes tie``: train, tabulate, draw; or draw what is shipped, at once."""

from __future__ import annotations

from pathlib import Path

from analyses.tying.compute.presets import choose_experiments

from analyses.tying.compute import compute as tying
from kvprobes.results import ResultFolder
from probes.words.tables import data_folder


def shipped_folder() -> ResultFolder:
    """Return where the tables of the laptop preset stand, as they were measured for the docs."""
    return ResultFolder(data_folder() / "reference" / "tying")


def tie_step(
    folder: ResultFolder,
    preset: str = "laptop",
    *,
    text: str | None = None,
    tokens: str | None = None,
    workers: int = 1,
    device: str = "cpu",
) -> bool:
    """Train a preset's models, tabulate and draw, unless the tables are there.

    Models, logs and checkpoints go to ``runs/`` in the folder; a killed run goes on from there.

    Parameters
    ----------
    text
        Instead of the shipped text: a .txt file, or a folder of them.
    tokens
        ``bytes``, or a model whose tokenizer is used.

    Returns
    -------
    Whether anything had to be computed.
    """
    experiments = choose_experiments(preset, text=text, tokens=tokens)
    inputs = tying.describe_inputs(experiments)
    is_new = not folder.holds(tying.NAME, inputs)
    if is_new:
        tables = tying.compute(
            experiments, folder=folder.path / "runs", workers=workers, device=device
        )
        folder.write_tables(tying.NAME, tables, inputs)
    folder.write_figures(tying.NAME, tying.draw(folder.read_tables(tying.NAME)))
    return is_new


def draw_shipped(folder: ResultFolder) -> None:
    """Copy the shipped tables into a folder and draw them; nothing is trained.

    Raises
    ------
    StoreError
        If the tables are not there or cannot be read.
    """
    shipped = shipped_folder()
    manifest, tables = shipped.read_manifest(tying.NAME), shipped.read_tables(tying.NAME)
    folder.write_tables(
        tying.NAME, tables, {**manifest["inputs"], "copied": "data/reference/tying"}
    )
    folder.write_figures(tying.NAME, tying.draw(tables))


def choose_folder(out: Path | None, preset: str, *, shipped: bool) -> ResultFolder:
    """Return where the results go: `out`, or ``results/tie-PRESET``."""
    name = "shipped" if shipped else preset
    return ResultFolder(out or Path("results") / f"tie-{name}")
