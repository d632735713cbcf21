"""What sharing keys and values costs a model that is trained so, and what buys it back.

``compute`` trains the models of a preset (or goes on with them) and tabulates what came out;
``draw`` draws the tables. As a script: ``python -m analyses.tying.compute --preset smoke``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.tying.section import describe
from analyses.tying.tables import (
    read_runs,
    tabulate_cells,
    tabulate_costs,
    tabulate_counts,
    tabulate_course,
    tabulate_curves,
    tabulate_learning,
    tabulate_runs,
    tabulate_scaling,
    tabulate_tieability,
)
from probes.tying.runs import FORMAT, make_task
from probes.tying.shape import ModelShape
from probes.tying.sweep import Experiment, run_sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAME", "compute", "describe", "describe_inputs", "draw"]

NAME = "tying"
COUNTED = ("scaled_parameters", "parameters")


def compute(
    experiments: Sequence[Experiment],
    *,
    folder: Path,
    workers: int = 1,
    device: str = "cpu",
) -> dict[str, pd.DataFrame]:
    """Train every model and tabulate.

    Parameters
    ----------
    experiments
        One must be called ``scaling``, with the separate model and at least three widths; one
        ``variants``.
    folder
        Where models, logs and checkpoints are kept; a run that was killed goes on from them.
    workers
        Processes, each on one core.

    Returns
    -------
    ``runs``
        One row a trained model.
    ``cells``
        Means over seeds with 95 % intervals: nats, bits a byte, accuracy.
    ``costs``
        Each variant's loss less the separate model's, seed by seed, with the test of equivalence.
    ``course``
        The same difference at every evaluation during training.
    ``learning``
        Accuracy at every evaluation during training.
    ``scaling``, ``curves``
        The fitted curve, the factor of parameters that each variant needs, and points to draw.
    ``tieability``
        Of every variant, before and after training.
    ``counts``
        Parameters, cache and operations of every variant, exactly.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the settings, the text or the folder.
    """
    finished = run_sweep(folder, experiments, workers=workers, device=device)
    runs, by_name = tabulate_runs(finished), {each.name: each for each in experiments}
    cells = tabulate_cells(runs)
    of_scaling = runs[runs["experiment"] == "scaling"]
    scaling = pd.concat(
        [tabulate_scaling(of_scaling, counted) for counted in COUNTED], ignore_index=True
    )
    log = read_runs(folder, finished, "log")
    return {
        "runs": runs,
        "cells": cells,
        "costs": tabulate_costs(runs),
        "course": tabulate_course(log),
        "learning": tabulate_learning(log),
        "scaling": scaling,
        "curves": tabulate_curves(scaling, cells[cells["experiment"] == "scaling"]),
        "tieability": tabulate_tieability(read_runs(folder, finished, "tieability")),
        "counts": tabulate_counts(_list_shapes(by_name["variants"])),
    }


def describe_inputs(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "format": FORMAT,
        "data": {each.name: make_task(each.task)[1] for each in experiments},
        "settings": {each.name: asdict(each) for each in experiments},
    }


def _list_shapes(experiment: Experiment) -> dict[str, ModelShape]:
    task, _ = make_task(experiment.task)
    return {cell.variant: cell.make_shape(task) for cell in experiment.cells()}


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the curves, the costs, the synthetic tasks and tieability, from the tables alone."""
    from analyses.tying.compute.task_figures import draw_tasks
    from analyses.tying.figures import draw_scaling, draw_tieability, draw_variants

    return {
        "scaling": draw_scaling(
            *(tables[name] for name in ("cells", "costs", "curves", "scaling"))
        ),
        "variants": draw_variants(tables["costs"], tables["course"]),
        "tasks": draw_tasks(tables["cells"], tables["learning"]),
        "tieability": draw_tieability(tables["tieability"]),
    }


if __name__ == "__main__":
    import typer

    from kvprobes.command.cli import tie

    typer.run(tie)
