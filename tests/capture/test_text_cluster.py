"""A real Dask cluster: the same bytes as one process, and what happens when parts of it die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from probes.capture import TextSettings, capture_text
from probes.cluster import open_cluster
from probes.errors import ClusterError, NonFiniteError, StoreMismatchError, UsageError
from probes.models import load_model
from tests.capture.examples import hash_folder
from tests.capture.texts import write_texts
from tests.tiny import tiny_model

ROOT = Path(__file__).parents[2]
SETTINGS = TextSettings(window=16, rows=60, shard_bytes=400)
LONE_SCHEDULER = """
import time
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    print(cluster.scheduler_address, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save(0, folder)
    return load_model(str(folder))


def save(seed: int, folder: Path) -> None:
    model = tiny_model("llama", seed=seed)
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("text"), words=600)


@pytest.fixture(scope="module")
def alone(model, text, tmp_path_factory):
    """What one process, this one, makes of it."""
    store = capture_text(model, text, tmp_path_factory.mktemp("alone"), settings=SETTINGS)
    assert store.n_shards > 16
    return hash_folder(store.folder)


@pytest.fixture(scope="module")
def dask():
    """A cluster of two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def run(model, text, folder, scheduler, **options):
    with open_cluster(scheduler, workers=2, logs=folder.parent / "logs") as cluster:
        return capture_text(model, text, folder, settings=SETTINGS, cluster=cluster, **options)


class Runs(threading.Thread):
    """A capture beside the test; its error, if any, is kept."""

    def __init__(self, *arguments) -> None:
        super().__init__()
        self.arguments, self.error = arguments, None
        self.start()

    def run(self) -> None:
        try:
            run(*self.arguments)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error


def wait_for(folder: Path, n_markers: int) -> None:
    end = time.monotonic() + 60
    while len(list(folder.glob("shards/[0-9]*.json"))) < n_markers:
        assert time.monotonic() < end
        time.sleep(0.002)


def ask(scheduler, function):
    from distributed import Client

    with Client(scheduler) as client:
        return client.run(function)


def count_loaded() -> int:
    from probes.capture.worker import _held

    return len(_held)


def test_two_workers_make_the_same_bytes(model, text, alone, dask, tmp_path):
    run(model, text, tmp_path / "two", dask)
    assert hash_folder(tmp_path / "two") == alone
    assert list(ask(dask, count_loaded).values()) == [1, 1]


def test_a_worker_killed_in_the_middle(model, text, alone, dask, tmp_path):
    workers = ask(dask, os.getpid)
    running = Runs(model, text, tmp_path, dask)
    wait_for(tmp_path, 3)
    os.kill(next(iter(workers.values())), signal.SIGKILL)
    running.join(timeout=60)
    assert running.error is None
    assert hash_folder(tmp_path) == alone


def test_the_scheduler_lost(model, text, alone, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LONE_SCHEDULER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        scheduler = process.stdout.readline().strip()
        running = Runs(model, text, tmp_path, scheduler)
        wait_for(tmp_path, 2)
        os.kill(process.pid, signal.SIGKILL)
        running.join(timeout=60)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert isinstance(running.error, ClusterError)
    assert "the scheduler of the cluster is gone" in str(running.error)
    finished = set(tmp_path.glob("shards/[0-9]*.json"))
    assert 2 <= len(finished) < sum(name.endswith(".json") for name in alone) - 1
    times = {path: path.stat().st_mtime_ns for path in finished}
    capture_text(model, text, tmp_path, settings=SETTINGS)
    assert hash_folder(tmp_path) == alone
    assert {path: path.stat().st_mtime_ns for path in finished} == times


def test_other_weights_on_a_worker(text, dask, tmp_path):
    """The files change after the run has loaded them, before a worker does."""
    folder = tmp_path / "tiny"
    save(5, folder)
    model = load_model(str(folder))
    save(6, folder)
    with pytest.raises(StoreMismatchError, match="has other weights on this worker"):
        run(model, text, tmp_path / "out", dask)
    assert not list(tmp_path.glob("out/shards/*"))


def test_an_error_of_a_worker_is_told_as_it_is(dask, model, text, tmp_path, monkeypatch):
    monkeypatch.setattr("probes.capture.text_run.check_faithfulness", lambda *_, **__: None)
    folder = tmp_path / "nan"
    spoilt = tiny_model("llama", seed=9)
    spoilt.geometry.layers[1].value_module.weight.data[0, 0] = float("nan")
    spoilt.hf.save_pretrained(folder)
    spoilt.tokenizer.save_pretrained(folder)
    with pytest.raises(NonFiniteError, match="in layer 1: v is NaN"):
        run(load_model(str(folder), check=False), text, tmp_path / "out", dask)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_slurm_job_as_a_local_process(model, text, alone, tmp_path):
    pytest.importorskip("submitit")
    with open_cluster("slurm-local", workers=1, logs=tmp_path / "logs") as cluster:
        capture_text(model, text, tmp_path / "out", settings=SETTINGS, cluster=cluster)
    assert hash_folder(tmp_path / "out") == alone


def test_what_is_no_scheduler(tmp_path, monkeypatch):
    for scheduler, told in (("dusk", "no scheduler 'dusk'"), ("dask", "pip install")):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with (
            pytest.raises(UsageError, match=told),
            open_cluster(scheduler, workers=1, logs=tmp_path),
        ):
            pass


def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("probes.cluster._REACH", 1)
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        open_cluster("tcp://127.0.0.1:9", workers=1, logs=tmp_path),
    ):
        pass
