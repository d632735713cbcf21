"""Many runs: a learning rate is chosen for every cell, then all seeds are trained at it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from probes.errors import ClusterError, UsageError
from probes.parallel import one_core_operations
from probes.progress import progress_bar
from probes.tying.counts import count_scaled_parameters
from probes.tying.runs import RunSettings, TaskSettings, make_task, run_once
from probes.tying.shape import Positions
from probes.tying.training import TrainingSettings


@dataclass(frozen=True)
class Experiment:
    """Cells that are compared: every variant at every width, position and head size.

    Attributes
    ----------
    name
        What the tables call it.
    training
        Of all its runs; the learning rate and the seed are replaced.
    rates
        The grid from which every cell's learning rate is chosen, by the validation part of the
        first seed's runs.
    seeds
        How many, from 0.
    """

    name: str
    task: TaskSettings
    variants: tuple[str, ...]
    widths: tuple[int, ...]
    training: TrainingSettings
    rates: tuple[float, ...]
    seeds: int
    positions: tuple[Positions, ...] = ("rotary",)
    d_heads: tuple[int, ...] = (16,)
    n_layers: int = 2
    n_encoder_layers: int = 0

    def __post_init__(self) -> None:
        if not (self.variants and self.widths and self.rates and self.seeds >= 1):
            raise UsageError(
                f"The experiment {self.name!r} has {len(self.variants)} variants, "
                f"{len(self.widths)} widths, {len(self.rates)} learning rates and {self.seeds} "
                "seeds; give at least one of each."
            )

    def cells(self) -> Iterator[RunSettings]:
        """Yield every cell, as a run whose learning rate and seed are still to be set."""
        for width, d_head, positions, variant in product(
            self.widths, self.d_heads, self.positions, self.variants
        ):
            yield RunSettings(
                task=self.task,
                variant=variant,
                positions=positions,
                d_model=width,
                n_layers=self.n_layers,
                d_head=d_head,
                training=replace(self.training, learning_rate=self.rates[0], seed=0),
                n_encoder_layers=self.n_encoder_layers,
            )


@dataclass(frozen=True)
class Finished:
    """A finished run of an experiment; `chosen` if its learning rate is that of its cell."""

    experiment: str
    chosen: bool
    settings: RunSettings
    manifest: dict[str, Any]


def run_sweep(
    root: Path, experiments: Sequence[Experiment], *, workers: int = 1, device: str = "cpu"
) -> list[Finished]:
    """Train every run of the experiments; an interrupted sweep resumes.

    A run that two experiments share is trained once. First every cell's grid is trained with seed
    0, then the other seeds at the rate chosen, seed by seed, so that a sweep that is stopped early
    has whole seeds.

    Parameters
    ----------
    root
        Where the runs' folders are.
    workers
        Processes, each on one core; with one, everything happens in this process.

    Returns
    -------
    list of Finished
        In the order of the experiments, their cells, rates and seeds.
    """
    grids = [
        cell.with_training(learning_rate=rate)
        for experiment in experiments
        for cell in experiment.cells()
        for rate in experiment.rates
    ]
    with _open_pool(workers) as pool:
        options: dict[str, Any] = {"pool": pool, "device": device}
        done = _train_all(root, grids, title="Learning rates", **options)
        chosen = {
            (experiment.name, cell): choose_rate(
                {
                    rate: done[cell.with_training(learning_rate=rate)]["validation"]["nats"]
                    for rate in experiment.rates
                }
            )
            for experiment in experiments
            for cell in experiment.cells()
        }
        rest = [
            cell.with_training(learning_rate=chosen[experiment.name, cell], seed=seed)
            for seed in range(1, max(experiment.seeds for experiment in experiments))
            for experiment in experiments
            if seed < experiment.seeds
            for cell in experiment.cells()
        ]
        done |= _train_all(root, rest, title="Seeds", **options)
    return [
        Finished(experiment.name, rate == chosen[experiment.name, cell], run, done[run])
        for experiment in experiments
        for cell in experiment.cells()
        for rate in experiment.rates
        for seed in range(experiment.seeds)
        if (run := cell.with_training(learning_rate=rate, seed=seed)) in done
        and (seed == 0 or rate == chosen[experiment.name, cell])
    ]


def choose_rate(nats: dict[float, float]) -> float:
    """Return the learning rate with the lowest validation loss; of equal ones, the lower rate."""
    return min(sorted(nats), key=lambda rate: nats[rate])


def estimate_work(settings: RunSettings) -> int:
    """Return parameters times sequences times positions: what a run's time grows with."""
    task, _ = make_task(settings.task)
    training = settings.training
    parameters = count_scaled_parameters(settings.make_shape(task))
    return parameters * training.steps * training.batch_size * task.length


def _train_all(
    root: Path, runs: Sequence[RunSettings], *, pool: Executor | None, device: str, title: str
) -> dict[RunSettings, dict[str, Any]]:
    """Train runs, each once, here or in a pool; returns their manifests."""
    wanted = list(dict.fromkeys(runs))
    found: dict[RunSettings, dict[str, Any]] = {}
    with progress_bar(title, total=sum(map(estimate_work, wanted))) as advance:
        if pool is None:
            for run in wanted:
                each = estimate_work(run) // run.training.steps

                def count(steps: int, each: int = each) -> None:
                    advance(steps * each)

                found[run] = run_once(root, run, device=device, on_step=count)
            return found
        waiting = {pool.submit(run_once, root, run, device=device): run for run in wanted}
        for future in as_completed(waiting):
            try:
                found[waiting[future]] = future.result()
            except BrokenProcessPool as error:
                raise ClusterError(
                    "a process that trained was killed, which mostly means that there was not "
                    "enough memory. Finished runs and checkpoints are kept: run the same command "
                    "again, with fewer --workers."
                ) from error
            advance(estimate_work(waiting[future]))
    return found


@contextmanager
def _open_pool(workers: int) -> Iterator[Executor | None]:
    """Yield processes that compute on one core each, or None: this process will do, on one core."""
    if workers == 1:
        with one_core_operations():
            yield None
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(1,),
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # on an error or Ctrl-C, start no further run
