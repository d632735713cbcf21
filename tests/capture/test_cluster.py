"""A real Dask cluster: the same bytes as one process, and what happens when parts of it die.

Of word pairs and of running text alike.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from probes.capture import CaptureSettings, TextSettings, capture, capture_text
from probes.capture.plan_treebank import plan_treebank
from probes.cluster import Cluster, _wait_for, open_cluster
from probes.errors import ClusterError, NonFiniteError, StoreMismatchError, UsageError
from probes.files import ASIDE
from probes.models import load_model
from probes.words.treebank import read_treebank
from tests.capture.examples import hash_folder, make_plan
from tests.capture.texts import write_texts
from tests.tiny import tiny_model

ROOT = Path(__file__).parents[2]
LONE_SCHEDULER = """
import time
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    print(cluster.scheduler_address, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probes.capture.run.SHARD_LENGTH", 1)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save(tiny_model("llama"), folder)
    return load_model(str(folder))


def save(model, folder: Path) -> None:
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)


def take_pairs(model, folder, **options):
    settings = CaptureSettings(query_sample=7)
    return capture(model, make_plan(model), folder, settings=settings, batch_size=1, **options)


def take_text(text, model, folder, **options):
    settings = TextSettings(window=16, rows=60, shard_bytes=400)
    return capture_text(model, text, folder, settings=settings, **options)


@pytest.fixture(scope="module", params=["pairs", "text"])
def take(request, tmp_path_factory):
    """Capture into a folder: over 16 shards of either kind."""
    if request.param == "pairs":
        return take_pairs
    text = write_texts(tmp_path_factory.mktemp("text"), words=600)
    return functools.partial(take_text, text)


@pytest.fixture(scope="module")
def alone(take, model, tmp_path_factory):
    """What one process, this one, makes of it."""
    store = take(model, tmp_path_factory.mktemp("alone"))
    assert store.n_shards > 16
    return hash_folder(store.folder)


@pytest.fixture(scope="module")
def dask():
    """A cluster of two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def run(take, model, folder, scheduler):
    with open_cluster(scheduler, workers=2, logs=folder.parent / "logs") as cluster:
        return take(model, folder, cluster=cluster)


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


def count_shards(alone: dict[str, str]) -> int:
    return sum(name.endswith(".json") for name in alone) - 1  # one is the manifest


def wait_for(folder: Path, n_markers: int) -> None:
    end = time.monotonic() + 180  # a worker that starts beside other tests is slow
    while len(list(folder.glob("shards/[0-9]*.json"))) < n_markers:
        assert time.monotonic() < end
        time.sleep(0.002)


def ask(scheduler, function):
    from distributed import Client

    with Client(scheduler) as client:
        return client.run(function)


def watch_loading() -> None:
    """Count from now on how often a worker loads a model."""
    from probes.capture import worker

    load = getattr(worker.load_model, "original", worker.load_model)

    def note(*arguments, **options):
        note.count += 1
        return load(*arguments, **options)

    note.count, note.original = 0, load
    worker.load_model = note
    worker._loaded.clear()


def count_loaded() -> int:
    from probes.capture import worker

    return worker.load_model.count


def test_two_workers_make_the_same_bytes(take, model, alone, dask, tmp_path):
    ask(dask, watch_loading)
    run(take, model, tmp_path / "two", dask)
    assert hash_folder(tmp_path / "two") == alone
    assert list(ask(dask, count_loaded).values()) == [1, 1]


def test_a_treebank_on_two_workers(model, dask, tmp_path):
    words = read_treebank(ROOT / "tests/data/tiny.conllu")
    plan = plan_treebank(model.tokenizer, words, causal=model.geometry.causal)
    alone = capture(model, plan, tmp_path / "alone")
    assert alone.n_shards > 1
    with open_cluster(dask, workers=2, logs=tmp_path) as cluster:
        capture(model, plan, tmp_path / "two", cluster=cluster)
    assert hash_folder(tmp_path / "two") == hash_folder(tmp_path / "alone")


def test_a_worker_killed_in_the_middle(take, model, alone, dask, tmp_path):
    workers = ask(dask, os.getpid)
    running = Runs(take, model, tmp_path, dask)
    wait_for(tmp_path, 3)
    os.kill(next(iter(workers.values())), signal.SIGKILL)
    assert len(list(tmp_path.glob("shards/[0-9]*.json"))) < count_shards(alone)
    running.join(timeout=180)
    assert running.error is None
    assert hash_folder(tmp_path) == alone


def test_what_a_killed_worker_left_is_removed(take, model, alone, tmp_path, monkeypatch):
    from probes.capture import shards

    def make_and_leave(job, make=shards.make_shard, **options):
        size = make(job, **options)
        (job.folder / "shards" / f".{job.shard:05d}.safetensors{ASIDE}abc.safetensors").touch()
        (job.folder / "shards" / ".tmpAb3xyz").touch()
        return size

    monkeypatch.setattr(shards, "make_shard", make_and_leave)
    take(model, tmp_path)
    assert hash_folder(tmp_path) == alone


def test_the_scheduler_lost(take, model, alone, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LONE_SCHEDULER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        scheduler = process.stdout.readline().strip()
        running = Runs(take, model, tmp_path, scheduler)
        wait_for(tmp_path, 2)
        os.kill(process.pid, signal.SIGKILL)
        running.join(timeout=180)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert isinstance(running.error, ClusterError)
    assert "the scheduler of the cluster is gone" in str(running.error)
    finished = set(tmp_path.glob("shards/[0-9]*.json"))
    assert 2 <= len(finished) < count_shards(alone)
    times = {path: path.stat().st_mtime_ns for path in finished}
    take(model, tmp_path)
    assert hash_folder(tmp_path) == alone
    assert {path: path.stat().st_mtime_ns for path in finished} == times


def change_weights(folder: Path) -> None:
    save(tiny_model("llama", seed=6), folder)


def change_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_weights, "has other weights on this worker"),
        (change_config, "has other settings in its config on this worker"),
    ],
)
def test_another_model_on_a_worker(take, dask, tmp_path, change, told):
    """The files change after the run has loaded them, before a worker does."""
    folder = tmp_path / "tiny"
    save(tiny_model("llama", seed=5), folder)
    model = load_model(str(folder))
    change(folder)
    with pytest.raises(StoreMismatchError, match=told):
        run(take, model, tmp_path / "out", dask)
    assert not list(tmp_path.glob("out/shards/*"))


def test_a_model_that_workers_cannot_load(take, dask, tmp_path):
    told = r"'tiny-llama-0' was built in memory, .* Save it \(model\.hf\.save_pretrained"
    with pytest.raises(UsageError, match=told):
        run(take, tiny_model("llama"), tmp_path / "out", dask)
    assert not (tmp_path / "out").exists()


def test_threads_of_one_process_take_turns(take, alone, tmp_path):
    """A model's hooks hear every pass, whoever runs it."""
    with ThreadPoolExecutor(3) as threads:
        take(tiny_model("llama"), tmp_path, cluster=Cluster(threads, in_flight=3, is_here=True))
    found = hash_folder(tmp_path)
    shards = [name for name in alone if name.endswith(".safetensors")]
    assert {name: found[name] for name in shards} == {name: alone[name] for name in shards}


