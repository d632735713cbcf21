"""Commands that compute nothing: figures, describe, cache, --version, and -h of the scripts."""

import json
import subprocess
import sys
from importlib.metadata import version

from typer.main import get_command
from typer.testing import CliRunner

import kvprobes as kv
from kvprobes.command.cli import app
from tests.tiny import tiny_model


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.output


def test_version():
    assert call("--version").strip() == version("kvprobes")


def list_commands(group, name="kvprobes"):
    """Yield every command that can be called, with the options that it takes."""
    for word in group.list_commands(None):
        command = group.get_command(None, word)
        if hasattr(command, "list_commands"):
            yield from list_commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", {option for own in command.params for option in own.opts}


def test_every_command_can_be_quiet_or_verbose():
    commands = dict(list_commands(get_command(app)))
    assert {"kvprobes run", "kvprobes cache", "kvprobes analyse premise"} <= set(commands)
    for options in commands.values():
        assert {"--quiet", "--verbose"} <= options


def test_quiet_prints_results_alone_and_verbose_more(tmp_path):
    kv.answer("weights", kv.Session(tmp_path, model=tiny_model("llama")), draw=False)
    words = ["report", "--out", str(tmp_path)]
    runner, told = CliRunner(), {}
    for how in ("--quiet", "--verbose"):
        told[how] = runner.invoke(app, ["analyse", "premise", "--out", str(tmp_path / how), how])
        assert told[how].exit_code == 1
        assert "Error: " in told[how].stderr
    assert "Traceback" in told["--verbose"].stderr
    assert "Traceback" not in told["--quiet"].stderr
    quiet = runner.invoke(app, [*words, "--quiet"])
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert "report.html" in quiet.stdout


def test_figures_are_drawn_again(tmp_path):
    kv.answer("weights", kv.Session(tmp_path, model=tiny_model("llama")), draw=False)
    kv.redraw([tmp_path])
    words = ("--width", "icml-column", "--only", "weights.angles", "--format", "svg")
    told = call("figures", str(tmp_path), *words)
    assert told.split() == [str(tmp_path / "figures-icml-column" / "weights.angles.svg")]
    assert "NAME=TEXT" in call("figures", str(tmp_path), "--label", "gpt2", code=1)


def test_describe_tells_columns():
    told = json.loads(call("describe", "divergence.heads", "--json"))["divergence.heads"]
    assert {"column": "layer", "unit": "from 0", "meaning": "Layer of the model."} in told
    assert "kv_head" in call("describe", "weights")
    assert "Did you mean 'weights'" in call("describe", "weight", code=1)


def test_cache_is_measured_and_emptied(tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROBES_CACHE", str(tmp_path))
    for room in ("models", "archives"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "file").write_bytes(bytes(2_000_000))
    assert "models: 2.0 MB" in call("cache")
    call("cache", "--remove", "archives")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert "no part of the cache" in call("cache", "--remove", "archives", code=1)
    call("cache", "--remove", "all")
    assert list(tmp_path.iterdir()) == []


def test_a_script_takes_a_short_help():
    run = subprocess.run(
        [sys.executable, "-m", "analyses.weights", "-h"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: python -m analyses.weights" in run.stdout


def test_a_model_tells_itself_in_a_line():
    assert repr(tiny_model("llama")) == (
        "Model('tiny-llama-0', decoder: 2 layers of 2 kv heads, cpu)"
    )
