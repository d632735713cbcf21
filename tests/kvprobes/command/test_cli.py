import hashlib
import inspect
import json
import shutil
import sys
from contextlib import contextmanager

import pandas as pd
import pytest
from typer.testing import CliRunner

from kvprobes.captures import pairs as workflow
from kvprobes.command.cli import app
from probes.cluster import Cluster, InProcess
from probes.linear.properties import label_occurrences
from tests.analyses.treebanks import write_treebank
from tests.tiny import tiny_model

runner = CliRunner()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = tiny_model("llama", n_layers=2)
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def arguments(model_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "tiny"
    return ["--model", str(model_folder), "--out", str(out)], out


@pytest.fixture(scope="module")
def finished(arguments):
    """One whole run that the tests below look at."""
    options, out = arguments
    result = runner.invoke(
        app, ["run", *options, "--pairs", "seed_pairs", "--limit", "40", "--templates", "2"]
    )
    assert result.exit_code == 0, result.output
    return result, out


def hash_results(out):
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_run_leaves_report_tables_figures_and_manifests(finished):
    result, out = finished
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
    again = runner.invoke(
        app, ["run", *options, "--pairs", "seed_pairs", "--limit", "40", "--templates", "2"]
    )
    assert again.exit_code == 0
    assert "Reusing the finished capture" in again.stderr
    assert "Reusing the tables of divergence" in again.stderr
    assert hash_results(out) == before


def test_the_same_inputs_elsewhere_give_the_same_bytes(finished, arguments, tmp_path):
    options, out = arguments
    elsewhere = tmp_path / "tiny"
    result = runner.invoke(
        app,
        [
            "run",
            *options[:2],
            "--out",
            str(elsewhere),
            "--pairs",
            "seed_pairs",
            "--limit",
            "40",
            "--templates",
            "2",
        ],
    )
    assert result.exit_code == 0
    assert hash_results(elsewhere) == hash_results(out)


def test_other_settings_in_the_same_folder_are_refused_and_change_nothing(finished, arguments):
    options, out = arguments
    before = hash_results(out)
    result = runner.invoke(
        app, ["run", *options, "--pairs", "seed_pairs", "--limit", "40", "--templates", "3"]
    )
    assert result.exit_code == 1
    assert "capture of other settings" in result.stderr
    assert "--out" in result.stderr
    assert hash_results(out) == before


def test_words_are_captured_for_an_analysis_that_lacks_them(finished, model_folder, tmp_path):
    options = ["--model", str(model_folder), "--out", str(tmp_path / "tiny")]
    pairs = ["--pairs", "seed_pairs", "--limit", "40", "--templates", "2"]
    assert runner.invoke(app, ["capture", *options, *pairs]).exit_code == 0
    scores = tmp_path / "mine.csv"
    rows = [f"{word},tree,{n % 7}" for n, word in enumerate(["fox", "dog", "cat", "house"] * 9)]
    scores.write_text("\n".join(["word1,word2,score", *rows, "sun,st4r,2"]))
    human = ["--human", str(scores)]
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
    ],
)
def test_a_command_captures_one_thing(given, tmp_path):
    flags = [word for pair in given.items() for word in pair]
    refused = runner.invoke(app, ["capture", "--out", str(tmp_path / "out"), *flags])
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

    monkeypatch.setattr(workflow, "open_cluster", open_cluster)
    return jobs


ON_CLUSTER = ["--scheduler", "dask", "--workers", "3"]


def test_a_run_gives_its_captures_to_the_cluster(
    finished, model_folder, given_out, tmp_path, monkeypatch
):
    for step in ("_analyse_where_possible", "_write_report", "_print_result"):
        monkeypatch.setattr(f"kvprobes.command.cli.{step}", lambda *_: None)  # they are as ever
    out = tmp_path / "tiny"
    shutil.copytree(finished[1], out)
    before = hash_results(out)
    for name in ("capture", "capture-words"):
        (out / name / "shards" / "00000.json").unlink()
    options = ["--model", str(model_folder), "--out", str(out), *ON_CLUSTER]
    pairs = ["--pairs", "seed_pairs", "--limit", "40", "--templates", "2"]
    result = runner.invoke(app, ["run", *options, *pairs])
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
    result = runner.invoke(
        app,
        ["run", *options, "--pairs", "seed_pairs", "--limit", "40", "--templates", "2", "--json"],
    )
    told = json.loads(result.stdout)
    assert told["report"] == str(out / "report.html")
    assert len(told["answer"]) >= 3
    assert {row["condition"] for row in told["summary"]} >= {"trained", "mismatched", "random"}


