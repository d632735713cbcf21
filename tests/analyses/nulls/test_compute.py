"""Every measure beside every null, on a tiny model whose figures can be had by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from analyses.nulls.compute import compute as nulls
from kvprobes.captures import untrained
from analyses.nulls.compute import NullSettings, compute, describe, describe_inputs, draw
from analyses.nulls.compute.layers import compare_over_layers
from analyses.nulls.compute.strata import match_words
from kvprobes.captures.pairs import CaptureOptions
from probes.capture import CaptureSettings, capture, locate_pairs, plan_capture
from probes.models import untrain
from probes.similarity.null_sides import Captured
from probes.similarity.spaces import read_metrics
from probes.similarity.word_pairs import WordPairs
from probes.words import load_pairs, load_templates
from tests.tiny import tiny_model

SETTINGS = NullSettings(permutations=60, draws=2, neighbour_words=40)


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    model = tiny_model("llama", seed=2)
    pairs, templates = load_pairs("seed_pairs"), load_templates(count=2)
    plan = plan_capture(model.tokenizer, pairs, templates)
    settings = CaptureSettings(dtype="float32")
    store = capture(model, plan, folder / "capture", settings=settings)
    capture(untrain(model), plan, folder / untrained.FOLDER, settings=settings)
    return store, pairs


@pytest.fixture(scope="module")
def tables(captured):
    return compute(*captured, settings=SETTINGS)


def test_every_null_stands_beside_every_measure(tables):
    summary = tables["summary"]
    counts = summary.groupby("null")["measure"].nunique()
    shuffled = counts[list(nulls.SHUFFLES)]
    assert (shuffled == 4).all()
    others = counts.drop(list(nulls.SHUFFLES))
    assert set(others.index) == {
        *("mismatched heads", "mismatched layers", "untrained model"),
        *("gaussian heads", "haar heads", "spectrum heads"),
    }
    assert (others == 10).all()
    assert summary["p"].between(0, 1).all()
    assert (summary["p_bh"] >= summary["p"] - 1e-12).all()
    # The same trained mean, whichever way it was come by.
    for _, values in summary.groupby("measure")["value"]:
        assert values.max() - values.min() < 1e-3


def test_heads_hold_the_means_of_their_own_layer(tables):
    heads = tables["heads"]
    own = heads.query("null == 'mismatched heads' and measure == 'tieability' and layer == 1")
    # Two kv heads: the two mismatched ones are both heads' null.
    assert own["null_mean"].iloc[0] == own["null_mean"].iloc[1]
    assert own["p"].isna().all()
    shuffled = heads.query("null == 'shuffled words'")
    assert len(shuffled) == 2 * 2 * 4
    assert (shuffled["p_max_t"] >= shuffled["p"] - 1e-12).all()


def test_the_ceiling_is_the_agreement_of_two_templates(captured, tables):
    store, _ = captured
    words = WordPairs.of(
        *map(torch.tensor, locate_pairs(captured[1], store.table("queries"), ["t00", "t01"]))
    )
    templates = torch.tensor(pd.factorize(store.table("occurrences")["template_id"])[0])
    values = Captured(store, read_metrics(store), templates).values(1)[0]
    first, second = (
        (values[words.left[:, t]] - values[words.right[:, t]]).norm(dim=1).numpy() for t in (0, 1)
    )
    reliability = scipy.stats.spearmanr(first, second).statistic
    own = tables["ceiling"].query("layer == 1 and kv_head == 0")
    expected = 2 * reliability / (1 + reliability)
    assert own["value_reliability"].item() == pytest.approx(expected, abs=1e-4)


def test_an_untrained_model_of_other_sentences_is_not_taken(captured, tmp_path):
    store, pairs = captured
    assert describe_inputs(store, "p")["untrained"] is not None
    model = tiny_model("llama", seed=2)
    plan = plan_capture(model.tokenizer, pairs, load_templates(count=1))
    other = capture(model, plan, tmp_path / "capture", settings=CaptureSettings(dtype="float32"))
    assert describe_inputs(other, "p")["untrained"] is None


def test_untrained_weights_follow_the_seed_and_leave_the_random_state_alone():
    model = tiny_model("gpt2", seed=1)
    state = torch.random.get_rng_state()
    once, again, other = untrain(model), untrain(model), untrain(model, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert once.weights_hash == again.weights_hash
    assert len({model.weights_hash, once.weights_hash, other.weights_hash}) == 3
    assert once.origin["config_hash"] == model.origin["config_hash"]
    assert once.geometry.n_kv_heads == model.geometry.n_kv_heads


def test_the_untrained_capture_is_made_once_and_reused(tmp_path):
    model = tiny_model("llama", n_layers=2)
    model.hf.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    options = CaptureOptions(
        str(tmp_path / "model"), pairs="seed_pairs", templates="1", out=tmp_path / "out"
    )
    from kvprobes.captures.pairs import capture_step

    trained, said = capture_step(options, lambda _: None), []
    untrained.capture_untrained(options, said.append)
    untrained.capture_untrained(options, said.append)
    assert [sentence.split()[0] for sentence in said] == ["Capturing", "Reusing"]
    beside = untrained.open_untrained(trained)
    assert beside.manifest["model"].endswith("untrained (seed 0)")
    assert not torch.equal(beside.read("k", 0), trained.read("k", 0))


def test_sign_flips_agree_with_scipy():
    random = np.random.default_rng(0)
    trained, null = random.normal(0.3, 1, (7, 3)), random.normal(0, 1, (7, 5))
    rows = [
        {"layer": layer, "measure": "m", "null": name, "value": value}
        for name, table in (("trained", trained), ("gaussian heads", null))
        for layer, values in enumerate(table)
        for value in values
    ]
    [row] = compare_over_layers(pd.DataFrame(rows), seed=1).to_dict("records")
    gaps = trained.mean(1) - null.mean(1)
    exact = scipy.stats.permutation_test(
        (gaps,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert row["p"] == pytest.approx(exact.pvalue, abs=0.02)
    assert row["effect"] == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    assert row["value"] == pytest.approx(trained.mean())
    assert row["null_sd"] == pytest.approx(null.mean(1).std(ddof=1))


def test_matched_words_agree_in_tokens_and_frequency():
    n = 200
    occurrences = pd.DataFrame(
        {
            "occurrence": range(n),
            "word": [f"w{i}" for i in range(n)],
            "first_token": 3,
            "last_token": [3 + i % 2 for i in range(n)],
        }
    )
    pairs = pd.DataFrame({"m1": [f"w{i}" for i in range(0, n, 2)]})
    pairs["m2"] = [f"w{i}" for i in range(1, n, 2)]
    pairs["z_m1"], pairs["z_m2"] = np.arange(0, n, 2) / 10, np.arange(1, n, 2) / 10
    rows = torch.arange(n)[:, None]
    strata, table = match_words(occurrences, WordPairs.of(rows[::2], rows[1::2]), pairs)
    for stratum in strata.unique():
        members = (strata == stratum).nonzero()[:, 0].numpy()
        assert len(set(members % 2)) == 1
        assert members.max() - members.min() < n / 10
    assert table.set_index("label")["classes"].to_dict() == {
        "tokens": 2,
        "frequency": 10,
        "all together": 20,
    }
    known = {"w0": "house", "w2": "garden", "w4": "small"}
    named = occurrences.iloc[:6:2].assign(word=list(known.values()), occurrence=range(3))
    three = torch.arange(3)[:, None]
    by_speech, _ = match_words(named, WordPairs.of(three[:2], three[1:]), pairs[["m1", "m2"]])
    assert by_speech[0] == by_speech[1] != by_speech[2]
    bare, _ = match_words(occurrences, WordPairs.of(rows[::2], rows[1::2]), pairs[["m1", "m2"]])
    assert len(bare.unique()) == 2


def test_describes_and_draws_whatever_is_there(tables):
    section = describe(tables, {"permutations": 60})
    assert len(section.answer) == 9
    assert all(sentence.startswith("Against ") for sentence in section.answer[:8])
    assert section.answer[8].startswith("Noise ceiling: of the distances of keys")
    assert section.tables[0].columns[1] == "trained"
    figures = draw(tables)
    assert set(figures) == set(section.captions)
    less = {
        name: table[table["null"] != "untrained model"]
        for name, table in tables.items()
        if "null" in table
    }
    assert len(describe({**tables, **less}, {}).answer) == 8


def test_answers_name_the_measures_only_where_they_differ(tables):
    summary = tables["summary"].copy()
    own = summary["null"] == "haar heads"
    summary.loc[own, ["p_bh", "difference"]] = [0.01, 1.0]
    told = describe({**tables, "summary": summary}, {}).answer
    [sentence] = [text for text in told if "haar" in text]
    assert "more alike on 6 of 10 measures" in sentence
    assert "less alike on 4 of 10 measures (DR(1 %), DR(5 %), DR(10 %), neighbour" in sentence
