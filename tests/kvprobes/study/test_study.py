"""A study from its file to its page: what is pooled, what stands apart, what was claimed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kvprobes.command.cli import app
from kvprobes.results import ResultFolder
from kvprobes.study.cost import estimate_cost
from kvprobes.study.gather import ALL, tabulate
from kvprobes.study.numbers import find_number, list_numbers
from kvprobes.study.plan import read_study
from kvprobes.study.run import run_study
from kvprobes.study.section import describe
from probes.errors import TableError, UsageError
from probes.stats import pool_models
from probes.words.tables import data_folder
from tests.kvprobes.runs import save_tiny_model

KEYS = "coordination.key_percentile"
FILE = """
title = "Three models"
questions = ["co_attended"]
[capture]
pairs = "{pairs}"
{split}
[[models]]
name = "first"
family = "one"
[[models]]
name = "second"
family = "one"
parameters = 1e6
[[models]]
name = "third"
family = "two"
label = "<b>Third</b>"
{more}
"""
HYPOTHESES = """
[[hypotheses]]
number = "coordination.key_percentile"
mark = 50
[[hypotheses]]
number = "coordination.key_percentile"
claim = "below"
mark = 45
[[hypotheses]]
number = "coordination.difference"
mark = 0
"""


def write(folder: Path, split="", more="", **changes):
    rows = [("p0", "network", "neural", "social", "test"), ("p1", "dog", "guide", "hot", "train")]
    pairs = pd.DataFrame(rows, columns=["pair_id", "head", "m1", "m2", "split"])
    pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    text = FILE.format(pairs=folder / "pairs.tsv", split=split, more=more)
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return read_study(folder / "study.toml")


def finish(folder: ResultFolder, keys: float, *, causal=True, seed=0) -> ResultFolder:
    """Write what a finished run of one model holds, as far as a study reads it."""
    folder.capture.mkdir(parents=True)
    identity = {"pairs": "a", "templates": "b", "key_stage": "normed", "seed": seed}
    manifest = {"model": "m", "identity": identity, "geometry": {"causal": causal, "n_layers": 2}}
    (folder.capture / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    rows = [
        (n.where["source"], n.where["measure"], n.where["condition"], "plain", value, 1.0)
        for n in list_numbers()
        if n.question == "co_attended"
        for value in [keys if n.name == KEYS else n.nothing]
    ]
    names = ["source", "measure", "condition", "weighting", "value", "reach"]
    summary = pd.DataFrame(rows, columns=names)
    summary["ci_low"], summary["ci_high"] = summary["value"] - 1, summary["value"] + 1
    answers = pd.DataFrame(
        [("coordination", "keys alike", "yes")], columns=["source", "name", "verdict"]
    )
    folder.write_tables("co_attended", {"summary": summary, "answers": answers}, {})
    return folder


@pytest.fixture(autouse=True)
def plain_manifests(request, monkeypatch):
    """Read the manifests that `finish` writes: no whole captures are behind them."""
    if request.function is not test_real_models_go_through:

        def read(folder):
            return json.loads((folder.capture / "manifest.json").read_text(encoding="utf-8"))

        monkeypatch.setattr("kvprobes.study.gather.read_capture_manifest", read)


@pytest.fixture
def stub(monkeypatch):
    """Stand in for the runs of models: 54, 55.5 and 58 by keys; what was asked is kept."""
    asked = []
    keys = {"first": 54.0, "second": 55.5, "third": 58.0}

    def run(options, *, asked: object, only, say):
        assert only == ("co_attended",)
        seen.append(options)
        if options.folder.has_answer("co_attended"):
            return options.folder
        return finish(options.folder, keys[options.model])

    seen = asked
    monkeypatch.setattr("kvprobes.runner.run", run)
    return asked


def test_the_page_pools_the_models(tmp_path, stub):
    study = write(tmp_path)
    page = run_study(study, tmp_path / "out", say=lambda _: None)
    tables = ResultFolder(tmp_path / "out").read_tables("study")
    mean = tables["means"].query("number == @KEYS").set_index("group").loc[ALL]
    expected = pool_models(np.array([54, 55.5, 58]), np.full(3, 1 / 1.959964))
    assert mean["value"] == pytest.approx(expected.value)
    assert mean["new_low"] == pytest.approx(expected.new_low)
    told = page.read_text(encoding="utf-8")
    assert "Coordination: keys, percentile: above 50 in all 3 models. Mean over 3 models" in told
    assert f"a new model is expected at {expected.new_low:.1f} to {expected.new_high:.1f}" in told
    assert "neither clearly above nor below 0 in all 3 models" in told
    assert "&lt;b&gt;Third" in told
    assert "<b>Third" not in told
    family = tables["means"].query("number == @KEYS and group == 'family: one'")
    assert family["models"].item() == 2
    assert [options.folder.path.name for options in stub] == ["first", "second", "b-Third-b"]


def test_a_second_run_gives_the_same_bytes_and_writes_the_page_after_each_model(tmp_path, stub):
    study = write(tmp_path)
    said = []
    page = run_study(study, tmp_path / "out", say=said.append)
    assert said[0] == "[1/3] first"
    bytes_of = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert run_study(study, tmp_path / "out", say=said.append) == page
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == bytes_of


def test_models_that_read_other_words_or_both_ways_stand_apart(tmp_path, monkeypatch):
    study = write(tmp_path)
    folders = {
        "first": finish(ResultFolder(tmp_path / "a"), 54.0),
        "second": finish(ResultFolder(tmp_path / "b"), 55.0),
        "<b>Third</b>": finish(ResultFolder(tmp_path / "c"), 90.0, causal=False),
    }
    tables = tabulate(study, folders, {})
    assert list(tables["models"]["pooled"]) == [True, True, False]
    assert tables["means"].query("number == @KEYS and group == @ALL")["models"].item() == 2
    assert len(tables["numbers"].query("number == @KEYS")) == 3
    assert not tables["numbers"].query("value == 90")["pooled"].any()
    caveat = describe(study, tables, missing=0).caveats[0]
    assert caveat.startswith("<b>Third</b>: it read other words")


def test_a_model_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    def run(options, **_):
        if options.model == "second":
            raise TableError("nothing is left.\nGive more.")
        return finish(options.folder, 54.0)

    monkeypatch.setattr("kvprobes.runner.run", run)
    page = run_study(write(tmp_path), tmp_path / "out", say=lambda _: None)
    assert "second: nothing is left." in page.read_text(encoding="utf-8")
    monkeypatch.setattr(
        "kvprobes.runner.run", lambda *_, **__: (_ for _ in ()).throw(TableError("no"))
    )
    with pytest.raises(TableError, match="No model of the study could be run"):
        run_study(write(tmp_path), tmp_path / "other", say=lambda _: None)


def test_hypotheses_are_tried_on_the_test_split_and_told(tmp_path, stub):
    study = write(tmp_path, split='split = "test"', more=HYPOTHESES)
    run_study(study, tmp_path / "out", say=lambda _: None)
    target = ResultFolder(tmp_path / "out")
    assert list(target.read_tables("study")["hypotheses"]["outcome"]) == [
        "held",
        "failed",
        "undetermined",
    ]
    words = pd.read_csv(stub[0].pairs, sep="\t")
    assert list(words["pair_id"]) == ["p0"]
    changed = write(tmp_path, split='split = "test"', more=HYPOTHESES.replace("50", "49"))
    said = []
    run_study(changed, tmp_path / "out", say=said.append)
    assert "was changed after its first capture" in said[0]
    outcomes = list(target.read_tables("study")["hypotheses"]["outcome"])
    assert outcomes == ["deviated (held)", "deviated (failed)", "deviated (undetermined)"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"more": HYPOTHESES}, 'split = "test"'),
        ({"title": "titel"}, "Did you mean 'title'"),
        ({"family": "famly"}, "Did you mean 'family'"),
        ({'["co_attended"]': '["co_attend"]'}, "Did you mean 'co_attended'"),
        ({'"second"': '"first"'}, "give each its own label"),
        ({'name = "first"': ""}, "without a name"),
        ({"[capture]": "[capture"}, "cannot be read"),
        ({"parameters = 1e6": "parameters = -1"}, "at least 0"),
        ({"[[models]]": "[models.x]"}, "cannot be read|write each as a table"),
        (
            {"split": 'split = "test"', "more": HYPOTHESES.replace("difference", "differ")},
            "Did you mean",
        ),
        (
            {
                "split": 'split = "test"',
                "more": '[[hypotheses]]\nnumber = "swaps.index"',
            },
            "needs the question 'swaps'",
        ),
    ],
)
def test_a_study_that_is_wrong_is_refused_before_anything_runs(tmp_path, changes, told):
    with pytest.raises(UsageError, match=told):
        write(tmp_path, **changes)


@pytest.mark.parametrize("path", sorted((data_folder() / "studies").glob("*.toml")), ids=str)
def test_shipped_studies_are_whole_and_tell_what_they_take(path):
    study = read_study(Path(path.stem))
    assert len(study.models) >= 5
    assert all(model.parameters and model.family and model.training for model in study.models)
    costs = [estimate_cost(study, model) for model in study.models]
    assert all(cost.gigabytes > 0 for cost in costs)
    result = CliRunner().invoke(app, ["study", path.stem, "--plan"])
    assert result.exit_code == 0, result.output
    assert result.output.count("tokens") == len(study.models) + 1


def test_numbers_have_their_place_and_range():
    for number in list_numbers():
        low, high = number.possible
        assert low <= number.nothing <= high
        assert find_number(number.name) == number
    result = CliRunner().invoke(app, ["study", "--numbers"])
    assert KEYS in result.output
    assert CliRunner().invoke(app, ["study", "nothing-such"]).exit_code == 1


def test_real_models_go_through(tmp_path):
    """Two tiny models, from the command to the page."""
    models = [save_tiny_model(tmp_path / name, name) for name in ("llama", "gpt2")]
    text = 'questions = ["divergence"]\n[capture]\npairs = "seed_pairs"\nlimit = 40\n'
    text += 'templates = "2"\n[settings.divergence]\nresamples = 20\n'
    text += "".join(f'[[models]]\nname = "{model}"\nlabel = "{model.name}"\n' for model in models)
    (tmp_path / "tiny.toml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(
        app, ["study", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    tables = ResultFolder(tmp_path / "out").read_tables("study")
    assert set(tables["numbers"]["model"]) == {"llama", "gpt2"}
    own = ResultFolder(tmp_path / "out" / "models" / "llama").read_tables("divergence")["summary"]
    mine = tables["numbers"].query("model == 'llama' and number == 'divergence.similarity'")
    told = own.query(
        "measure == 'representational_similarity' and space == 'functional' and "
        "population == 'word pairs' and condition == 'trained'"
    )
    assert mine["value"].item() == pytest.approx(told["value"].item())