def test_a_damaged_shard_is_an_error_for_analyse_and_mended_by_capture(finished, arguments):
    options, out = arguments
    shard = out / "capture" / "shards" / "00000.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    result = runner.invoke(app, ["analyse", "divergence", *options])
    assert result.exit_code == 1
    assert "lacks 1 of its" in result.stderr
    mended = runner.invoke(
        app, ["capture", *options, "--pairs", "seed_pairs", "--limit", "40", "--templates", "2"]
    )
    assert mended.exit_code == 0
    assert shard.read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--model", "no-such/model"], "no-such/model"),
        (["run", "--pairs", "nowhere.tsv"], "nowhere.tsv"),
        (["run", "--templates", "t99"], "t99"),
        (["analyse", "everything"], "there is no analysis 'everything'"),
        (["analyse", "divergence", "--out", "nowhere"], "holds no capture"),
        (["report", "--out", "nowhere"], "holds no tables"),
        (["capture", "--scheduler", "dusk"], "there is no scheduler 'dusk'"),
    ],
)
def test_user_errors_exit_1_with_one_clear_message(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_options_exit_2():
    assert runner.invoke(app, ["run", "--batch-size", "0"]).exit_code == 2
    assert runner.invoke(app, ["sing"]).exit_code == 2


def test_ctrl_c_exits_130_and_says_that_nothing_is_lost(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kvprobes.command.cli.capture_step", interrupt)
    result = runner.invoke(app, ["capture"])
    assert result.exit_code == 130
    assert "Nothing is lost" in result.stderr


def test_models_lists_the_default():
    result = runner.invoke(app, ["models", "--json"])
    assert json.loads(result.stdout)[0]["name"] == "smollm2-135m-instruct"


def test_default_folder_is_a_single_name_below_results():
    options = workflow.CaptureOptions(model="org/some model/")
    assert options.folder.path.as_posix() == "results/org--some--model"


def test_doctor_prints_every_check_and_the_geometry(model_folder):
    result = runner.invoke(app, ["doctor", str(model_folder)])
    assert result.exit_code == 0, result.output
    for told in ("W_K x + b_K = k", "HF's own cache", "left-padded", "n_kv_heads 2", "rotary"):
        assert told in result.output
    listed = runner.invoke(app, ["doctor", str(model_folder), "--json"])
    checks = json.loads(listed.stdout)
    assert all(check["passed"] for check in checks)
    assert {check["site"] for check in checks} == {"decoder"}


def test_doctor_exits_with_the_reason(model_folder, monkeypatch):
    # The package's attribute of this name is the function, so the module is asked for by its name.
    monkeypatch.setattr(sys.modules["probes.models.examine"], "TOLERANCE", -1.0)
    result = runner.invoke(app, ["doctor", str(model_folder)])
    assert result.exit_code == 1
    assert "DIFFERS" in result.output
    assert "is refused, because what kvprobes reads is not what the model uses" in result.output


def test_doctor_on_an_architecture_that_is_refused(tmp_path):
    from tests.architectures import build_hf

    build_hf("mpt").save_pretrained(tmp_path)
    tiny_model("gpt2").tokenizer.save_pretrained(tmp_path)
    result = runner.invoke(app, ["doctor", str(tmp_path)])
    assert result.exit_code == 1
    assert "inside its own forward pass" in result.output


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ("templates_zh", ["z00", "z01", "z02", "z03", "z04", "z05"]),
        ("templates_zh:2", ["z00", "z01"]),
        ("templates_zh:z05,z01", ["z05", "z01"]),
        ("t01,t00", ["t01", "t00"]),
        ("2", ["t00", "t01"]),
    ],
)
def test_templates_by_table_number_and_id(source, ids):
    assert workflow._load_templates(source)["template_id"].tolist() == ids


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
    assert "Reusing the finished capture" in runner.invoke(app, command).stderr
