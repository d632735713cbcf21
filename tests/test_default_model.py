"""End to end on the real default model: a small run of what `make run` does."""

import pytest
from typer.testing import CliRunner

from kvprobes.command.cli import app
from kvprobes.results import ResultFolder
from probes.models import load_model

FEWER = {
    "co_attended.documents": 2,
    "co_attended.length": 64,
    "swaps.limit": 25,
    "swaps.templates": 1,
}


@pytest.mark.default_model
def test_run_on_the_real_model(tmp_path):
    """The first answer, and another question on the same capture; tiny models answer the rest."""
    out = tmp_path / "smollm2"
    fewer = [word for name, value in FEWER.items() for word in ("--set", f"{name}={value}")]
    options = ["--out", str(out), "--limit", "25", "--templates", "1"]
    result = CliRunner().invoke(app, ["run", "--quick", *options, *fewer])
    assert result.exit_code == 0, result.output
    assert (out / "report.html").stat().st_size > 100_000
    asked = ["analyse", "divergence", "--resamples", "50", "--out", str(out)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    places = ["population", "space", "measure", "condition"]
    summary = ResultFolder(out).read_tables("divergence")["summary"].set_index(places)["value"]
    # What made the question worth asking: raw keys look alike because of one common vector.
    assert summary["random pairs", "raw", "mean_key_cosine", "trained"] > 0.8
    assert abs(summary["random pairs", "centred", "mean_key_cosine", "trained"]) < 0.05
    tied = summary["occurrences", "functional", "tieability", "trained"]
    assert 0 < tied < 1


@pytest.mark.default_model
def test_the_model_knows_the_capital_of_france():
    """The weights came through download, dequantisation and conversion as a working model."""
    model = load_model()
    ids = model.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    answer = model.hf.generate(
        ids, do_sample=False, max_new_tokens=3, pad_token_id=model.tokenizer.pad_token_id
    )
    assert "Paris" in model.tokenizer.decode(answer[0])
