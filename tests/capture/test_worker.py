"""How a worker asks for a model, and has it once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from probes.capture import shards, worker
from probes.capture.begin import Pace
from probes.capture.shards import ShardJob, make_shard
from probes.capture.worker import load_referred, refer_to
from probes.cluster import IN_PROCESS, Cluster, InProcess
from probes.errors import UsageError
from tests.tiny import tiny_model

MODEL = tiny_model("llama")
ELSEWHERE = Cluster(InProcess())


@pytest.fixture
def asked(monkeypatch):
    """What is loaded by name, which gives `MODEL` whatever is asked for."""
    calls = []

    def load_model(*arguments, **options):
        calls.append((*arguments, options))
        return MODEL

    monkeypatch.setattr(worker, "load_model", load_model)
    monkeypatch.setattr(worker, "_loaded", {})
    return calls


@pytest.mark.parametrize(
    ("origin", "name", "revision"),
    [
        ({"source": "folder", "path": "/models/mine"}, "/models/mine", None),
        ({"source": "hub", "revision": "0ff1ce"}, "mine", "0ff1ce"),
        ({"source": "PyPI", "version": "0.1.2"}, "mine", None),
    ],
)
def test_a_worker_loads_what_the_run_has(asked, tmp_path, monkeypatch, origin, name, revision):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()  # not the model: a bundled one and one on the hub come first
    config = {"config_hash": MODEL.origin["config_hash"]}
    model = dataclasses.replace(MODEL, name="mine", origin=config | origin)
    reference = refer_to(model, ELSEWHERE)
    for _ in range(2):
        assert load_referred(reference) is MODEL
    options = {"revision": revision, "device": "cpu", "dtype": torch.float32, "check": False}
    assert asked == [(name, options)]


def test_the_model_at_hand_is_used_and_none_is_loaded(asked, monkeypatch):
    """Not one that is equal to it: the very object."""
    written = {}
    store = SimpleNamespace(write_shard=written.__setitem__)
    monkeypatch.setattr(shards, "open_store", lambda _: store)
    job = Job(folder=Path(), shard=3, pace=Pace(1, 1), model=refer_to(MODEL, IN_PROCESS))
    other = tiny_model("llama", seed=1)
    assert make_shard(job, model=other) == 1
    assert written == {3: {"model": other}}
    assert not asked
    make_shard(job)
    assert written == {3: {"model": MODEL}}
    assert len(asked) == 1


def test_a_model_in_memory_cannot_be_loaded_elsewhere():
    with pytest.raises(UsageError, match="'tiny-llama-0' was built in memory"):
        refer_to(MODEL, ELSEWHERE)


class Job(ShardJob):
    """A shard of nothing: it tells which model it was given."""

    size = 1

    def read(self, model, advance):
        return {"model": model}
