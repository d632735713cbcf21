"""Captures of words beside a main one: made, reused, gone on with, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from kvprobes.captures import words as word_captures
from kvprobes.captures.words import capture_words, find_word_captures, suits_words
from probes.capture import CaptureSettings, capture, open_store, plan_capture
from probes.errors import StoreMismatchError, TableError
from probes.models import load_model
from probes.words import load_pairs, load_templates
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = tiny_model("llama")
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def without_gensim(monkeypatch):
    monkeypatch.setattr(word_captures, "find_gensim_tables", dict)


@pytest.fixture
def main(captured, tmp_path):
    """A main capture in a folder of the test's own."""
    shutil.copytree(captured.folder, tmp_path / "results" / "capture")
    return open_store(tmp_path / "results" / "capture")


@pytest.fixture(scope="module")
def captured(model_folder, tmp_path_factory):
    model = load_model(str(model_folder))
    plan = plan_capture(
        model.tokenizer, load_pairs("seed_pairs", limit=20), load_templates(count=1)
    )
    settings = CaptureSettings(dtype="float32", key_stage="rotated", seed=3)
    return capture(model, plan, tmp_path_factory.mktemp("main"), settings=settings)


def write_scores(folder: Path) -> Path:
    path = folder / "My Scores.csv"
    path.write_text("word1,word2,score\nold,new,1\nsun,moon,7\nrun,walk,5\nlaw,order,6\n")
    return path


def test_words_are_captured_as_the_pairs_were_and_then_reused(main, tmp_path, monkeypatch):
    said: list[str] = []
    scores = write_scores(tmp_path)
    capture_words(main, human=[scores], limit=4, say=said.append)
    found = find_word_captures(main)
    assert list(found) == ["capture-words", "capture-human-my-scores"]
    identity = found["capture-words"].manifest["identity"]
    for name in ("weights", "key_stage", "dtype", "seed", "take"):
        assert identity[name] == main.manifest["identity"][name]
    assert len(found["capture-words"].table("pairs")) == 6 * 4
    human = found["capture-human-my-scores"].table("pairs")
    assert human["pos"].tolist() == ["a", "n", "v", "n"]
    assert human["score"].tolist() == [1, 7, 5, 6]

    def refuse(*_, **__):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(word_captures, "_load_same_model", refuse)
    said.clear()
    capture_words(main, human=[scores], limit=4, say=said.append)
    assert [line.split(" in ")[0] for line in said] == ["Reusing the finished capture"] * 2
    # Without a limit of its own, an analysis takes what is there.
    capture_words(main, human=[scores], keep=True)
    assert list(find_word_captures(main)) == list(found)
    scores.write_text("word1,word2,score\nold,new,9\n")
    with pytest.raises(AssertionError, match="the model was loaded"):
        capture_words(main, human=[scores], keep=True)


def test_other_words_are_refused_or_overwritten(main):
    capture_words(main, limit=3)
    with pytest.raises(StoreMismatchError, match="other pairs"):
        capture_words(main, limit=5)
    capture_words(main, limit=5, overwrite=True)
    assert len(find_word_captures(main)["capture-words"].table("pairs")) == 30


def test_an_interrupted_capture_goes_on_with_its_own_words(main):
    capture_words(main, limit=3)
    folder = main.folder.parent / "capture-words"
    shard = folder / "shards" / "00000.safetensors"
    whole = shard.read_bytes()
    shard.unlink()
    with pytest.raises(TableError, match="no finished capture-words"):
        find_word_captures(main)
    capture_words(main, keep=True)
    assert shard.read_bytes() == whole


def test_other_weights_under_the_same_name_are_refused(main):
    path = main.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["identity"]["weights"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreMismatchError, match="other weights"):
        capture_words(open_store(main.folder), limit=3)
    assert not (main.folder.parent / "capture-words").exists()


def test_words_of_another_script_have_no_relations(main, monkeypatch):
    assert suits_words(main)
    chinese = pd.DataFrame({"m1": ["神经"]})
    monkeypatch.setattr(type(main), "table", lambda *_: chinese)
    assert not suits_words(main)
    with pytest.raises(TableError, match="between English words"):
        capture_words(main, limit=3)


def test_scores_can_be_limited(main, tmp_path):
    capture_words(main, human=[write_scores(tmp_path)], limit=2)
    assert len(find_word_captures(main)["capture-human-my-scores"].table("pairs")) == 2
