"""How a worker asks for a model, and has it once."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from probes.capture import worker
from probes.capture.worker import borrowing, lending, refer_to
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
        with borrowing(reference) as borrowed:
            assert borrowed is MODEL
    options = {"revision": revision, "device": "cpu", "dtype": torch.float32, "check": False}
    assert asked == [(name, options)]


def test_a_model_in_memory_is_lent_and_given_back(asked):
    reference = refer_to(MODEL, IN_PROCESS)
    with lending(MODEL), lending(tiny_model("llama", seed=1)):
        with borrowing(reference) as borrowed:
            assert borrowed is MODEL
        assert not asked
    assert not worker._lent
    with pytest.raises(UsageError, match="'tiny-llama-0' was built in memory"):
        refer_to(MODEL, ELSEWHERE)
