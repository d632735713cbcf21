"""The steps behind the scripts, and the parts they keep on disk."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch

from analyses.substitution.compute import compute as substitution
from analyses.swaps.compute import compute as swaps
from kvprobes.causal_steps import substitute_step, swap_step
from kvprobes.results import ResultFolder
from analyses.shared.resumable import Units
from tests.analyses import test_substitution, test_swaps
from tests.tiny import KNOWN_WORDS, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama", n_layers=2)


def test_substitution_is_computed_once_and_drawn(model, tmp_path, monkeypatch):
    settings = dataclasses.replace(
        test_substitution.SETTINGS, head_kinds=("keys", "mean"), ordered_kinds=()
    )
    monkeypatch.setitem(substitution.PRESETS, "quick", settings)
    text = tmp_path / "text"
    text.mkdir()
    for number in range(9):
        words = [
            KNOWN_WORDS[(number * 7 + place) % len(KNOWN_WORDS)]
            for place in range(0, 120, 1 + number % 3)
        ]
        (text / f"{number}.txt").write_text(" ".join(words))
    folder = ResultFolder(tmp_path / "out")
    assert substitute_step(model, folder, text=str(text))
    assert not substitute_step(model, folder, text=str(text))
    assert (folder.path / "figures" / "substitution.summary.png").stat().st_size > 10_000
    heads = folder.read_tables("substitution")["heads"]
    assert len(heads) == 2 * 2 * 2


def test_swaps_are_computed_once_and_drawn(model, tmp_path, monkeypatch):
    monkeypatch.setitem(swaps.PRESETS, "quick", test_swaps.SETTINGS)
    monkeypatch.setattr("probes.words.load_pairs", lambda **_: test_swaps.make_pairs())
    monkeypatch.setattr("probes.words.load_templates", lambda **_: test_swaps.TEMPLATES)
    folder = ResultFolder(tmp_path)
    assert swap_step(model, folder)
    assert not swap_step(model, folder)
    assert (folder.path / "figures" / "swaps.heads.pdf").is_file()


def test_units_are_made_once_and_never_mixed(tmp_path):
    made = []

    def make():
        made.append(1)
        return pd.DataFrame({"a": [1.5, 2.5]})

    units = Units(tmp_path, {"seed": 0})
    first = units.table("part", make)
    pd.testing.assert_frame_equal(units.table("part", make), first)
    assert len(made) == 1
    Units(tmp_path, {"seed": 1}).table("part", make)
    assert len(made) == 2
    path = units.place / "part.parquet"
    path.write_bytes(path.read_bytes()[:50])
    assert units.find_table("part") is None
    units.table("part", make)
    assert len(made) == 3
    tensors = {"w": torch.arange(6.0).reshape(2, 3).T}
    units.keep_tensors("maps", tensors)
    assert torch.equal(units.find_tensors("maps")["w"], tensors["w"])
    (units.place / "maps.safetensors").write_bytes(b"broken")
    assert units.find_tensors("maps") is None


def test_units_without_a_folder_keep_nothing():
    units = Units(None, {})
    assert len(units.table("part", lambda: pd.DataFrame({"a": [1]}))) == 1
    assert units.find_table("part") is None
    units.keep_tensors("maps", {"w": torch.zeros(1)})
    assert units.find_tensors("maps") is None
