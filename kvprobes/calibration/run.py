"""The calibration itself: every cell and seed, finished ones from disk, then the tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.resumable import FinishedParts
from kvprobes.calibration.cells import CELLS, QUICK
from kvprobes.calibration.running import DOSES, PlantedRuns, list_jobs
from kvprobes.calibration.small import HEADS, run_small
from kvprobes.calibration.tables import tabulate
from kvprobes.results import ResultFolder, identify_versions
from kvprobes.session import Say
from probes.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "calibration"
SHIPPED = "reference/calibration"
"""Where the shipped tables are in the folder of shipped data."""

FIGURE = "found", "png"
"""The figure that is named at the end, and its format."""


@dataclass(frozen=True)
class CalibrationOptions:
    """How much is run.

    Attributes
    ----------
    seeds
        Of every cell of small models.
    model
        The model in which heads are planted while it runs; None leaves that out.
    model_seeds
        Of the plants in that model.
    rows
        Of the table of pairs, of which that model's coordinations are made.
    cells
        Names of the small models' cells.
    heads
        Head words of each small model's pairs.
    """

    seeds: int = 20
    model: str | None = None
    model_seeds: int = 3
    rows: int = 300
    cells: tuple[str, ...] = tuple(cell.name for cell in CELLS)
    heads: int = HEADS

    def quick(self) -> CalibrationOptions:
        """Return the options of a few minutes: four cells."""
        return replace(self, model_seeds=1, cells=QUICK)


def calibrate(folder: ResultFolder, options: CalibrationOptions, *, say: Say) -> Path:
    """Run what is not finished yet, and write tables, manifest and figures.

    Returns
    -------
    Path
        Of the figure.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model or the folder.
    """
    with folder.holding(NAME):
        runs = _run_small(folder, options, say)
        if options.model is not None:
            runs += _run_model(folder, options, options.model, say)
        tables = tabulate(pd.concat(runs, ignore_index=True))
        folder.write_tables(NAME, tables, {"settings": asdict(options)})
        folder.write_figures(NAME, draw_tables(tables))
    return folder.figure_path(NAME, *FIGURE)


def copy_shipped(folder: ResultFolder) -> Path:
    """Copy the shipped tables into a folder and draw them; nothing is run.

    Raises
    ------
    StoreError
        If the tables are not there or cannot be read.
    """
    folder.copy_shipped(NAME, SHIPPED, draw_tables)
    return folder.figure_path(NAME, *FIGURE)


def draw_tables(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the tables of a calibration."""
    from kvprobes.calibration.figures import draw

    return {FIGURE[0]: draw(tables)}


def _run_small(folder: ResultFolder, options: CalibrationOptions, say: Say) -> list[pd.DataFrame]:
    cells = [cell for cell in CELLS if cell.name in options.cells]
    say(f"{len(cells)} kinds of small models, {options.seeds} seeds of each")
    found = []
    total = len(cells) * options.seeds
    with progress_bar("Small models", total=total, unit="models") as advance:
        for seed in range(options.seeds):  # by seeds, so that whatever is there is of all cells
            for cell in cells:
                parts = _parts(folder, {"planting": asdict(cell.planting), "text": cell.text})
                table = parts.table(
                    f"{seed:03d}-{options.heads}",
                    lambda cell=cell, seed=seed: run_small(cell, seed, heads=options.heads),  # type: ignore[misc]
                )
                found.append(table.assign(model="small", cell=cell.name, seed=seed))
                advance(1)
    return found


def _run_model(
    folder: ResultFolder, options: CalibrationOptions, model: str, say: Say
) -> list[pd.DataFrame]:
    say(f"Plants in {model}, while it runs: {', '.join(map(str, DOSES))} kv heads")
    parts = _parts(folder, {"model": model, "rows": options.rows})
    place = folder.path / "plain"
    runs: list[PlantedRuns] = []

    def run(dose: int, seed: int) -> pd.DataFrame:
        if not runs:  # the model is loaded and captured only if something is left to do
            runs.append(PlantedRuns(model, place, rows=options.rows))
        return runs[0].run(dose, seed)

    jobs = list_jobs(options.model_seeds)
    found = []
    with progress_bar("Planted runs", total=len(jobs), unit="runs") as advance:
        for dose, seed in jobs:
            name = f"{dose:03d}-{seed:03d}"
            table = parts.table(name, lambda dose=dose, seed=seed: run(dose, seed))  # type: ignore[misc]
            found.append(table.assign(model=model, cell=f"{dose} kv heads", seed=seed))
            advance(1)
    return found


def _parts(folder: ResultFolder, identity: dict[str, object]) -> FinishedParts:
    return FinishedParts(folder.parts_path(NAME), identity | {"versions": identify_versions()})
