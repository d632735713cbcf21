"""One runner for every question, also for one that is elsewhere: a folder and a line."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

import kvprobes
from analyses import find_question, list_questions
from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.weights import WeightsSettings
from kvprobes.captures.pairs import capture_pairs
from kvprobes.results import ResultFolder
from kvprobes.runner import answer, refuse_unknown, run
from kvprobes.session import Session
from probes.errors import StoreError, StoreMismatchError, TableError, UsageError
from tests.damage import rewrite
from tests.kvprobes.runs import hash_results, make_options, save_tiny_model
from tests.kvprobes.toy_question import NAME, QUESTION, ToySettings


@pytest.fixture(autouse=True)
def questions(monkeypatch):
    """Two questions of the package, and the toy between them: the one line."""
    monkeypatch.setattr("analyses.NAMES", ("premise", NAME, "weights"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def captured(model, tmp_path_factory):
    options = make_options(model, tmp_path_factory.mktemp("results") / "tiny")
    capture_pairs(Session(options.folder, model=options.model), options)
    return options.folder.path


@pytest.fixture
def folder(captured, tmp_path):
    """A folder of its own with the capture alone."""
    shutil.copytree(captured, tmp_path / "tiny")
    return ResultFolder(tmp_path / "tiny")


def listen():
    told = []
    return told, told.append


def test_a_question_is_a_folder_and_a_line(model, tmp_path):
    assert list(list_questions()) == ["premise", "toy_question", "weights"]
    told, say = listen()
    asked = {"toy_question": {"word": "m2", "shortest": "4"}, "premise": {"resamples": 20}}
    folder = run(make_options(model, tmp_path / "tiny"), asked=asked, say=say)
    assert "Computing: toy_question" in told
    summary = folder.read_tables("toy_question")["summary"]
    pairs = pd.read_parquet(folder.capture / "pairs.parquet")
    assert summary["word"].tolist() == [word for word in pairs["m2"] if len(word) >= 4]
    assert folder.figure_path("toy_question", "lengths", "pdf").exists()
    manifest = folder.read_manifest("toy_question")
    assert manifest["inputs"]["settings"] == {"shortest": 4, "word": "m2", "seed": 0}
    assert manifest["inputs"]["alphabet"] == "Latin"
    page = folder.report_path.read_text(encoding="utf-8")
    assert "The toy: lengths" in page
    assert f"The words have {summary['value'].mean():.1f} letters." in page
    assert f"data:image/png;base64,{_read_base64(folder)}" in page


def _read_base64(folder):
    import base64

    return base64.b64encode(
        folder.figure_path("toy_question", "lengths", "png").read_bytes()
    ).decode()


def test_tables_are_reused_until_a_setting_changes(folder):
    told, say = listen()
    session = Session(folder, say=say)
    first = answer("toy_question", session)
    assert (first.is_new, first.settings) == (True, ToySettings())
    before = hash_results(folder.path)
    again = answer(QUESTION, folder)
    assert not again.is_new
    pd.testing.assert_frame_equal(again.tables["summary"], first.tables["summary"])
    assert again.section.answer == first.section.answer
    assert hash_results(folder.path) == before
    other = answer("toy_question", session, shortest=5)
    assert other.is_new
    assert len(other.tables["summary"]) < len(first.tables["summary"])
    assert told == ["Computing: toy_question"] * 2


def test_the_package_answers_by_the_runner(folder):
    assert kvprobes.answer("toy_question", folder.path).is_new
    assert kvprobes.answer is answer


def test_presets_stand_below_what_is_asked_for(folder):
    found = answer("toy_question", folder, preset="long", word="m2")
    assert found.settings == ToySettings(shortest=6, word="m2")
    assert answer("toy_question", folder, preset="long", shortest=2).settings.shortest == 2
    with pytest.raises(UsageError, match="Did you mean 'long'"):
        answer("toy_question", folder, preset="lang")
    with pytest.raises(UsageError, match="no setting of premise 'preset'"):
        answer("premise", folder, preset="long")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"toy_questions": {}},
            "Did you mean 'toy_question'? There are: premise, toy_question, weights",
        ),
        ({"premise": {"resample": 3}}, "Did you mean 'resamples'? There are: resamples, attended"),
        ({"premise": {"resamples": "many"}}, "premise.resamples cannot be 'many'"),
        ({"premise": {"attended": 0}}, "premise.attended is 0; give at least 0.001"),
        ({"toy_question": {"word": "m3"}}, "There are: m1, m2."),
        ({"weights": {"seed": 1}}, "weights has no settings"),
    ],
)
def test_what_is_unknown_is_told_before_anything_takes_time(asked, told, tmp_path):
    with pytest.raises(UsageError) as caught:
        run(make_options(tmp_path / "no-model", tmp_path / "out"), asked=asked)
    assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError):
        refuse_unknown(asked)


def test_a_question_that_the_data_do_not_allow_is_left_out_and_told(model, tmp_path):
    options = make_options(model, tmp_path / "tiny")
    folder = run(options)
    assert folder.read_left_out("toy_question") is None
    told, say = listen()
    run(options, asked={"toy_question": {"shortest": 99}}, say=say)
    reason = "no word of capture has 99 letters."
    assert folder.read_left_out("toy_question") == reason
    assert any(line.startswith("Left out toy_question: no word of") for line in told)
    assert reason in folder.report_path.read_text(encoding="utf-8")
    # What was answered of other settings is not shown in its place.
    assert not folder.has_answer("toy_question")
    assert not list(folder.path.glob("*/toy_question.*.png"))
    run(options)
    assert folder.read_left_out("toy_question") is None
    assert folder.has_answer("toy_question")


def test_a_run_that_answers_nothing_about_the_pairs_is_an_error(model, tmp_path):
    with pytest.raises(TableError, match="5 of 5 pairs"):
        run(make_options(model, tmp_path, limit=5), asked={"toy_question": {"shortest": 99}})


def test_a_question_that_run_does_not_ask_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr("analyses.NAMES", (NAME, "probing"))
    told, say = listen()
    run(make_options(model, tmp_path), asked={"probing": {"seed": 1}}, say=say)
    assert "`kvprobes run` does not ask probing: `kvprobes analyse probing` does" in told


def test_tables_of_an_older_version_are_computed_again_and_that_is_told(folder):
    answer("toy_question", folder)
    manifest = folder.read_manifest("toy_question")
    rewrite(folder.manifest_path("toy_question"), lambda content: content.update(format=1))
    with pytest.raises(StoreMismatchError, match="they are computed again, and captures are"):
        folder.read_tables("toy_question")
    told, say = listen()
    assert answer("toy_question", Session(folder, say=say)).is_new
    assert told[0].startswith("The tables of toy_question were written by another version")
    assert told[0].endswith("they are computed again")
    assert folder.read_manifest("toy_question")["inputs"] == manifest["inputs"]


def test_a_damaged_table_is_computed_again(folder):
    first = answer("toy_question", folder)
    folder.table_path("toy_question", "summary").write_bytes(b"half a fi")
    with pytest.raises(StoreError, match=r"summary\.parquet cannot be read"):
        folder.read_tables("toy_question")
    again = answer("toy_question", folder)
    assert again.is_new
    pd.testing.assert_frame_equal(again.tables["summary"], first.tables["summary"])


def test_the_model_is_that_of_the_capture_and_loaded_once(folder, model, monkeypatch):
    from probes.models import load

    loaded = []
    real = load.load_model
    monkeypatch.setattr(load, "load_model", lambda *a, **o: loaded.append(a) or real(*a, **o))
    session = Session(folder)
    found = answer("weights", session)
    answer("weights", session)
    assert loaded == [(str(model),)]
    assert list(found.tables["heads"]["model"].unique()) == [model.name]  # not where it is
    assert found.settings == WeightsSettings()


def test_another_model_than_the_captures_is_refused(folder, tmp_path):
    other = save_tiny_model(tmp_path / "other", "qwen2")
    with pytest.raises(StoreMismatchError, match="holds the results of one model"):
        answer("weights", Session(folder, model=str(other)))
    assert not folder.has_answer("weights")


def test_without_a_capture_it_is_said_how_to_make_one(tmp_path):
    with pytest.raises(StoreError, match="kvprobes capture"):
        answer("premise", tmp_path)
    with pytest.raises(StoreError, match="kvprobes capture --text"):
        answer(_need(Need.TEXT), tmp_path)
    assert list(tmp_path.iterdir()) == []


def _need(*needs, uses=()):
    return Question(
        package=NAME,
        title="A toy",
        asks="What is there?",
        settings=ToySettings,
        needs=frozenset(needs),
        uses=frozenset(uses),
    )


def test_what_is_only_used_may_be_absent(folder):
    given = Session(folder).gather(_need(Need.PAIRS, uses=(Need.TEXT, Need.UNTRAINED, Need.HEADS)))
    assert given.text is None
    assert given.untrained is None
    assert given.heads is None
    assert given.model is None
    assert given.store.folder == folder.capture
    assert Session(folder).gather(find_question("weights")).model.name