def test_an_error_of_a_worker_is_told_as_it_is(take, dask, tmp_path, monkeypatch):
    for module in ("run", "text_run"):
        monkeypatch.setattr(f"probes.capture.{module}.check_faithfulness", lambda *_, **__: None)
    folder = tmp_path / "overflow"
    spoilt = tiny_model("llama", seed=9)
    spoilt.geometry.layers[1].value.module.weight.data[0] = 3e38
    save(spoilt, folder)
    with pytest.raises(NonFiniteError, match=r"in layer 1: v is NaN|: v of layer 1 \(row 0 of"):
        run(take, load_model(str(folder), check=False), tmp_path / "out", dask)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_slurm_job_as_a_local_process(take, model, alone, tmp_path):
    pytest.importorskip("submitit")
    with open_cluster("slurm-local", workers=1, logs=tmp_path / "logs") as cluster:
        take(model, tmp_path / "out", cluster=cluster)
    assert hash_folder(tmp_path / "out") == alone


@pytest.mark.parametrize("raised", [False, True])
def test_a_killed_slurm_job(raised):
    """Of which submitit returns the error, and raises none."""
    from submitit.core.utils import UncompletedJobError

    def end():
        if raised:
            raise UncompletedJobError("no output")
        return UncompletedJobError("no output")

    job = SimpleNamespace(job_id="7", exception=end, paths=SimpleNamespace(stderr="7.err"))
    with pytest.raises(ClusterError, match=r"job 7 ended without a result: no output.*7\.err"):
        _wait_for(job)


def test_what_is_no_scheduler(tmp_path, monkeypatch):
    for scheduler, told in (("dusk", "no scheduler 'dusk'"), ("dask", "pip install")):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with (
            pytest.raises(UsageError, match=told),
            open_cluster(scheduler, workers=1, logs=tmp_path),
        ):
            pass


@pytest.mark.parametrize("kind", ["silent", "http"])
def test_what_answers_as_no_scheduler_does(kind, tmp_path, monkeypatch):
    """It would be waited for without end."""
    monkeypatch.setattr("probes.cluster._REACH", 1)
    monkeypatch.setattr(BaseHTTPRequestHandler, "timeout", 2)  # or it would wait itself
    began = time.monotonic()
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        if kind == "http":
            threading.Thread(target=server.serve_forever, daemon=True).start()
        with (
            pytest.raises(ClusterError, match="no Dask scheduler answers"),
            open_cluster(f"tcp://127.0.0.1:{server.server_port}", workers=1, logs=tmp_path),
        ):
            pass
        if kind == "http":
            server.shutdown()
    assert time.monotonic() - began < 30


def test_a_scheduler_without_workers(tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("probes.cluster._JOIN", 0.1)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0", protocol="tcp") as dask,
        pytest.raises(ClusterError, match=r"has had no worker for 0\.1 seconds"),
        open_cluster(dask.scheduler_address, workers=1, logs=tmp_path),
    ):
        pass


def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("probes.cluster._REACH", 1)
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        open_cluster("tcp://127.0.0.1:9", workers=1, logs=tmp_path),
    ):
        pass
