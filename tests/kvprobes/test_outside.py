"""A user's own question: a file, from `--module` or an entry point, in run, analyse and report."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

import kvprobes as kv
from analyses import list_questions
from analyses.shared import outside
from kvprobes.captures.pairs import capture_pairs
from kvprobes.command.cli import app
from probes.errors import UsageError
from tests.kvprobes.runs import PAIRS, make_options, save_tiny_model

SOURCE = Path(__file__).parents[2] / "docs" / "howto" / "my_question.py"


@pytest.fixture(autouse=True)
def questions(monkeypatch):
    monkeypatch.setattr("analyses.NAMES", ("weights",))
    monkeypatch.setattr("analyses._ADDED", {})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def captured(model, tmp_path_factory):
    options = make_options(model, tmp_path_factory.mktemp("results") / "tiny")
    capture_pairs(kv.Session(options.folder, model=options.model), options)
    return options.folder.path


def call(*words, code=0):
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result.output


def test_the_file_of_the_how_to_is_short():
    lines = [line for line in SOURCE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 40


def test_a_file_joins_analyse_the_report_and_the_list(captured, model):
    named = ("--module", SOURCE)
    told = call("analyse", "my_question", *named, "--out", captured, "--shortest", "3")
    assert "Mean Spearman correlation of length and norm" in told
    summary = kv.open(captured).tables["my_question.summary"]
    assert set(summary["layer"]) == {0, 1}
    assert summary["value"].between(-1, 1).all()
    assert (captured / "tables" / "my_question.table1.tex").read_text("utf-8").count(r"\\") == 9
    assert (captured / "figures" / "my_question.layers.pdf").exists()
    answers = json.loads(call("report", *named, "--out", captured, "--json"))["answers"]
    assert answers["my_question"]["asks"] == "Are the keys and values of longer words longer?"
    assert "Mean Spearman" in (captured / "report.html").read_text(encoding="utf-8")
    listed = json.loads(call("questions", *named, "--json"))
    assert [row["name"] for row in listed] == ["weights", "my_question"]


def test_run_asks_it_with_the_others(model, tmp_path):
    call("run", "--module", SOURCE, "--model", model, "--out", tmp_path / "out", *PAIRS)
    assert kv.open(tmp_path / "out").questions == ("weights", "my_question")


def test_an_edited_file_is_computed_again(captured, tmp_path):
    own = Path(shutil.copy(SOURCE, tmp_path / "my_own.py"))
    kv.add_question(own)
    assert kv.answer("my_own", str(captured)).is_new
    assert not kv.answer("my_own", captured).is_new
    own.write_text(own.read_text("utf-8").replace("Length", "Letters"), encoding="utf-8")
    kv.add_question(own)
    assert kv.answer("my_own", captured).is_new


def test_draw_and_describe_may_be_left_out(captured, tmp_path):
    own = tmp_path / "bare.py"
    own.write_text(SOURCE.read_text("utf-8").partition("@house_style")[0], encoding="utf-8")
    found = kv.answer(kv.add_question(own), captured)
    (printed,) = found.section.tables
    assert printed.columns == ("part", "layer", "kv_head", "value")
    assert len(printed.rows) == len(found.tables["summary"])
    assert not list(captured.glob("figures/bare.*.pdf"))


def test_an_installed_package_names_one(captured, monkeypatch):
    listed = [EntryPoint("toy", "tests.kvprobes.toy_question", outside.GROUP)]
    monkeypatch.setattr(outside, "entry_points", lambda group: listed)
    outside.list_installed.cache_clear()
    try:
        assert list(list_questions()) == ["weights", "toy_question"]
        listed[0] = EntryPoint("toy", "tests.kvprobes.nowhere:QUESTION", outside.GROUP)
        outside.list_installed.cache_clear()
        assert "Update or uninstall" in call("questions", code=1)
    finally:
        outside.list_installed.cache_clear()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("absent.py", None, "cannot be loaded: FileNotFoundError"),
        ("my-question.py", "", "its name must be letters, digits and _"),
        ("broken.py", "import nothing_of_this_name", "ModuleNotFoundError"),
        ("empty.py", "", "has no QUESTION"),
        ("weights.py", SOURCE.read_text("utf-8"), "has the name of another question, 'weights'"),
        ("half.py", SOURCE.read_text("utf-8").partition("\ndef compute")[0], "function compute"),
    ],
)
def test_what_is_no_question_is_refused_with_what_one_is(tmp_path, name, text, told):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        kv.add_question(tmp_path / name)
    assert list(list_questions()) == ["weights"]
