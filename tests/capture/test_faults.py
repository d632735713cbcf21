"""What goes wrong around a capture, of word pairs and of running text alike: nothing is lost.

Kills are in `test_kill`, lost workers and schedulers in `test_cluster`.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from probes.capture import CaptureSettings, Store, TextSettings, capture, capture_text
from probes.errors import NonFiniteError, StoreError, StoreMismatchError
from probes.locks import HOLDER, holding
from tests.capture.examples import hash_folder, make_plan
from tests.capture.texts import write_texts
from tests.tiny import tiny_model

Capture = Callable[..., Store]
MODEL = tiny_model("llama")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("probes.capture.run.SHARD_LENGTH", 6)


@pytest.fixture(params=["pairs", "text"])
def take(request, tmp_path) -> Capture:
    """Capture into a folder: five shards or so of either kind."""
    if request.param == "pairs":
        settings = CaptureSettings(query_sample=7)

        def take(folder, model=MODEL):
            return capture(model, make_plan(model), folder, settings=settings, batch_size=4)
    else:
        text = write_texts(tmp_path / "text")
        settings = TextSettings(window=16, rows=60, shard_bytes=1000)

        def take(folder, model=MODEL):
            return capture_text(model, text, folder, settings=settings, batch_size=4)

    return take


@pytest.fixture
def whole(take, tmp_path) -> dict[str, str]:
    """The hashes of an undisturbed capture."""
    return hash_folder(take(tmp_path / "whole").folder)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("name", ["00002.safetensors", "00002.json"])
@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, Path.unlink])
def test_a_damaged_shard_is_made_again_and_no_other(take, whole, tmp_path, name, damage):
    folder = tmp_path / "whole" / "shards"
    damage(folder / name)
    others = {
        path: path.stat().st_mtime_ns for path in folder.iterdir() if "00002" not in path.name
    }
    take(tmp_path / "whole")
    assert hash_folder(tmp_path / "whole") == whole
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_a_disk_that_fills_up(take, whole, tmp_path, monkeypatch):
    sync, folder = os.fsync, tmp_path / "full"

    def fill(handle):
        if (folder / "shards" / "00001.json").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(StoreError, match=r"the disk is full.*run the same command again"):
        take(folder)
    found = hash_folder(folder)
    assert found.items() < whole.items()
    assert "shards/00001.json" in found
    assert "shards/00002.safetensors" not in found
    monkeypatch.setattr(os, "fsync", sync)
    take(folder)
    assert hash_folder(folder) == whole


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """Mount a small file system, or skip the test where that is not permitted."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_really_full_disk(take, whole, tmp_path):
    files = [path for path in (tmp_path / "whole").rglob("*.*") if path.is_file()]
    needed = sum(-(-path.stat().st_size // 4096) for path in files)
    shard = -(-(tmp_path / "whole/shards/00003.safetensors").stat().st_size // 4096)
    place = tmp_path / "small"
    with mounted(place, f"size={4 * (needed - 2 * shard)}k"):
        with pytest.raises(StoreError, match="the disk is full"):
            take(place)
        found = hash_folder(place)
        assert found.items() < whole.items()
        assert "shards/00000.json" in found
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        take(place)
        assert hash_folder(place) == whole


def test_a_folder_that_cannot_be_written(take, tmp_path):
    """On a read-only file system not even root may write."""
    place = tmp_path / "read-only"
    with mounted(place, "ro"), pytest.raises(StoreError, match="Check that the folder is writable"):
        take(place)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"could not write .*Check that the folder is writable"):
        take(tmp_path / "file" / "below")


def test_other_weights_under_the_same_name(take, whole, tmp_path):
    other = tiny_model("llama", seed=1)
    object.__setattr__(other, "name", MODEL.name)
    with pytest.raises(StoreMismatchError, match="other weights"):
        take(tmp_path / "whole", other)
    assert hash_folder(tmp_path / "whole") == whole


@pytest.mark.parametrize("part", ["key", "value"])
def test_a_layer_that_turns_nan(take, whole, tmp_path, monkeypatch, part):
    """From a batch in the middle on, which the faithfulness check does not see."""
    for run in ("run", "text_run"):
        monkeypatch.setattr(f"probes.capture.{run}.check_faithfulness", lambda *_, **__: None)
    # A fault, not an edit: the model's identity does not know of it.
    monkeypatch.setattr("probes.models.identity._list_altered", lambda _: iter(()))
    calls = []

    module = getattr(MODEL.geometry.layers[1], part).module
    forward = type(module).forward

    def spoil(self, *args):
        output = forward(self, *args)
        if self is not module:
            return output
        calls.append(1)
        return output.index_fill(0, torch.tensor([0]), float("nan")) if len(calls) > 7 else output

    with monkeypatch.context() as patch:  # a hook would make it another model
        patch.setattr(type(module), "forward", spoil)
        with pytest.raises(NonFiniteError, match=r"tiny-llama-0 gives NaN .* layer 1"):
            take(tmp_path / "nan")
    found = hash_folder(tmp_path / "nan")
    assert found.items() < whole.items()
    assert "shards/00000.json" in found
    take(tmp_path / "nan")
    assert hash_folder(tmp_path / "nan") == whole


def test_a_folder_in_use_says_who_holds_it(take, whole, tmp_path):
    folder = tmp_path / "whole"
    told = rf"{re.escape(str(folder))} is in use by process {os.getpid()} on .*, since 20\d\d-"
    with holding(folder), pytest.raises(StoreError, match=told):
        take(folder)
    (folder / "shards" / "00001.json").unlink()
    take(folder)
    assert hash_folder(folder) == whole  # and the holder's name is gone


def test_a_holder_without_a_name(tmp_path):
    with holding(tmp_path):
        (tmp_path / HOLDER).unlink()
        with pytest.raises(StoreError, match="in use by another run"), holding(tmp_path):
            pass


def test_two_runs_racing(take, whole, tmp_path):
    """Both begin at once: one does the work, the other is told so, or finds all done."""
    context = multiprocessing.get_context("fork")
    results, folder = context.Queue(), tmp_path / "race"

    def race(at: float) -> None:
        torch.set_num_threads(1)
        time.sleep(max(0.0, at - time.monotonic()))
        try:
            take(folder)
            results.put("done")
        except StoreError as error:
            results.put(str(error))

    at = time.monotonic() + 0.3
    racers = [context.Process(target=race, args=(at,)) for _ in range(2)]
    for racer in racers:
        racer.start()
    ends = sorted(results.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(timeout=60)
    assert "done" in ends
    others = [end for end in ends if end != "done"]
    assert all(f"{folder} is in use by" in end for end in others)
    assert hash_folder(folder) == whole
