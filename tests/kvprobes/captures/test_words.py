"""Captures of words beside a main one: made, reused, gone on with, refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from analyses import find_question
from kvprobes.captures import words as word_captures
from kvprobes.captures.find import find_word_captures, suits_words
from kvprobes.captures.options import CaptureOptions
from kvprobes.captures.pairs import capture_pairs
from kvprobes.captures.words import capture_words
from kvprobes.session import Session
from probes.capture import CaptureSettings, capture, open_store, plan_capture
from probes.errors import StoreMismatchError, TableError, UsageError
from probes.models import load_model
from probes.words import load_pairs, load_templates
from probes.words.relations import load_relations
from tests.damage import rewrite
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
def session(captured, tmp_path):
    """A session on a result folder of the test's own."""
    shutil.copytree(captured.folder, tmp_path / "results" / "capture")
    return Session(tmp_path / "results")


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
    rows = ["old,new,1,a,en", "sun,moon,7,n,en", "run,walk,5,v,en", "law,order,6,n,en"]
    path.write_text("\n".join(["word1,word2,score,pos,language", *rows, ""]))
    return path


def test_words_are_captured_as_the_pairs_were_and_then_reused(session, tmp_path):
    scores = write_scores(tmp_path)
    capture_words(session, human=[scores], limit=4)
    found = find_word_captures(session.folder)
    assert list(found) == ["relations", "my-scores"]
    identity = found["relations"].manifest["identity"]
    for name in ("weights", "key_stage", "dtype", "seed", "take"):
        assert identity[name] == session.store.manifest["identity"][name]
    assert len(found["relations"].table("pairs")) == 6 * 4
    human = found["my-scores"].table("pairs")
    assert human["pos"].tolist() == ["a", "n", "v", "n"]
    assert human["score"].tolist() == [1, 7, 5, 6]

    said: list[str] = []
    later = Session(session.folder, say=said.append)
    capture_words(later, human=[scores], limit=4)
    # No model is loaded.
    assert [line.split(" in ")[0] for line in said] == ["Reusing the finished capture"] * 2
    # Without a limit of its own, a question takes what is there.
    said.clear()
    capture_words(later, human=[scores], keep=True)
    assert len(said) == 2
    assert list(find_word_captures(session.folder)) == list(found)
    scores.write_text("word1,word2,score\nold,new,9\n")
    with pytest.raises(StoreMismatchError, match="other pairs"):
        capture_words(later, human=[scores], keep=True)
    assert any(line.startswith("Loading") for line in said)


def test_a_question_finds_the_captures_by_name(session, tmp_path):
    session.human = (write_scores(tmp_path),)
    given = session.gather(find_question("meaning"))
    assert list(given.words) == ["relations", "my-scores"]
    assert given.store is session.store


def test_other_words_are_refused_or_overwritten(session):
    capture_words(session, limit=3)
    with pytest.raises(StoreMismatchError, match="other pairs"):
        capture_words(session, limit=5)
    capture_words(session, limit=5, overwrite=True)
    assert len(find_word_captures(session.folder)["relations"].table("pairs")) == 30


def test_a_sample_of_the_relations_makes_way_for_all_and_not_the_other_way(session, monkeypatch):
    monkeypatch.setattr("kvprobes.captures.words.SAMPLE", 2)
    every = load_relations(limit=4)
    monkeypatch.setattr(
        "kvprobes.captures.words.load_relations",
        lambda limit=None: load_relations(every, limit=limit),
    )

    def count(**options):
        capture_words(session, **options)
        return len(find_word_captures(session.folder)["relations"].table("pairs"))

    assert [count(), count(full=True), count(), count(keep=True)] == [12, 24, 24, 24]


def test_an_interrupted_capture_goes_on_with_its_own_words(session):
    capture_words(session, limit=3)
    shard = session.folder.capture_named("words") / "shards" / "00000.safetensors"
    whole = shard.read_bytes()
    shard.unlink()
    assert find_word_captures(session.folder) == {}
    capture_words(session, keep=True)
    assert shard.read_bytes() == whole
    assert list(find_word_captures(session.folder)) == ["relations"]


def test_other_weights_under_the_same_name_are_refused(session, model_folder):
    path = session.folder.capture / "manifest.json"
    rewrite(path, lambda manifest: manifest["identity"].update(weights="0" * 64))
    place, model = session.folder, load_model(str(model_folder))
    other = Session(place, model=model, store=open_store(place.capture))
    with pytest.raises(StoreMismatchError, match="other weights"):
        capture_words(other, limit=3)
    assert not session.folder.capture_named("words").exists()


def test_words_of_another_script_have_no_relations(session, monkeypatch):
    assert suits_words(session.store)
    assert session.find_obstacle(find_question("relations")) is None
    chinese = pd.DataFrame({"m1": ["神经"]})
    monkeypatch.setattr(type(session.store), "table", lambda *_: chinese)
    assert not suits_words(session.store)
    assert "English words" in session.find_obstacle(find_question("relations"))
    with pytest.raises(TableError, match="between English words"):
        capture_words(session, limit=3)


def test_scores_can_be_limited(session, tmp_path):
    capture_words(session, human=[write_scores(tmp_path)], limit=2)
    assert len(find_word_captures(session.folder)["my-scores"].table("pairs")) == 2


def test_scores_cannot_go_by_the_name_of_the_relations(session, tmp_path):
    path = write_scores(tmp_path).rename(tmp_path / "Relations.csv")
    with pytest.raises(UsageError, match="another name"):
        capture_words(session, human=[path], limit=2)
    assert not session.folder.capture_named("words").exists()


def test_rows_with_faults_are_left_out_on_request(session, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("word1,word2,score,pos\nsun,moon,7,n\nst4r,moon,1,n\nlaw,order,2,n\n")
    with pytest.raises(TableError, match="row 3, column word1"):
        capture_words(session, human=[path], limit=2)
    said: list[str] = []
    session.say = said.append
    capture_words(session, human=[path], limit=2, skip_bad_rows=True)
    capture = find_word_captures(session.folder)["bad"]
    assert capture.table("pairs")["w1"].tolist() == ["sun", "law"]
    assert set(capture.table("templates")["pos"]) == {"n"}
    assert any(": 1 row left out" in line and "row 3, column word1" in line for line in said)


def test_too_few_pairs_are_told_before_the_capture(model_folder, tmp_path):
    said: list[str] = []
    options = CaptureOptions(str(model_folder), "seed_pairs", "1", out=tmp_path / "few", limit=3)
    capture_pairs(Session(options.folder, model=options.model, say=said.append), options)
    assert said[0].startswith("3 distinct pairs of words are few")
    assert "yes or no as an answer at least 50" in said[0]
