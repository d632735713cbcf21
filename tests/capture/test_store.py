"""Reading a store that is damaged, missing or of another format."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest
import torch

from probes.capture import create_store, open_store
from probes.capture.store import describe_differences
from probes.errors import StoreError, StoreMismatchError

SAME = r"Run `kvprobes capture` with the same settings again: it repairs what is damaged"


@pytest.fixture
def store(tmp_path):
    tables = {"occurrences": pd.DataFrame({"a": [1]}), "queries": pd.DataFrame({"b": ["x"]})}
    store = create_store(
        tmp_path,
        {"seed": 0},
        tables=tables,
        constants={"value_metric": torch.eye(3)},
        n_shards=2,
        context={},
    )
    for shard in range(2):
        k = torch.arange(24.0).reshape(2, 3, 4).bfloat16() + 24 * shard
        rows = {f"k.{layer}": k[:, layer] for layer in range(3)}
        store.write_shard(shard, {**rows, "moment": torch.full((2, 2), 1.0 + shard).double()})
    return store


def test_layers_and_sums(store):
    expected = torch.cat([torch.arange(4.0) + 4 + 12 * row for row in range(4)]).reshape(4, 4)
    assert torch.equal(store.read("k", 1), expected)
    assert torch.equal(store.read_sum("moment"), torch.full((2, 2), 3.0).double())
    assert store.missing_shards() == []


def test_a_truncated_shard_says_what_to_run(store):
    os.truncate(store.shard_path(1), 100)
    with pytest.raises(StoreError, match=rf"00001\.safetensors is damaged or missing .*{SAME}"):
        store.read("k", 0)
    assert store.missing_shards() == [1]


def test_a_missing_shard_says_what_to_run(store):
    store.shard_path(0).unlink()
    with pytest.raises(StoreError, match=rf"00000\.safetensors is damaged or missing .*{SAME}"):
        store.read_sum("moment")


def test_a_flipped_byte_is_seen_by_the_hash(store):
    content = bytearray(store.shard_path(0).read_bytes())
    content[-1] ^= 1
    store.shard_path(0).write_bytes(content)
    assert store.missing_shards() == [0]


def test_an_unknown_name(store):
    with pytest.raises(StoreError, match=r"holds no 'q.0', but \['k.0', 'k.1', 'k.2', 'moment'\]"):
        store.read("q", 0)


@pytest.mark.parametrize("name", ["occurrences", "queries"])
def test_a_damaged_index(store, name):
    (store.folder / f"{name}.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError, match=rf"{name}\.parquet is damaged or missing .*{SAME}"):
        store.table(name)


def test_damaged_constants(store):
    os.truncate(store.folder / "constants.safetensors", 20)
    with pytest.raises(StoreError, match=rf"constants\.safetensors is damaged .*{SAME}"):
        store.read_constants()


def test_a_folder_without_a_capture(tmp_path):
    with pytest.raises(StoreError, match=r"holds no capture .*Run `kvprobes capture` first"):
        open_store(tmp_path)


@pytest.mark.parametrize("content", ["{half", "[]", '{"identity": null}', '{"identity": {}}'])
def test_a_damaged_manifest(store, content):
    (store.folder / "manifest.json").write_text(content)
    with pytest.raises(StoreError, match=r"manifest\.json cannot be read"):
        open_store(store.folder)


def test_another_format(store):
    path = store.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["identity"]["format"] = 99
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreMismatchError, match="store format 99; this version reads 5"):
        open_store(store.folder)


def test_identity_does_not_depend_on_the_order_of_settings(tmp_path):
    options = {"tables": {}, "constants": {}, "n_shards": 1, "context": {}}
    one = create_store(tmp_path / "a", {"x": 1, "y": (2, 3)}, **options)
    two = create_store(tmp_path / "b", {"y": [2, 3], "x": 1}, **options)
    assert one.identity_hash == two.identity_hash
    assert create_store(tmp_path / "a", {"x": 1, "y": (2, 3)}, **options) == one


def test_differences_are_told_in_words_where_they_are_hashes():
    old, new = {"pairs": "a" * 64, "seed": 0, "take": "last"}, {"pairs": "b" * 64, "seed": 1}
    told = describe_differences(old, new)
    assert told == 'other pairs; seed was 0, now 1; take was "last", now null'
