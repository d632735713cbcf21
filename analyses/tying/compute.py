"""Train the models of the experiments, or go on with them, and tabulate what came out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.given import Given
from analyses.tying.presets import choose_experiments
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
    from analyses.tying import TyingSettings

COUNTED = ("scaled_parameters", "parameters")


def compute(given: Given, settings: TyingSettings) -> dict[str, pd.DataFrame]:
    """Train every model and tabulate.

    Parameters
    ----------
    given
        Text to train on. Models, logs and checkpoints are kept among the finished parts, and a run
        that was killed resumes from them. Every worker is a process on one core.

    Returns
    -------
    ``runs``
        One row per trained model.
    ``cells``
        Means over seeds with 95 % intervals: nats, bits per byte, accuracy.
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
        If anything is wrong with the settings, the text or the folder.
    """
    experiments = choose_experiments(settings, source=given.corpus.source)
    with _open_runs(given.parts) as folder:
        finished = run_sweep(folder, experiments, workers=given.workers, device=given.device)
        log, tieability = (read_runs(folder, finished, name) for name in ("log", "tieability"))
    runs, by_name = tabulate_runs(finished), {each.name: each for each in experiments}
    cells = tabulate_cells(runs)
    of_scaling = runs[runs["experiment"] == "scaling"]
    scaling = pd.concat(
        [tabulate_scaling(of_scaling, counted) for counted in COUNTED], ignore_index=True
    )
    return {
        "runs": runs,
        "cells": cells,
        "costs": tabulate_costs(runs),
        "course": tabulate_course(log),
        "learning": tabulate_learning(log),
        "scaling": scaling,
        "curves": tabulate_curves(scaling, cells[cells["experiment"] == "scaling"]),
        "tieability": tabulate_tieability(tieability),
        "counts": tabulate_counts(_list_shapes(by_name["variants"])),
    }


def identify(given: Given, settings: TyingSettings) -> dict[str, Any]:
    """Name what every model follows from, except for the text."""
    experiments = choose_experiments(settings, source=given.corpus.source)
    return {"runs": FORMAT, "experiments": {each.name: asdict(each) for each in experiments}}


@contextmanager
def _open_runs(parts: Path | None) -> Iterator[Path]:
    """Yield the folder of the models: `parts`, that of an earlier version, or a temporary one."""
    if parts is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
        return
    earlier = parts.parents[1] / "runs"  # where kvprobes kept them before it had parts/
    yield earlier if earlier.is_dir() else parts


def _list_shapes(experiment: Experiment) -> dict[str, ModelShape]:
    task, _ = make_task(experiment.task)
    return {cell.variant: cell.make_shape(task) for cell in experiment.cells()}
