"""Moments of a text: what the model makes of every token, however it is batched, cut or resumed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from probes.capture import LayerMoments, TextSettings, capture_text, read_layer
from probes.capture.read import KEY_STAGES
from probes.capture.text_read import ATTENDED, SAMPLED, RowSample
from probes.capture.text_shard import read_windows
from probes.capture.text_windows import draw_numbers, stream_windows
from probes.errors import StoreMismatchError, TableError, UsageError
from probes.models import build_model
from probes.models.observe import observe
from probes.words.text_slices import cut_texts, list_texts
from tests.architectures import build_hf
from tests.capture.examples import hash_folder
from tests.capture.texts import write_texts
from tests.tiny import tiny_model, tiny_tokenizer

SETTINGS = TextSettings(window=16, rows=60, dtype="float32", shard_bytes=900)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def store(model, text, tmp_path_factory):
    return capture_text(model, text, tmp_path_factory.mktemp("store"), settings=SETTINGS)


def read_windows_by_shard(model, text, settings=SETTINGS):
    shards = cut_texts(list_texts(text), size=settings.shard_bytes)
    return [list(read_windows(model, shard, settings)) for shard in shards]


@torch.inference_mode()
def read_alone(model, shards, key_stage, seed=0):
    """Read window by window, layer by layer, without any of the code under test but the draws."""
    geometry = model.geometry
    rows = [{name: [] for name in "xqkv"} for _ in geometry.layers]
    for number, windows in enumerate(shards):
        for window in windows:
            ids = torch.tensor([window.ids])
            runs = model.hf.get_encoder() if model.has_encoder_and_decoder else model.hf
            seen, _ = observe(runs, geometry, {"input_ids": ids})
            count = torch.arange(window.first, len(window.ids))
            drawn = draw_numbers(number, window.number, len(count), seed=seed, purpose=ATTENDED)
            for place, (how, layer) in enumerate(zip(geometry.layers, seen, strict=True)):
                low = count * 0 + window.first
                if geometry.window is not None:
                    low = torch.maximum(low, count - geometry.window + 1)
                if chunks := [how.chunk for how in geometry.layers if how.chunk]:
                    low = torch.maximum(low, count - count % min(chunks))
                high = count if geometry.causal else count * 0 + len(window.ids) - 1
                attended = low + torch.from_numpy(
                    (drawn % (high - low + 1).numpy().astype(np.uint64)).astype(np.int64)
                )
                x = layer.x[0, count]
                query = layer.attended.query[0, :, count].transpose(0, 1)
                key = layer.attended.key[0, :, count].transpose(0, 1)
                if key_stage not in ("rotated", "attended"):
                    key = how.key.project(x)
                    if how.late_norm and hasattr(getattr(how.key_norm, "module", None), "weight"):
                        query = query * how.key_norm.module.weight
                        key = key / key.square().mean(-1, keepdim=True).add(1e-5).sqrt()
                    elif key_stage == "normed":
                        key = how.norm("key", key)
                    if how.rotation is not None:
                        query = how.rotation.transpose(query, attended[:, None])
                value = layer.attended.value[0, :, count].transpose(0, 1)
                for name, part in (("x", x), ("q", query), ("k", key), ("v", value)):
                    rows[place][name].append(part)
    return [{name: torch.cat(parts) for name, parts in layer.items()} for layer in rows]


def assert_alike(found: LayerMoments, expected: LayerMoments, tolerance: float = 1e-4) -> None:
    assert found.count == expected.count
    for part in ("mean", "co_moment"):
        mine, other = getattr(found, part), getattr(expected, part)
        assert mine.keys() == other.keys()
        for name, tensor in mine.items():
            scale = float(other[name].abs().max())
            torch.testing.assert_close(tensor, other[name], atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("key_stage", KEY_STAGES)
def test_moments_are_those_of_every_token(model, text, tmp_path, key_stage):
    settings = dataclasses.replace(SETTINGS, key_stage=key_stage)
    store = capture_text(model, text, tmp_path, settings=settings, batch_size=5)
    shards = read_windows_by_shard(model, text)
    assert store.n_shards == len(shards) > 4
    expected = read_alone(model, shards, key_stage)
    for layer, rows in enumerate(expected):
        assert_alike(read_layer(store, layer)[0], LayerMoments.of(**rows))


OTHERS = ("gemma3", "gemma3n", "bert", "opt", "gpt2", "deepseek_v3", "t5", "llama4")


@pytest.mark.parametrize("name", [*OTHERS, "falcon_grouped", "hunyuan_dense"])
def test_other_architectures(text, tmp_path, name):
    """Sliding windows, shared keys, both directions, scaled queries, no rotation, latents; chunks,
    keys repeated by group, and norms after the rotation."""
    model = build_model(build_hf(name), tiny_tokenizer(bos=name != "bert"), name=name)
    settings = TextSettings(window=12, shard_bytes=2500)
    store = capture_text(model, text / "b.jsonl", tmp_path, settings=settings)
    shards = read_windows_by_shard(model, text / "b.jsonl", settings)
    expected = read_alone(model, shards, "normed")
    for layer, rows in enumerate(expected):
        found = read_layer(store, layer)[0]
        reference = LayerMoments.of(**rows)
        if name == "opt":  # scales its queries before it attends
            assert found.mean.pop("q").shape == reference.mean.pop("q").shape
            del found.co_moment["q_q"], reference.co_moment["q_q"]
        assert_alike(found, reference, 1e-3)


def test_windows_hold_every_token_of_long_documents(model, text):
    content = (text / "a.txt").read_text()
    whole = model.tokenizer(content, add_special_tokens=False)["input_ids"]
    windows = list(stream_windows(model.tokenizer, [(0, content)], length=16))
    found = [i for window in windows for i in window.ids[1:]]
    assert found == whole[: len(found)]
    assert len(whole) - len(found) < 8
    assert {window.ids[0] for window in windows} == {model.tokenizer.bos_token_id}
    assert [window.number for window in windows] == list(range(0, 15 * len(windows), 15))
    passages = [(0, "a is a fox of the dog and a cat")]
    bare = stream_windows(tiny_tokenizer(bos=False), passages, length=9)
    assert [(window.first, len(window.ids)) for window in bare] == [(1, 9)]  # the rest is too short


def test_sampled_rows(model, text, store):
    """Those with the smallest numbers of each shard, whole, in the order of the text."""
    shards = read_windows_by_shard(model, text)
    expected = read_alone(model, shards, "normed")
    quota, start, chosen, tokens = -(-60 // len(shards)), 0, [], []
    for number, windows in enumerate(shards):
        count = sum(window.n_counted for window in windows)
        drawn = draw_numbers(number, 0, count, seed=0, purpose=SAMPLED)
        chosen += (start + np.sort(np.argsort(drawn)[:quota])).tolist()
        tokens += [i for window in windows for i in window.ids[window.first :]]
        start += count
    for layer, rows in enumerate(expected):
        for name in "xqkv":
            found = store.read(f"rows.{name}", layer)
            assert len(found) == len(chosen) >= 60
            torch.testing.assert_close(found, rows[name][chosen], atol=1e-4, rtol=1e-4)
    found = torch.cat([part.get_tensor("rows.token") for part in store.open_shards("rows.token")])
    assert found.tolist() == [tokens[place] for place in chosen]


@pytest.mark.parametrize("sizes", [[100], [1] * 100, [3, 60, 37]])
def test_a_sample_does_not_depend_on_the_batches(sizes):
    numbers = draw_numbers(3, 0, 100, seed=1, purpose=SAMPLED)
    sample, start = RowSample(9), 0
    for size in sizes:
        mine = numbers[start : start + size]
        places = sample.choose(mine)
        assert len(places) <= 9
        sample.add({"row": torch.tensor([start + place for place in places])})
        start += size
    assert sample.rows["row"].tolist() == np.sort(np.argsort(numbers)[:9]).tolist()


def test_drawn_numbers_are_even_and_depend_on_everything():
    base = draw_numbers(0, 0, 20_000, seed=0, purpose=1)
    assert np.array_equal(base[5000:], draw_numbers(0, 5000, 15_000, seed=0, purpose=1))
    counts = np.bincount((base % 10).astype(int), minlength=10)
    assert counts.min() > 1850
    assert counts.max() < 2150
    for other in ({"seed": 1, "purpose": 1}, {"seed": 0, "purpose": 2}):
        assert not np.intersect1d(base, draw_numbers(0, 0, 20_000, **other)).size
    assert not np.intersect1d(base, draw_numbers(1, 0, 20_000, seed=0, purpose=1)).size


def test_same_text_same_bytes(model, text, store, tmp_path):
    again = capture_text(tiny_model("llama"), text, tmp_path, settings=SETTINGS)
    assert hash_folder(again.folder) == hash_folder(store.folder)


def test_batch_size_changes_no_more_than_rounding(model, text, store, tmp_path):
    other = capture_text(model, text, tmp_path, settings=SETTINGS, batch_size=3)
    assert other.identity_hash == store.identity_hash
    for layer in range(2):
        assert_alike(read_layer(other, layer)[0], read_layer(store, layer)[0], 1e-5)


def test_folds_are_stretches_of_the_text(store):
    folds = read_layer(store, 1, folds=3)
    assert len(folds) == 3
    whole = read_layer(store, 1)[0]
    assert sum(fold.count for fold in folds) == whole.count
    assert_alike(folds[0].merge(folds[1]).merge(folds[2]), whole, 1e-9)
    with pytest.raises(UsageError, match="cannot make 99 folds"):
        read_layer(store, 0, folds=99)


def test_a_finished_capture_is_reused_and_another_refused(model, text, store, tmp_path):
    before = hash_folder(store.folder)
    heard: list[str] = []
    capture_text(model, text, store.folder, settings=SETTINGS, say=heard.append)
    assert heard == [f"Reusing the finished capture in {store.folder}"]
    changed = write_texts(tmp_path / "changed", seed=1)
    for other_model, other_text, change, told in (
        (tiny_model("llama", seed=1), text, {}, "other weights"),
        (model, changed, {}, "other text"),
        (model, text, {"window": 20}, "window was 16, now 20"),
        (model, text, {"rows": 0}, "rows was 60, now 0"),
    ):
        settings = dataclasses.replace(SETTINGS, **change)
        with pytest.raises(StoreMismatchError, match=told):
            capture_text(other_model, other_text, store.folder, settings=settings)
    assert hash_folder(store.folder) == before


def test_long_text_has_no_more_shards(model, tmp_path, monkeypatch):
    monkeypatch.setattr("probes.capture.text_run.MOST_SHARDS", 3)
    text = write_texts(tmp_path / "text")
    store = capture_text(model, text, tmp_path / "store", settings=SETTINGS)
    assert 1 < store.n_shards <= 3


def test_without_x(model, text, tmp_path):
    settings = dataclasses.replace(SETTINGS, x=False, rows=0)
    store = capture_text(model, text, tmp_path, settings=settings)
    found = read_layer(store, 0)[0]
    assert found.mean.keys() == {"q", "k", "v"}
    assert not any("x" in block for block in found.co_moment)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"window": 7}, "window must be at least 8, not 7"),
        ({"window": 129}, "no more than 128 positions"),
        ({"rows": -1}, "rows must be at least 0"),
        ({"shard_bytes": 0}, "shard_bytes must be at least 1"),
    ],
)
def test_settings_out_of_range(model, text, tmp_path, change, told):
    with pytest.raises(UsageError, match=told):
        capture_text(model, text, tmp_path / "x", settings=dataclasses.replace(SETTINGS, **change))
    with pytest.raises(UsageError, match="batch_size must be at least 1"):
        capture_text(model, text, tmp_path / "x", batch_size=0)
    assert not (tmp_path / "x").exists()


def test_too_little_text(model, tmp_path):
    (tmp_path / "a.txt").write_text("The dog.")
    with pytest.raises(TableError, match="holds no text of 8 tokens"):
        capture_text(model, tmp_path / "a.txt", tmp_path / "x", settings=SETTINGS)
