"""One pair looked up, in a capture that holds it and by a capture of its own."""

from __future__ import annotations

import json
from functools import partial

import pytest
from typer.testing import CliRunner

from analyses.attention_example import QUESTION, ExampleSettings
from analyses.shared.given import Given
from kvprobes.command.cli import app
from kvprobes.look_up import look_up_contexts
from kvprobes.results import ResultFolder
from probes.capture.store import open_store
from probes.words.pairs import load_pairs
from tests.kvprobes.runs import make_options, save_tiny_model

runner = CliRunner()


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    out = tmp_path_factory.mktemp("results") / "tiny"
    common = ["--model", str(folder), "--templates", "1", "--out", str(out)]
    captured = runner.invoke(app, ["capture", *common, "--pairs", "seed_pairs"])
    assert captured.exit_code == 0, captured.output
    return common, out


def test_a_captured_pair_is_ranked_among_the_captured_pairs(options):
    common, out = options
    result = runner.invoke(app, ["pair", "network", "neural", "social", *common])
    assert result.exit_code == 0, result.output
    assert "does not hold this pair" not in result.output
    assert "neural / social before network" in result.output
    place = out / "lookups" / "network-neural-social"
    assert not (place / "capture").exists()
    assert str(place / "figures" / "attention_example.similarity.png") in result.output
    told = json.loads(
        runner.invoke(app, ["pair", "network", "neural", "social", *common, "--json"]).stdout
    )["two_queries"]
    store = open_store(out / "capture")
    similarity = QUESTION.compute(Given(store=store), ExampleSettings())["similarity"]
    expected = similarity.query("space == 'functional' and population == 'word pairs'")
    assert [row["value_percentile"] for row in told] == pytest.approx(
        expected["value_percentile"].tolist()
    )
    assert len(told) == 2 * 2  # layers, kv heads


def test_another_pair_is_captured_once_beside_a_reference(options, monkeypatch):
    monkeypatch.setattr("kvprobes.look_up.REFERENCE", 60)
    common, out = options
    before = {path: path.read_bytes() for path in (out / "capture").rglob("*") if path.is_file()}
    asked = ["pair", "house", "black", "quick", *common]
    first = runner.invoke(app, asked)
    assert first.exit_code == 0, first.output
    assert "does not hold this pair" in first.output
    assert "Capturing into" in first.output
    store = open_store(out / "lookups" / "house-black-quick" / "capture")
    assert len(store.table("pairs")) == 61
    second = runner.invoke(app, asked)
    assert "Reusing the finished capture" in second.output
    assert before == {path: path.read_bytes() for path in before}


def test_the_reference_holds_the_pair_once(options, tmp_path, monkeypatch):
    monkeypatch.setattr("kvprobes.look_up.REFERENCE", 60)
    common, _ = options
    asked = ["pair", "network", "social", "neural", *common[:-1], str(tmp_path)]
    result = runner.invoke(app, asked)
    assert result.exit_code == 0, result.output
    pairs = open_store(tmp_path / "lookups" / "network-social-neural" / "capture").table("pairs")
    found = pairs[pairs["head"] == "network"]
    assert (found[["m1", "m2"]].to_numpy() == ["social", "neural"]).all(axis=1).sum() == 1
    assert len(pairs) == 60  # the founding pair is always in the reference


def test_one_word_twice_is_refused(options):
    common, _ = options
    result = runner.invoke(app, ["pair", "network", "neural", "neural", *common])
    assert result.exit_code == 1
    assert "with itself" in result.stderr


def test_a_pair_without_contexts_is_told_what_to_run(options, monkeypatch):
    from probes.words import coordination, coordination_pairs

    common, out = options
    choose, load = coordination_pairs.choose_coordinations, coordination.load_coordinations
    monkeypatch.setattr(coordination_pairs, "choose_coordinations", partial(choose, count=3))
    monkeypatch.setattr(coordination, "load_coordinations", partial(load, count=2))
    monkeypatch.setattr("kvprobes.look_up.load_pairs", lambda name: load_pairs(name).head(12))
    monkeypatch.setattr(ResultFolder, "write_figures", lambda *_: None)
    asked = ["pair", "network", "neural", "social", *common]
    told = runner.invoke(app, asked).stdout
    assert "has no capture of sentences in which one word attends to two" in told
    assert "`kvprobes pair network neural social --contexts`" in told
    captured = runner.invoke(app, [*asked, "--contexts", "--json"])
    assert captured.exit_code == 0, captured.output
    found = json.loads(captured.stdout)
    assert found["one_query_reason"] == ""
    names = {row["name"] for row in found["one_query_answers"]}
    assert names == {"keys alike", "values less alike", "values dissimilar"}
    assert len(found["one_query_heads"]) == 3 * 2 * 4  # measures, layers, query heads
    # All seed pairs are captured at once, so the next one is there.
    seeds = out / "lookups" / "seed_pairs" / "capture-coordination"
    before = (seeds / "manifest.json").read_bytes()
    other = runner.invoke(app, ["pair", "cake", "wedding", "birthday", *common, "--contexts"])
    assert other.exit_code == 0, other.output
    assert "Reusing the finished capture" in other.stderr
    assert "Are their values less alike than their keys?" in " ".join(other.stdout.split())
    assert (seeds / "manifest.json").read_bytes() == before
    # The folder's own capture of contexts comes first, if it holds the pair.
    seeds.rename(out / "capture-coordination")
    own = make_options(common[1], out)
    tables, reason = look_up_contexts(
        own, "network", "neural", "social", capture=False, say=lambda _: None
    )
    assert reason == ""
    assert len(tables["heads"]) == 3 * 2 * 4
    tables, reason = look_up_contexts(
        own, "network", "neural", "railway", capture=False, say=lambda _: None
    )
    assert "capture-coordination does not hold neural and railway before network. Run" in reason
    assert tables["heads"].empty
