"""The verbs of a notebook: capture, run, open, and what they give back."""

import matplotlib.figure
import pandas as pd
import pytest

import kvprobes as kv
from probes.errors import StoreError, UsageError
from tests.kvprobes.runs import FEWER, save_tiny_model
from tests.tiny import tiny_model

SETTINGS: dict[str, dict[str, int]] = {}
for name, value in FEWER.items():
    question, _, setting = name.partition(".")
    SETTINGS.setdefault(question, {})[setting] = value


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    said: list[str] = []
    options = {"pairs": "seed_pairs", "limit": 40, "templates": "2", "say": said.append}
    return kv.run(tiny_model("llama"), out, settings=SETTINGS, **options)


def test_a_run_of_a_model_in_memory_gives_tables_figures_verdict_and_report(results):
    assert "divergence" in results.questions
    table = results.tables["divergence.summary"]
    assert isinstance(table, pd.DataFrame)
    assert len(results.tables) == len(list(results.tables)) > 10
    assert isinstance(results.figures["co_attended.answers"], matplotlib.figure.Figure)
    assert set(results.verdict["verdict"]) <= {"yes", "no", "undetermined"}
    assert results.report.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert results.store.manifest["model"] == "tiny-llama-0"


def test_a_finished_folder_is_opened_without_a_model(results):
    opened = kv.open(results.folder.path)
    assert opened.verdict.equals(results.verdict)
    assert repr(opened).startswith("Results('")
    assert "<table>" in opened._repr_html_()
    with pytest.raises(UsageError, match=r"no table in this folder 'divergence.heads_'. Did you"):
        opened.tables["divergence.heads_"]
    with pytest.raises(UsageError, match=r"no figure in this folder"):
        opened.figures["divergence"]


def test_a_folder_without_answers_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"holds no answers. Give the folder of a finished"):
        kv.open(tmp_path)


def test_capture_takes_a_folder_of_a_model_and_refuses_an_unknown_option(tmp_path):
    model = save_tiny_model(tmp_path / "model")
    options = {"pairs": "seed_pairs", "limit": 20, "templates": "1"}
    store = kv.capture(model, tmp_path / "out", say=lambda _: None, **options)
    assert store.missing_shards() == []
    with pytest.raises(UsageError, match=r"no option 'limits'. Did you mean 'limit'"):
        kv.capture(model, tmp_path / "out", limits=20)
