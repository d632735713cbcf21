"""Finished parts: made once, never mixed, made again where they are damaged."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch

from analyses.shared.given import Given
from analyses.shared.resumable import FinishedParts
from probes.parallel import cores_an_operation


def test_tables_are_made_once_and_never_mixed(tmp_path):
    made = []

    def make():
        made.append(1)
        return pd.DataFrame({"a": [1.5, 2.5]})

    parts = FinishedParts(tmp_path, {"seed": 0})
    first = parts.table("part", make)
    pd.testing.assert_frame_equal(parts.table("part", make), first)
    assert len(made) == 1
    FinishedParts(tmp_path, {"seed": 1}).table("part", make)
    assert len(made) == 2
    path = parts.place / "part.parquet"
    path.write_bytes(path.read_bytes()[:50])
    assert parts.find_table("part") is None
    parts.table("part", make)
    assert len(made) == 3


def test_tensors_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"w": torch.arange(6.0).reshape(2, 3).T}

    parts = FinishedParts(tmp_path, {})
    for _ in range(2):
        assert torch.equal(parts.tensors("maps", make)["w"], make()["w"])
        made.pop()
    assert len(made) == 1
    (parts.place / "maps.safetensors").write_bytes(b"broken")
    parts.tensors("maps", make)
    assert len(made) == 2


def test_without_a_folder_nothing_is_kept():
    parts = FinishedParts(None, {})
    assert len(parts.table("part", lambda: pd.DataFrame({"a": [1]}))) == 1
    assert parts.find_table("part") is None
    assert torch.equal(parts.tensors("maps", lambda: {"w": torch.ones(1)})["w"], torch.ones(1))


def test_parts_follow_from_what_is_given_and_the_settings(tmp_path):
    @dataclass(frozen=True)
    class Settings:
        seed: int = 0
        resamples: int = 10

    def place(settings, **given):
        given = Given(parts=tmp_path, **given)
        return FinishedParts.of(given, settings, leaving_out=("resamples",)).place

    own = place(Settings())
    assert own.parent == tmp_path
    assert place(Settings(resamples=20)) == own
    assert place(Settings(), heads=pd.DataFrame({"a": [1]})) == own
    assert place(Settings(seed=1)) != own
    with cores_an_operation(2):
        assert place(Settings()) != own
