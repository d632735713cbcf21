"""Shards of a capture as a map: one job per shard, made by any process that can load the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

from torch import Tensor

from probes.capture.begin import Pace
from probes.capture.store import open_store
from probes.capture.worker import ModelReference, load_referred
from probes.cluster import Cluster, map_jobs
from probes.files import sweep
from probes.models.model import Model
from probes.parallel import cores_an_operation
from probes.progress import progress_bar

Advance = Callable[[int], None]

_in_use = Lock()
"""A model's hooks hear every pass, so the threads of a process make one shard after the other."""


@dataclass(frozen=True, kw_only=True)
class ShardJob(ABC):
    """One shard, as a worker is given it: small to send, and all that the shard follows from."""

    folder: Path
    shard: int
    pace: Pace
    model: ModelReference

    @property
    @abstractmethod
    def size(self) -> int:
        """How much work it is, in the units of the progress bar."""

    @abstractmethod
    def read(self, model: Model, advance: Advance) -> dict[str, Tensor]:
        """Run the model and return the shard's tensors; `advance` gets what is done."""


def make_shards(model: Model, jobs: Sequence[ShardJob], cluster: Cluster, *, unit: str) -> None:
    """Make the shards of one folder, with a progress bar, wherever the cluster has its workers.

    In this process the bar moves with every batch; elsewhere, when a worker reports a finished
    shard. What workers left that were killed while they wrote is removed at the end.

    Parameters
    ----------
    model
        That of the jobs' references (`probes.capture.worker.refer_to`).
    jobs
        At least one, all of the same folder.
    unit
        What the jobs' sizes count.

    Raises
    ------
    ClusterError
        If the cluster is lost.
    KvprobesError
        Whatever a job raises; finished shards are kept.
    """
    total = sum(job.size for job in jobs)
    with progress_bar("Capturing", total=total, unit=unit) as advance:
        if cluster.is_here:
            map_jobs(partial(make_shard, model=model, advance=advance), jobs, cluster)
        else:
            map_jobs(make_shard, jobs, cluster, on_done=advance)
    sweep(jobs[0].folder)


def make_shard(
    job: ShardJob, *, model: Model | None = None, advance: Advance = lambda _: None
) -> int:
    """Make one shard and write it; returns its size.

    Parameters
    ----------
    model
        The job's model where it is available; a worker loads it by its reference.
    """
    with _in_use, cores_an_operation(job.pace.threads):
        tensors = job.read(model or load_referred(job.model), advance)
        open_store(job.folder).write_shard(job.shard, tensors)
    return job.size
