"""The commands as a user types them: what they leave, print, refuse and exit with."""

from __future__ import annotations

import inspect
import json
import re
import runpy
import shutil
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from analyses import list_questions
from analyses.shared.settings import list_settings
from kvprobes.captures.options import CaptureOptions
from kvprobes.command.cli import app
from probes.cluster import Cluster, InProcess
from probes.linear.properties import label_occurrences
from tests.analyses.treebanks import write_treebank
from tests.kvprobes.runs import PAIRS, RUN, hash_results, save_tiny_model
from tests.tiny import tiny_model

runner = CliRunner()
NAMES = ", ".join(list_questions())


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def arguments(model_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "tiny"
    return ["--model", str(model_folder), "--out", str(out)], out


@pytest.fixture(scope="module")
def finished(arguments):
    """One whole run that the tests below look at."""
    options, out = arguments
    with counting_loads() as loaded:
        result = runner.invoke(app, ["run", *options, *RUN])
    assert result.exit_code == 0, result.output
    return result, out, loaded


@contextmanager
def counting_loads():
    """List the models that are loaded, by whichever name the function goes."""
    loaded = []
    real = sys.modules["probes.models.load"].load_model

    def load(name, **options):
        loaded.append(name)
        return real(name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probes.models.load.load_model", load)
        patch.setattr("probes.capture.worker.load_model", load)
        yield loaded


def test_run_leaves_report_tables_figures_and_manifests(finished):
    result, out, _ = finished
    assert "Report:" in result.stdout
    names = {str(path.relative_to(out)) for path in out.rglob("*")}
    assert {
        "report.html",
        "capture/manifest.json",
        "tables/divergence.manifest.json",
        "tables/divergence.pair_heads.parquet",
        "tables/divergence.summary.csv",
        "tables/attention_example.summary.parquet",
        "figures/divergence.headline.pdf",
        "figures/divergence.headline.png",
        "figures/attention_example.similarity.pdf",
        "capture-words/manifest.json",
        "tables/relations.ranking.csv",
        "tables/meaning.summary.parquet",
        "figures/relations.relations.pdf",
        "figures/meaning.meaning_heads.png",
    } <= names


def test_a_second_run_reuses_everything_and_gives_the_same_bytes(finished, arguments):
    options, out = arguments
    before = hash_results(out)
    again = runner.invoke(app, ["run", *options, *RUN])
    assert again.exit_code == 0
    assert "Reusing the finished capture" in again.stderr
    assert "Reusing the tables of divergence" in again.stderr
    assert hash_results(out) == before


def test_the_same_inputs_elsewhere_give_the_same_bytes(finished, arguments, tmp_path):
    options, out = arguments
    elsewhere = tmp_path / "tiny"
    result = runner.invoke(app, ["run", *options[:2], "--out", str(elsewhere), *RUN])
    assert result.exit_code == 0
    assert hash_results(elsewhere) == hash_results(out)


def test_other_settings_in_the_same_folder_are_refused_and_change_nothing(finished, arguments):
    options, out = arguments
    before = hash_results(out)
    result = runner.invoke(app, ["run", *options, *RUN, "--templates", "3"])
    assert result.exit_code == 1
    assert "capture of other settings" in result.stderr
    assert "--out" in result.stderr
    assert hash_results(out) == before


def test_words_are_captured_for_an_analysis_that_lacks_them(finished, model_folder, tmp_path):
    options = ["--model", str(model_folder), "--out", str(tmp_path / "tiny")]
    assert runner.invoke(app, ["capture", *options, *PAIRS]).exit_code == 0
    scores = tmp_path / "mine.csv"
    rows = [f"{word},tree,{n % 7}" for n, word in enumerate(["fox", "dog", "cat", "house"] * 9)]
    scores.write_text("\n".join(["word1,word2,score", *rows, "sun,st4r,2"]))
    human = ["--human", str(scores), "--resamples", "30"]
    refused = runner.invoke(app, ["analyse", "meaning", "--out", options[3], *human])
    assert refused.exit_code == 1
    assert "'st4r' holds '4'" in refused.stderr
    # The words themselves come from the finished run, to save the time of all relations.
    shutil.copytree(
        finished[1] / "capture-words", tmp_path / "tiny" / "capture-words", dirs_exist_ok=True
    )
    scores.write_text("\n".join(["word1,word2,score", *rows]))
    result = runner.invoke(app, ["analyse", "meaning", "--out", options[3], *human])
    assert result.exit_code == 0, result.output
    assert "Reusing the finished capture in" in result.stderr
    assert (tmp_path / "tiny" / "capture-human-mine" / "manifest.json").exists()


def test_a_treebank_is_captured_and_probed_on_its_own_split(model_folder, tmp_path, monkeypatch):
    # The tiny tokenizer knows fewer words than a class needs.
    defaults = inspect.unwrap(label_occurrences).__kwdefaults__
    monkeypatch.setitem(defaults, "min_words", 1)
    options = ["--model", str(model_folder), "--out", str(tmp_path / "out")]
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = runner.invoke(app, ["capture", *options, "--treebank", str(empty)])
    assert refused.exit_code == 1
    assert "train.conllu" in refused.stderr
    treebank = tmp_path / "treebank"
    treebank.mkdir()
    write_treebank(treebank)
    result = runner.invoke(app, ["capture", *options, "--treebank", str(treebank)])
    assert result.exit_code == 0, result.output
    result = runner.invoke(app, ["analyse", "probing", *options])
    assert result.exit_code == 0, result.output
    properties = pd.read_parquet(tmp_path / "out" / "tables" / "probing.properties.parquet")
    found = properties.set_index("property").loc["part of speech in the sentence"]
    assert found["split_by"] == "train, dev, test"
    assert (found["n_rows"], found["n_tested"], found["folds"]) == (110 * 6, 30 * 6, 1)


@pytest.mark.parametrize(
    "given",
    [
        {"--text": "a.txt", "--treebank": "b"},
        {"--text": "a.txt", "--pairs": "seed_pairs"},
        {"--treebank": "b", "--templates": "2"},
        {"--sentences": "c.tsv", "--pairs": "seed_pairs"},
        {"--treebank": "b", "--sentences": "c.tsv"},
    ],
)
def test_a_command_captures_one_thing(given, tmp_path):
    flags = [word for pair in given.items() for word in pair]
    name = "capture" if "--text" in given else "run"
    refused = runner.invoke(app, [name, "--out", str(tmp_path / "out"), *flags])
    assert refused.exit_code == 1
    message = " ".join(refused.stderr.split())
    assert " and ".join(f"{name} {value}" for name, value in given.items()) in message
    assert "Run it once for each" in message
    assert not (tmp_path / "out").exists()


@pytest.fixture
def given_out(monkeypatch):
    """List the jobs that a cluster is given, as (kind of capture, shard); it works in process."""
    jobs = []

    class Noting(InProcess):
        def submit(self, function, /, *args, **options):
            jobs.extend((job.folder.name, job.shard) for job in args[1])
            return super().submit(function, *args, **options)

    @contextmanager
    def open_cluster(scheduler, *, workers, logs):
        assert (scheduler, workers, logs.name) == ("dask", 3, "logs")
        yield Cluster(Noting(), is_here=True)

    monkeypatch.setattr("probes.cluster.open_cluster", open_cluster)
    return jobs


ON_CLUSTER = ["--scheduler", "dask", "--workers", "3"]


def test_a_run_gives_its_captures_to_the_cluster(
    finished, model_folder, given_out, tmp_path, monkeypatch
):
    monkeypatch.setattr("kvprobes.runner.answer", lambda *_, **__: None)  # answers are as always
    out = tmp_path / "tiny"
    shutil.copytree(finished[1], out)
    before = hash_results(out)
    for name in ("capture", "capture-words"):
        (out / name / "shards" / "00000.json").unlink()
    options = ["--model", str(model_folder), "--out", str(out), *ON_CLUSTER]
    result = runner.invoke(app, ["run", *options, *RUN])
    assert result.exit_code == 0, result.output
    assert given_out == [("capture", 0), ("capture-words", 0)]
    assert hash_results(out) == before


def test_a_treebank_is_given_to_the_cluster(model_folder, given_out, tmp_path):
    write_treebank(tmp_path)
    options = ["--model", str(model_folder), "--out", str(tmp_path / "out"), *ON_CLUSTER]
    result = runner.invoke(app, ["capture", *options, "--treebank", str(tmp_path)])
    assert result.exit_code == 0, result.output
    n_shards = len(list(tmp_path.glob("out/capture/shards/*.json")))
    assert given_out == [("capture", shard) for shard in range(n_shards)]


def test_json_output_is_the_result_and_nothing_else(finished, arguments):
    options, out = arguments
    told = json.loads(runner.invoke(app, ["run", *options, *RUN, "--json"]).stdout)
    assert told["report"] == str(out / "report.html")
    headline = told["answers"]["divergence"]
    assert headline["asks"] == list_questions()["divergence"].asks
    assert len(headline["answer"]) >= 3
    conditions = {row["condition"] for row in headline["summary"]}
    assert conditions >= {"trained", "mismatched_heads", "random_heads"}
    assert told["absent"]["cross_attention"] == "It needs an encoder-decoder."


def test_the_model_is_loaded_once_for_all_captures_and_questions(finished, model_folder):
    _, out, loaded = finished
    assert loaded == [str(model_folder)]
    captures = {path.name for path in out.glob("capture*")}
    assert captures >= {"capture", "capture-untrained", "capture-words"}


def read_text(path: Path) -> str:
    """Return all text in a file of whatever kind."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return f"{table.schema.metadata} {table.to_pydict()}"
    content = path.read_bytes()
    if path.suffix == ".pdf":
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
        content += b"".join(zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    return content.decode("utf-8", errors="replace")


def test_no_result_says_where_it_was_made(finished, model_folder):
    """What is shown to others names the model, and no folder of the machine."""
    out = finished[1]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {".parquet", ".csv", ".pdf", ".png", ".html"} <= {path.suffix for path in files}
    texts = {path.name: read_text(path) for path in files}
    assert model_folder.name in texts["report.html"]
    private = (str(model_folder.parent), str(out), str(Path.home()), str(Path.cwd()))
    assert [name for name, text in texts.items() if any(part in text for part in private)] == []


def test_settings_come_from_words_and_from_a_file(finished, model_folder, tmp_path):
    out = tmp_path / "tiny"
    shutil.copytree(finished[1], out)
    file = tmp_path / "settings.toml"
    file.write_text("[premise]\nresamples = 21\nattended = 0.3\n[probing]\nseed = 1\n")
    options = ["--model", str(model_folder), "--out", str(out), "--settings", str(file)]
    more = ["--set", "premise.resamples=22", "--set", "divergence.resamples=31"]
    result = runner.invoke(app, ["run", *options, *RUN, *more])
    assert result.exit_code == 0, result.output
    assert "Computing: premise" in result.stderr
    assert "Computing: divergence" in result.stderr
    assert "Reusing the tables of nulls" in result.stderr
    assert "does not ask probing" in result.stderr
    asked = {"resamples": 22, "attended": 0.3, "seed": 0}
    assert read_manifest(out, "premise")["inputs"]["settings"] == asked
    assert read_manifest(out, "divergence")["inputs"]["settings"]["resamples"] == 31
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<tr class="asked"><td>resamples</td><td>22</td><td>300</td>' in page
    result = runner.invoke(app, ["analyse", "premise", *options, "--resamples", "23"])
    assert result.exit_code == 0, result.output
    asked["resamples"] = 23
    assert read_manifest(out, "premise")["inputs"]["settings"] == asked
    assert str(out / "figures" / "premise.lift.png") in result.stdout
    result = runner.invoke(app, ["analyse", "premise", *options, "--resamples", "23", "--json"])
    assert json.loads(result.stdout)["inputs"]["settings"] == asked


def read_manifest(out, question):
    return json.loads((out / "tables" / f"{question}.manifest.json").read_text(encoding="utf-8"))


def test_tables_of_an_older_version_are_told_and_computed_again(
    finished, model_folder, tmp_path, monkeypatch
):
    out = tmp_path / "tiny"
    shutil.copytree(finished[1], out)
    for path in out.glob("tables/*.manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        del manifest["format"]  # before there was one
        path.write_text(json.dumps(manifest), encoding="utf-8")
    options = ["--model", str(model_folder), "--out", str(out)]
    refused = runner.invoke(app, ["report", *options])
    assert refused.exit_code == 1
    assert "were written by another version" in refused.stderr
    assert "`kvprobes run`: they are computed again, and captures are reused" in refused.stderr
    result = runner.invoke(app, ["analyse", "premise", *options])
    assert result.exit_code == 0, result.output
    assert "The tables of premise were written by another version" in result.stderr
    told = json.loads(runner.invoke(app, ["report", *options, "--json"]).stdout)
    assert list(told["answers"]) == ["premise"]
    assert "another version" in told["absent"]["divergence"]
    assert "`kvprobes analyse divergence`" in told["absent"]["divergence"]
    monkeypatch.setattr("analyses.NAMES", ("premise", "attention_example"))  # to save time
    again = runner.invoke(app, ["run", *options, *PAIRS])
    assert again.exit_code == 0, again.output
    assert "Reusing the tables of premise" in again.stderr
    assert "The tables of attention_example were written by another version" in again.stderr
    assert again.stderr.count("Reusing the finished capture") == 1  # only what these two read
    for name in ("premise", "attention_example"):
        assert read_manifest(out, name) == read_manifest(finished[1], name)


def test_questions_fit_a_terminal_and_are_all_there(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    told = runner.invoke(app, ["questions"]).stdout
    assert max(map(len, told.splitlines())) <= 100
    for name in list_questions():
        assert name in told
    listed = json.loads(runner.invoke(app, ["questions", "--json"]).stdout)
    assert [row["name"] for row in listed] == list(list_questions())
    premise = next(row for row in listed if row["name"] == "premise")
    assert premise["needs"] == ["a capture of word pairs"]
    assert premise["in_run"] is True
    assert premise["settings"]["resamples"]["default"] == 300


@pytest.mark.parametrize("name", list_questions())
def test_every_question_has_a_command_and_is_a_script(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    question = list_questions()[name]
    told = runner.invoke(app, ["analyse", name, "--help"])
    assert told.exit_code == 0, told.output
    assert question.asks.split()[0] in told.stdout
    for own in list_settings(question.settings).values():
        assert told.stdout.count(f" {own.option} ") == 1, own.name
    monkeypatch.setattr(sys, "argv", ["script", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"analyses.{name}", run_name="__main__")
    assert end.value.code == 0


def test_a_damaged_shard_is_an_error_for_analyse_and_mended_by_capture(finished, arguments):
    options, out = arguments
    shard = out / "capture" / "shards" / "00000.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    result = runner.invoke(app, ["analyse", "divergence", *options])
    assert result.exit_code == 1
    assert "lacks 1 of its" in result.stderr
    mended = runner.invoke(app, ["capture", *options, *PAIRS])
    assert mended.exit_code == 0
    assert shard.read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--model", "no-such/model"], "no-such/model"),
        (["run", "--pairs", "nowhere.tsv"], "nowhere.tsv"),
        (["run", "--templates", "t99"], "t99"),
        (["analyse", "divergenc"], f"Did you mean 'divergence'? There are: {NAMES}"),
        (["analyse", "divergence", "--out", "nowhere"], "holds no capture"),
        (["analyse", "divergence", "--resample", "5"], "Did you mean '--resamples'? There are:"),
        (["analyse", "divergence", "--resamples", "5x"], "divergence.resamples cannot be '5x'"),
        (
            ["analyse", "probing", "--probe", "logistik"],
            "Did you mean 'logistic'?",
        ),
        (["substitute", "--preset", "ful"], "Did you mean 'full'?"),
        (["run", "--set", "divergens.bins=9"], "Did you mean 'divergence'? There are:"),
        (["run", "--set", "divergence.bin=9"], "Did you mean 'bins'? There are:"),
        (["run", "--set", "divergence.bins=0"], "give at least"),
        (["run", "--set", "bins"], "QUESTION.SETTING=VALUE"),
        (["run", "--settings", "nowhere.toml"], "the settings in nowhere.toml cannot be read"),
        (["analyse", "nulls", "--settings", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["report", "--out", "nowhere"], "holds no tables"),
        (["compare", "nowhere"], "holds no tables"),
        (["capture", "--scheduler", "dusk"], "there is no scheduler 'dusk'"),
    ],
)
def test_user_errors_exit_1_with_one_clear_message(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1, result.output
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_options_exit_2():
    assert runner.invoke(app, ["run", "--batch-size", "0"]).exit_code == 2
    assert runner.invoke(app, ["sing"]).exit_code == 2
    assert runner.invoke(app, ["analyse", "--loud"]).exit_code == 2


def test_ctrl_c_exits_130_and_says_that_nothing_is_lost(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kvprobes.captures.pairs.capture_pairs", interrupt)
    result = runner.invoke(app, ["capture"])
    assert result.exit_code == 130
    assert "Nothing is lost" in result.stderr


def test_models_lists_the_default():
    result = runner.invoke(app, ["models", "--json"])
    assert json.loads(result.stdout)[0]["name"] == "smollm2-135m-instruct"


def test_default_folder_is_a_single_name_below_results():
    options = CaptureOptions(model="org/some model/")
    assert options.folder.path.as_posix() == "results/org--some--model"


def test_doctor_prints_every_check_and_the_geometry(model_folder):
    result = runner.invoke(app, ["doctor", str(model_folder)])
    assert result.exit_code == 0, result.output
    for told in ("W_K x + b_K = k", "HF's own cache", "left-padded", "n_kv_heads 2", "rotary"):
        assert told in result.output
    listed = runner.invoke(app, ["doctor", str(model_folder), "--json"])
    checks = json.loads(listed.stdout)
    assert all(check["passed"] for check in checks)
    parts = [check["part"] for check in checks]
    assert list(dict.fromkeys(parts)) == ["tokenizer", "checkpoint", "attention"]
    assert {check["site"] for check in checks if check["part"] == "attention"} == {"decoder"}
    order = [result.output.index(f"\n{part}\n") for part in ("checkpoint", "attention")]
    assert order == sorted(order)
    assert "ok    a known text comes back" in result.output


def test_doctor_exits_with_the_reason(model_folder, monkeypatch):
    # The package's attribute of this name is the function, so the module is asked for by its name.
    for name in ("TOLERANCE", "ROUNDING"):
        monkeypatch.setattr(sys.modules["probes.models.compare"], name, -1.0)
    result = runner.invoke(app, ["doctor", str(model_folder)])
    assert result.exit_code == 1
    assert "DIFFERS" in result.output
    assert "is refused, because what kvprobes reads is not what the model uses" in result.output


def test_doctor_on_an_architecture_that_is_refused(tmp_path):
    from tests.architectures import build_hf

    build_hf("bitnet").save_pretrained(tmp_path)
    tiny_model("gpt2").tokenizer.save_pretrained(tmp_path)
    result = runner.invoke(app, ["doctor", str(tmp_path)])
    assert result.exit_code == 1
    assert "a norm is between its heads and W_O" in result.output


def test_a_model_is_loaded_as_told_and_later_as_it_was_captured(
    model_folder, tmp_path, monkeypatch
):
    asked = []
    real = sys.modules["probes.models.load"].load_model
    monkeypatch.setattr(
        "probes.models.load.load_model",
        lambda name, **how: [asked.append(how), real(name, **how)][1],
    )
    out = ["--model", str(model_folder), "--out", str(tmp_path / "out")]
    how = ["--dtype", "bfloat16", "--attn", "eager"]
    command = ["capture", *out, *PAIRS, *how, "--json"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["identity"]["compute_dtype"] == "bfloat16"
    assert asked[-1] == {"device": "cpu", "dtype": torch.bfloat16, "attn": "eager"}
    result = runner.invoke(app, ["analyse", "weights", *out])
    assert result.exit_code == 0, result.output
    assert asked[-1] == {"device": "cpu", "dtype": torch.bfloat16}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--revision", "v2"], "revision='v2' was given, but"),
        (["--dtype", "int8"], "dtype must be one of float32, bfloat16, float16, not 'int8'"),
        (["--attn", "flash"], "attn must be one of sdpa, eager, not 'flash'"),
        (["--device-map", "{0"], "is not JSON"),
        (["--device-map", "nowhere"], "Give a --device-map"),
    ],
)
def test_ways_to_load_that_there_are_not(options, told, model_folder):
    result = runner.invoke(app, ["doctor", str(model_folder), *options])
    assert result.exit_code == 1
    assert told in result.stderr


def test_capture_of_running_text(model_folder, tmp_path):
    (tmp_path / "texts").mkdir()
    line = json.dumps({"body": "The dog saw a black fox and the cat ran. " * 20})
    (tmp_path / "texts" / "a.jsonl").write_text(f"{line}\n" * 4)
    options = ["--model", str(model_folder), "--out", str(tmp_path / "out"), "--window", "32"]
    command = ["capture", *options, "--text", str(tmp_path / "texts"), "--rows", "30"]
    result = runner.invoke(app, command)
    assert result.exit_code == 1
    assert "Name another column with --column" in result.stderr
    command += ["--column", "body", "--shard-bytes", "1000", "--without-x", "--json"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.output
    manifest = json.loads(result.stdout)
    assert manifest["folder"] == str(tmp_path / "out" / "capture-text")
    assert manifest["identity"]["x"] is False
    assert manifest["identity"]["window"] == 32
    assert manifest["n_shards"] == 3
    assert "tokens in 3 shards" in result.stderr
    few = "makes 3 shards of 1,000 bytes or more, and `kvprobes analyse running_text` needs 4"
    assert 0 <= result.stderr.find(few) < result.stderr.index("Loading")
    assert "Reusing the finished capture" in runner.invoke(app, command).stderr
