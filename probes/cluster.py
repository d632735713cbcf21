"""Where work runs: here, on Dask workers, or as SLURM jobs, all behind `concurrent.futures`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from probes.errors import ClusterError, KvprobesError, UsageError

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOOK = 2.0  # seconds between looks whether the cluster is still there
_REACH = 10  # seconds in which a scheduler must answer
_JOIN = 120  # seconds in which a running scheduler must have a worker

SLURM_MEMORY, SLURM_MINUTES = 16, 24 * 60
"""GB and minutes that a SLURM job asks for; ``SBATCH_*`` variables set what else it needs."""


class InProcess(Executor):
    """Runs each call at once, in this process and thread."""

    def submit(
        self, function: Callable[..., Result], /, *args: Any, **options: Any
    ) -> Future[Result]:
        """Run the call and return its finished future; Ctrl-C is not caught."""
        future: Future[Result] = Future()
        try:
            future.set_result(function(*args, **options))
        except Exception as error:  # noqa: BLE001 - it is raised again by future.result()
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Cluster:
    """An executor, and how to use it.

    Parameters
    ----------
    in_flight
        How many calls are given out at a time.
    n_groups
        In how many calls all jobs are packed; None gives each a call of its own.
    is_alive
        Whether what the calls were given to can still be reached.
    is_here
        Whether calls run in this process, and have access to its memory.
    """

    executor: Executor
    in_flight: int = 1
    n_groups: int | None = None
    is_alive: Callable[[], bool] = lambda: True
    is_here: bool = False


IN_PROCESS = Cluster(InProcess(), is_here=True)


def map_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    cluster: Cluster = IN_PROCESS,
    *,
    on_done: Callable[[Result], None] = lambda _: None,
) -> None:
    """Run `function` on every job; `on_done` is called with each result as it comes, in any order.

    The first error ends it; calls that have not begun are given up.

    Raises
    ------
    ClusterError
        If the cluster is lost, or gives a call up.
    """
    n_groups = len(jobs) if cluster.n_groups is None else min(cluster.n_groups, len(jobs))
    groups = [list(jobs[number::n_groups]) for number in range(n_groups)]
    waiting = list(reversed(groups))
    running: set[Future[list[Result]]] = set()
    try:
        while waiting or running:
            while waiting and len(running) < cluster.in_flight:
                running.add(cluster.executor.submit(_run_group, function, waiting.pop()))
            done, running = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                for result in _take(future):
                    on_done(result)
            if not done and not cluster.is_alive():
                raise ClusterError(_LOST)
    except BaseException:
        for future in running:
            future.cancel()
        raise


def _run_group(function: Callable[[Job], Result], jobs: Sequence[Job]) -> list[Result]:
    return [function(job) for job in jobs]


_LOST = (
    "the scheduler of the cluster is gone, and with it the work it had been given. Nothing that "
    "was finished is lost: start a scheduler and run the same command again, with the same folder."
)


def _take(future: Future[Result]) -> Result:
    try:
        return future.result()
    except KvprobesError:
        raise
    except CancelledError as error:
        raise ClusterError(_LOST) from error
    except Exception as error:
        if type(error).__name__ in {"FutureCancelledError", "CommClosedError", "SchedulerLost"}:
            raise ClusterError(_LOST) from error
        if type(error).__name__ == "KilledWorker":
            raise ClusterError(
                "a part of the work killed one worker after the other, which mostly means that "
                f"their memory is too small for it: {error}. Finished parts are kept; give the "
                "workers more memory and run the same command again."
            ) from error
        raise


@contextmanager
def open_cluster(scheduler: str | None, *, workers: int, logs: Path) -> Iterator[Cluster]:
    """Give what work is to run on; what was started here ends with the block.

    Parameters
    ----------
    scheduler
        None for this process; ``dask`` for local worker processes; ``tcp://HOST:PORT`` (or tls,
        ucx) for a Dask scheduler that is running; ``slurm`` for SLURM jobs; ``slurm-local`` for the
        same as processes of this machine, to try it out.
    workers
        How many processes or jobs are started; a running scheduler has its own.
    logs
        Where SLURM jobs write.

    Raises
    ------
    UsageError
        If there is no such kind of scheduler, or the package it needs is not installed.
    ClusterError
        If a scheduler does not answer.
    """
    with ExitStack() as stack:
        if scheduler is None:
            yield IN_PROCESS
        elif scheduler == "dask" or "://" in scheduler:
            yield stack.enter_context(_open_dask(scheduler, workers))
        elif scheduler in ("slurm", "slurm-local"):
            yield stack.enter_context(_open_slurm(scheduler, workers, logs))
        else:
            raise UsageError(
                f"there is no scheduler {scheduler!r}. Give dask, the address of a Dask scheduler "
                "(tcp://HOST:PORT), or slurm."
            )


@contextmanager
def _open_dask(scheduler: str, workers: int) -> Iterator[Cluster]:
    try:
        import dask.config
        import distributed
    except ImportError as error:
        raise UsageError(_explain_missing("dask")) from error
    with ExitStack() as stack:
        package: Any = distributed
        address: Any = scheduler
        if scheduler == "dask":
            # Its profiler looks at every worker's stack a hundred times a second.
            stack.enter_context(dask.config.set({"distributed.worker.profile.enabled": False}))
            # One thread per worker: a model's hooks belong to one pass at a time.
            address = stack.enter_context(
                package.LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None
                )
            )
        try:
            if address is scheduler:
                _reach(scheduler)
            client = stack.enter_context(package.Client(address, timeout=_REACH))
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {scheduler}: {error or 'it is silent'}. Check that "
                "it runs and that this machine may reach it."
            ) from error
        try:
            client.wait_for_workers(1, timeout=_JOIN)
        except TimeoutError as error:
            raise ClusterError(
                f"the Dask scheduler at {scheduler} has had no worker for {_JOIN} seconds. Start "
                f"one (`dask worker {scheduler}`) and run the same command again."
            ) from error
        executor = client.get_executor(pure=False)

        def is_alive() -> bool:
            return client.status == "running" and not client.scheduler_comm.comm.closed()

        yield Cluster(executor, in_flight=1 << 20, is_alive=is_alive)


def _reach(scheduler: str) -> None:
    """Connect to a scheduler and let go; distributed has no limit of time for one that is silent.

    Raises
    ------
    OSError, TimeoutError, ValueError
        If it does not answer in time, or not as a scheduler does.
    """
    import distributed

    package: Any = distributed

    async def greet() -> None:
        options = package.Security().get_connection_args("client")
        comm = await package.comm.connect(scheduler, timeout=_REACH, **options)
        await comm.close()

    answer: Future[None] = Future()

    def wait_for_answer() -> None:
        try:
            answer.set_result(asyncio.run(greet()))
        except Exception as error:  # noqa: BLE001 - it is raised again by answer.result()
            answer.set_exception(error)

    Thread(target=wait_for_answer, daemon=True).start()
    answer.result(timeout=_REACH)


@contextmanager
def _open_slurm(scheduler: str, workers: int, logs: Path) -> Iterator[Cluster]:
    try:
        import submitit
    except ImportError as error:
        raise UsageError(_explain_missing("slurm")) from error
    kind = "local" if scheduler == "slurm-local" else "slurm"
    try:
        submitter = submitit.AutoExecutor(folder=logs, cluster=kind)
    except RuntimeError as error:
        raise ClusterError(f"SLURM cannot be used here: {error}.") from error
    submitter.update_parameters(timeout_min=SLURM_MINUTES, mem_gb=SLURM_MEMORY, cpus_per_task=1)
    executor = _SlurmExecutor(submitter, workers)
    try:
        yield Cluster(executor, in_flight=workers, n_groups=workers)
    finally:
        executor.shutdown(cancel_futures=True)


class _SlurmExecutor(Executor):
    """Makes futures of submitit's jobs: one thread waits for each."""

    def __init__(self, submitter: Any, workers: int) -> None:
        self._submitter = submitter
        self._threads = ThreadPoolExecutor(workers)
        self._jobs: list[Any] = []

    def submit(
        self, function: Callable[..., Result], /, *args: Any, **options: Any
    ) -> Future[Result]:
        job = self._submitter.submit(function, *args, **options)
        self._jobs.append(job)
        return self._threads.submit(_wait_for, job)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for job in self._jobs:
                if not job.done():
                    job.cancel()
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)


def _wait_for(job: Any) -> Any:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        error = job.exception()
    except UncompletedJobError as lost:
        error = lost  # some are raised, and others returned
    if isinstance(error, FailedJobError):
        raise ClusterError(f"job {job.job_id} failed: {error}")
    if isinstance(error, UncompletedJobError):
        raise ClusterError(
            f"job {job.job_id} ended without a result: {error}. Finished parts are kept; see its "
            f"log {job.paths.stderr} and run the same command again."
        ) from error
    if error is not None:
        raise error
    return job.result()


def _explain_missing(extra: str) -> str:
    return (
        f"the packages for {extra} are not installed. Install them with "
        f"`pip install 'kvprobes[{extra}]'`."
    )
