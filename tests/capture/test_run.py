"""A capture from end to end: the same bytes however it is interrupted, and refusals."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess

import numpy as np
import pytest
import torch

from probes.capture import (
    CaptureSettings,
    Store,
    TextSettings,
    capture,
    capture_text,
    open_store,
)
from probes.capture.pair_shard import PairJob
from probes.capture.text_shard import TextJob
from probes.errors import (
    FaithfulnessError,
    NonFiniteError,
    StoreError,
    StoreMismatchError,
    UsageError,
)
from probes.parallel import cores_an_operation
from probes.sealed import find_marker, mark
from tests.capture.examples import hash_folder, make_plan, read_all
from tests.capture.texts import write_texts
from tests.tiny import tiny_model

BF16 = 2**-8
SETTINGS = CaptureSettings(query_sample=7)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("probes.capture.run.SHARD_LENGTH", 6)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def plan(model):
    return make_plan(model)


@pytest.fixture
def finished(model, plan, tmp_path) -> Store:
    return capture(model, plan, tmp_path / "first", settings=SETTINGS, batch_size=4)


def again(model, plan, store, **options):
    options = {"settings": SETTINGS, "batch_size": 4, **options}
    return capture(model, plan, store.folder, **options)


def watch(monkeypatch) -> list[int]:
    """Note which shards are written."""
    written, write = [], Store.write_shard

    def note(store, shard, tensors):
        written.append(shard)
        write(store, shard, tensors)

    monkeypatch.setattr(Store, "write_shard", note)
    return written


def test_the_store_holds_what_was_read(model, plan, finished):
    store = open_store(finished.folder)
    assert store.n_shards == 5
    assert store.missing_shards() == []
    drawn = np.random.default_rng(SETTINGS.seed).choice(len(plan.queries), 7, replace=False)
    sampled = frozenset(drawn.tolist())
    read = read_all(model, plan, key_stage="normed", sampled=sampled)
    for layer in range(2):
        for name in ("k", "v", "x", "x_query"):
            found = store.read(name, layer)
            assert found.dtype == torch.float32
            expected = read[name][:, layer]  # means are kept apart: an error is one of the spread
            spread = (expected - expected.mean(0)).abs().max()
            torch.testing.assert_close(found, expected, rtol=0, atol=float(BF16 * spread))
        torch.testing.assert_close(store.read("attention", layer), read["attention"][:, layer])
    moment = torch.stack([store.read_sum(f"query_moment.{layer}") for layer in range(2)])
    torch.testing.assert_close(moment, read["query_moment"], atol=1e-4, rtol=1e-4)
    assert moment.dtype == torch.float64
    assert store.read_sum("query_count").tolist() == [len(plan.queries)]
    metric = store.read_constants()["value_metric.1"]
    assert torch.equal(metric, model.geometry.value_metric(1))
    for name in ("occurrences", "queries", "losses", "pairs", "templates"):
        found, expected = store.table(name), getattr(plan, name)
        assert found.columns.tolist() == expected.columns.tolist()
        assert found.to_json(orient="values") == expected.to_json(orient="values")


def test_the_manifest_says_what_was_done(model, finished):
    manifest = json.loads((finished.folder / "manifest.json").read_text("utf-8"))
    identity = manifest["identity"]
    assert identity["weights"] == model.weights_hash
    assert identity["config"] == model.origin["config_hash"]
    assert (identity["key_stage"], identity["dtype"]) == ("normed", "bfloat16")
    assert manifest["model"] == "tiny-llama-0"
    assert manifest["geometry"]["n_kv_heads"] == 2
    assert manifest["versions"].keys() == {"kvprobes", "torch", "transformers"}


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_same_inputs_same_bytes(architecture, tmp_path):
    hashes = []
    for name in ("one", "two"):
        model = tiny_model(architecture)
        capture(model, make_plan(model), tmp_path / name, settings=SETTINGS, batch_size=4)
        hashes.append(hash_folder(tmp_path / name))
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 8 + 2 * 5  # with the lock


def test_float32_keeps_every_digit(model, plan, tmp_path):
    settings = CaptureSettings(dtype="float32", key_stage="rotated", query_sample=0)
    store = capture(model, plan, tmp_path, settings=settings)
    read = read_all(model, plan, key_stage="rotated", batch_size=128, shard=6)
    assert torch.equal(store.read("k", 1), read["k"][:, 1])
    assert store.read("x_query", 0).shape == (0, model.geometry.d_model)


def test_batch_size_changes_no_more_than_rounding(model, plan, finished, tmp_path):
    other = capture(model, plan, tmp_path / "other", settings=SETTINGS, batch_size=1)
    assert other.identity_hash == finished.identity_hash
    for layer in range(2):
        for name in ("k", "v", "x", "attention", "x_query"):
            torch.testing.assert_close(
                other.read(name, layer), finished.read(name, layer), atol=1e-2, rtol=2**-7
            )


@pytest.mark.parametrize("kind", ["pairs", "text"])
def test_what_was_begun_goes_on_with_its_batch_size_and_threads(kind, tmp_path, monkeypatch):
    """Or a sum would be rounded in other places in some of the shards."""
    model = tiny_model("llama", d_model=96, d_head=32)
    text = write_texts(tmp_path)

    def run(name, batch_size, **options):
        folder = tmp_path / name
        if kind == "pairs":
            return capture(model, make_plan(model), folder, batch_size=batch_size, **options)
        settings = TextSettings(window=16, shard_bytes=900)
        return capture_text(model, text, folder, settings=settings, batch_size=batch_size)

    used, job_class = [], PairJob if kind == "pairs" else TextJob
    read = job_class.read

    def stop_at_the_third(job, model, advance):
        used.append((job.pace.batch_size, torch.get_num_threads()))
        if len(used) == 3:
            raise RuntimeError("killed")
        return read(job, model, advance)

    whole, other = (hash_folder(run(str(size), size).folder) for size in (3, 128))
    assert whole != other  # so that this test can fail
    with monkeypatch.context() as patch:
        patch.setattr(job_class, "read", stop_at_the_third)
        with pytest.raises(RuntimeError, match="killed"):
            run("killed", 3)
        with cores_an_operation(2):
            store = run("killed", 128)
    assert hash_folder(store.folder) == whole
    assert store.manifest["pace"] == {"batch_size": 3, "threads": 1}
    assert set(used) == {(3, 1)}


def test_a_capture_without_a_shard_begins_as_is_asked(model, plan, tmp_path, monkeypatch):
    """As one does that had not enough memory for its first batch."""
    monkeypatch.setattr("probes.capture.run.make_shards", lambda *_, **__: None)
    for size in (128, 4):
        store = capture(model, plan, tmp_path, settings=SETTINGS, batch_size=size)
        assert store.manifest["pace"]["batch_size"] == size


def test_a_finished_capture_is_reused(model, plan, finished, monkeypatch):
    before = hash_folder(finished.folder)
    written = watch(monkeypatch)
    monkeypatch.setattr("probes.capture.run.check_faithfulness", None)  # would fail if called
    again(model, plan, finished)
    assert written == []
    assert hash_folder(finished.folder) == before


def delete_shard(store):
    store.shard_path(3).unlink()


def delete_marker(store):
    find_marker(store.shard_path(3)).unlink()


def truncate(store):
    os.truncate(store.shard_path(3), 1000)


def flip_a_byte(store):
    content = bytearray(store.shard_path(3).read_bytes())
    content[-5] ^= 1
    store.shard_path(3).write_bytes(content)


def empty_marker(store):
    find_marker(store.shard_path(3)).write_text("")


def strange_marker(store):
    find_marker(store.shard_path(3)).write_text("[]")


def marker_of_other_settings(store):
    mark(store.shard_path(3), identity="other")


@pytest.mark.parametrize(
    "damage",
    [
        delete_shard,
        delete_marker,
        truncate,
        flip_a_byte,
        empty_marker,
        strange_marker,
        marker_of_other_settings,
    ],
)
def test_only_what_is_damaged_is_done_again(model, plan, finished, monkeypatch, damage):
    before = hash_folder(finished.folder)
    damage(finished)
    assert hash_folder(finished.folder) != before
    written = watch(monkeypatch)
    again(model, plan, finished)
    assert written == [3]
    assert hash_folder(finished.folder) == before


@pytest.mark.parametrize("name", ["occurrences.parquet", "losses.parquet", "constants.safetensors"])
def test_indices_are_mended(model, plan, finished, name):
    before = hash_folder(finished.folder)
    os.truncate(finished.folder / name, 50)
    again(model, plan, finished)
    assert hash_folder(finished.folder) == before


def test_what_killed_runs_left_is_removed(model, plan, finished):
    before = hash_folder(finished.folder)
    (finished.folder / "shards" / ".tmpAb3dEf").write_bytes(b"half")
    (finished.folder / "shards" / ".00003.safetensors.aside-x7d.safetensors").write_bytes(b"half")
    (finished.folder / ".manifest.json.aside-abc.json").write_bytes(b"half")
    again(model, plan, finished)
    assert hash_folder(finished.folder) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"key_stage": "rotated"}, 'key_stage was "normed", now "rotated"'),
        ({"dtype": "float32"}, 'dtype was "bfloat16", now "float32"'),
        ({"query_sample": 8}, "query_sample was 7, now 8"),
        ({"seed": 1}, "seed was 0, now 1"),
    ],
)
def test_other_settings_are_refused(model, plan, finished, change, told):
    before = hash_folder(finished.folder)
    with pytest.raises(StoreMismatchError, match=told) as caught:
        again(model, plan, finished, settings=dataclasses.replace(SETTINGS, **change))
    assert "--overwrite" in str(caught.value)
    assert hash_folder(finished.folder) == before


def test_other_inputs_are_refused(model, plan, finished):
    before = hash_folder(finished.folder)
    config = {**model.origin, "config_hash": "0"}
    refusals = [
        ("other weights", tiny_model("llama", seed=1), plan),
        ("config was", dataclasses.replace(model, origin=config), plan),
        ("other sequences", model, dataclasses.replace(plan, sequences=plan.sequences[1:])),
        ('take was "last", now "mean"', model, make_plan(model, take="mean")),
        ("other pairs", model, dataclasses.replace(plan, pairs=plan.pairs.iloc[::-1])),
        ("other templates", model, dataclasses.replace(plan, templates=plan.templates[:2])),
    ]
    for told, other, other_plan in refusals:
        with pytest.raises(StoreMismatchError, match=told):
            again(other, other_plan, finished)
    assert hash_folder(finished.folder) == before


def test_overwriting(model, plan, finished, tmp_path):
    (finished.folder / "notes.txt").write_text("mine")
    settings = dataclasses.replace(SETTINGS, key_stage="rotated")
    short = dataclasses.replace(plan, sequences=plan.sequences[:20])
    again(model, short, finished, settings=settings, overwrite=True)
    capture(model, short, tmp_path / "new", settings=settings, batch_size=4)
    found = hash_folder(finished.folder)
    assert found.pop("notes.txt")
    assert found == hash_folder(tmp_path / "new")


def test_overwriting_spares_a_folder_that_is_no_capture(model, plan, tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "thesis.json").write_text("mine")
    capture(model, plan, tmp_path, settings=SETTINGS, overwrite=True)
    capture(model, plan, tmp_path, settings=SETTINGS, overwrite=True)
    assert (tmp_path / "shards" / "thesis.json").read_text() == "mine"


def test_nan_activations_are_refused(model, plan, tmp_path, monkeypatch):
    """NaN in one sentence alone, which the faithfulness check does not happen to read."""
    store = capture(model, plan, tmp_path / "whole", settings=SETTINGS, batch_size=4)
    monkeypatch.setattr("probes.capture.run.check_faithfulness", lambda *_, **__: None)
    first = tmp_path / "nan" / "shards" / "00000.json"

    def spoil(_module, _args, output):
        spoilt = first.exists()
        return output.index_fill(0, torch.tensor([0]), float("nan")) if spoilt else output

    handle = model.geometry.layers[1].value.module.register_forward_hook(spoil)
    try:
        with pytest.raises(NonFiniteError, match=r"v of layer 1 \(row 0 of the shard") as caught:
            capture(model, plan, tmp_path / "nan", settings=SETTINGS, batch_size=4)
    finally:
        handle.remove()
    assert "tiny-llama-0" in str(caught.value)
    done = [path.stem for path in (tmp_path / "nan" / "shards").glob("*.safetensors")]
    assert 0 < len(done) < 5
    whole, found = hash_folder(store.folder), hash_folder(tmp_path / "nan")
    # The hook makes it another model, whose identity is in the JSON files.
    numbers = {name: sha for name, sha in found.items() if not name.endswith(".json")}
    assert numbers.items() <= whole.items()


def test_an_unfaithful_model_stores_nothing(plan, tmp_path):
    model = tiny_model("llama")
    module = model.geometry.layers[0].key.module
    module.register_forward_hook(lambda _m, _a, out: out + 0.1 * torch.randn_like(out))
    with pytest.raises(FaithfulnessError):
        capture(model, plan, tmp_path, settings=SETTINGS)
    assert not (tmp_path / "shards").exists()


def test_a_disk_that_fills_up(model, plan, finished, tmp_path, monkeypatch):
    sync = os.fsync

    def fill(handle):
        if (tmp_path / "full" / "shards" / "00000.json").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(StoreError, match=r"the disk is full.*run the same command again"):
        capture(model, plan, tmp_path / "full", settings=SETTINGS, batch_size=4)
    found, whole = hash_folder(tmp_path / "full"), hash_folder(finished.folder)
    assert found.items() < whole.items()
    assert "shards/00000.json" in found
    assert "shards/00001.safetensors" not in found
    monkeypatch.setattr(os, "fsync", sync)
    capture(model, plan, tmp_path / "full", settings=SETTINGS, batch_size=4)
    assert hash_folder(tmp_path / "full") == whole


def test_a_really_full_disk(model, plan, finished, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    # Room for all but the last two shards.
    needed = sum(-(-path.stat().st_size // 4096) for path in finished.folder.rglob("*.*"))
    shard = -(-finished.shard_path(3).stat().st_size // 4096)
    size = f"size={4 * (needed - 2 * shard)}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        with pytest.raises(StoreError, match="the disk is full"):
            capture(model, plan, place, settings=SETTINGS, batch_size=4)
        found, whole = hash_folder(place), hash_folder(finished.folder)
        assert found.items() < whole.items()
        assert "shards/00000.json" in found
        remount = ["mount", "-o", "remount,size=4m", str(place)]
        subprocess.run(remount, check=True, capture_output=True)
        capture(model, plan, place, settings=SETTINGS, batch_size=4)
        assert hash_folder(place) == whole
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"settings": CaptureSettings(dtype="int8")}, "dtype must be one of .* not 'int8'"),
        ({"settings": CaptureSettings(query_sample=-1)}, "query_sample must be at least 0"),
    ],
)
def test_settings_out_of_range(model, plan, tmp_path, options, told):
    with pytest.raises(UsageError, match=told):
        capture(model, plan, tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()
