"""Substitution end to end on a tiny model: tables against plain runs, resuming, figures."""

from __future__ import annotations

import dataclasses
import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from analyses.shared.given import Given
from analyses.substitution import QUESTION, Kind, SubstitutionSettings
from analyses.substitution.compute import cut_text
from analyses.substitution.tables import COSTS, correlate_costs
from kvprobes.runner import answer, choose_settings
from kvprobes.session import Session
from probes.causal.edits import Edit, intervening
from probes.causal.substitute import KINDS
from probes.causal.sweep import Sweep
from probes.errors import UnsupportedModelError, UsageError
from probes.words.texts import Document, load_corpus
from tests.tiny import KNOWN_WORDS, tiny_model

SETTINGS = SubstitutionSettings(
    length=16,
    train_windows=4,
    test_windows=2,
    ordered_kinds=("keys", "mean"),
    ranks=(1, 8),
    batch_size=4,
    resamples=50,
)


def write(count, seed):
    random = np.random.default_rng(seed)
    return tuple(
        Document(f"{seed}-{number}", " ".join(random.choice(KNOWN_WORDS, 60)))
        for number in range(count)
    )


@pytest.fixture(scope="module")
def model():
    return tiny_model("qwen2", n_layers=3)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for split, documents in (("train", write(6, 0)), ("held_out", write(5, 1))):
        (folder / split).mkdir()
        for document in documents:
            (folder / split / f"{document.name}.txt").write_text(document.text)
    return str(folder)


@pytest.fixture(scope="module")
def given(model, text):
    return Given(model=model, corpus=load_corpus(text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A result folder; `tables` leaves its finished parts there."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def tables(given, folder):
    parts = folder / "parts" / "substitution"
    return QUESTION.compute(dataclasses.replace(given, parts=parts), SETTINGS)


def test_tables_have_every_place_and_kind(tables):
    summary = tables["summary"]
    assert set(summary["scope"]) == {"all", "layer", "head"}
    everywhere = summary[summary["scope"] == "all"]
    assert len(everywhere) == 6 + 2
    assert (summary["ci_low"] <= summary["rise"]).all()
    assert (summary["rise"] <= summary["ci_high"]).all()
    mean = summary[(summary["kind"] == "mean") & (summary["fit"] == "at once")]
    assert (mean["recovered"] == 0).all()
    assert summary.loc[summary["kind"] == "reverse", "recovered"].isna().all()
    assert len(tables["heads"]) == 3 * 2 * 6
    assert len(tables["layers"]) == 3 * 6
    assert tables["heads"]["r2_text"].between(0, 1).all()
    assert set(tables["geometry"]["measure"]) == {"r2_text"}
    assert list(tables["geometry"]["cost"]) == list(COSTS)


def test_rises_are_those_of_plain_runs(given, tables):
    """Mean ablation of one layer, and its rise, computed again from the logits."""
    model = given.model
    train, test = cut_text(given, SETTINGS)
    seen = {}

    def keep(made):
        seen["v"] = made.values
        return made.values

    real = train.mask[:, 1:].bool()
    with torch.inference_mode():
        edit = Edit("values", keep, layer=1, positions=slice(1, None))
        with intervening(model.geometry, edit):
            model.hf(**train.inputs)
        mean = seen["v"][real].mean(0)
        losses = []
        ablate = Edit(
            "values", lambda made: mean.expand_as(made.values), layer=1, positions=slice(1, None)
        )
        for edits in ([], [ablate]):
            with intervening(model.geometry, edits):
                log_p = torch.log_softmax(model.hf(**test.inputs).logits, -1)[:, :-1]
            loss = -log_p.gather(2, test.ids[:, 1:, None])[..., 0] * test.scored[:, :-1]
            losses.append(loss.sum())
    expected = float((losses[1] - losses[0]) / test.scored.sum())
    layers = tables["layers"].set_index(["kind", "layer"])
    assert layers.loc[("mean", 1), "rise"] == pytest.approx(expected, abs=1e-4)
    keys = layers.loc[("keys", 1)]
    assert keys["recovered"] == pytest.approx(1 - keys["rise"] / expected, abs=1e-3)


def test_the_curve_runs_from_mean_ablation_to_all_directions(tables):
    summary = tables["summary"].set_index(["scope", "kind", "fit"])
    for _, curve in tables["ranks"].groupby("directions"):
        curve = curve.set_index("rank")
        assert list(curve.index) == [0, 1, 8, -1]
        assert curve.loc[0, "recovered"] == 0
        whole = summary.loc[("all", "keys", "at once"), "rise"]
        assert curve.loc[-1, "rise"] == pytest.approx(whole)
        assert curve.loc[8, "rise"] == pytest.approx(whole, abs=1e-4)  # keys are 8 wide


def test_a_killed_run_goes_on_and_ends_alike(given, tables, tmp_path, monkeypatch):
    given = dataclasses.replace(given, parts=tmp_path)
    run, ran = Sweep.run, []

    def dying(self, *args):
        ran.append(1)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setattr(Sweep, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        QUESTION.compute(given, SETTINGS)
    kept = list(tmp_path.rglob("losses-*.parquet"))
    assert len(kept) == 2
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # as a broken disk leaves it
    ran.clear()
    ran += [1, 1, 1]
    again = QUESTION.compute(given, SETTINGS)
    n_batches = 3  # ten windows, four a batch
    assert len(ran) - 3 == n_batches * 4 - 1

    def refuse(*_, **__):
        pytest.fail("made again")

    monkeypatch.setattr("analyses.substitution.trials.sum_layers", refuse)
    monkeypatch.setattr("analyses.substitution.trials.fit_in_order", refuse)
    monkeypatch.setattr(Sweep, "run", refuse)
    third = QUESTION.compute(given, SETTINGS)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)
        pd.testing.assert_frame_equal(third[name], table)
    more = QUESTION.compute(given, dataclasses.replace(SETTINGS, resamples=60))
    pd.testing.assert_frame_equal(more["documents"], tables["documents"])
    assert not more["summary"]["ci_low"].equals(tables["summary"]["ci_low"])
    with pytest.raises(pytest.fail.Exception):  # other slices: everything is tried again
        QUESTION.compute(given, dataclasses.replace(SETTINGS, seed=1))


def test_measures_of_the_divergence_table_are_correlated(given, tables, tmp_path):
    given = dataclasses.replace(given, parts=tmp_path)
    places = pd.MultiIndex.from_product([range(3), range(2)], names=["layer", "kv_head"])
    heads = places.to_frame(index=False).assign(
        measure="tieability", space="functional", population="occurrences", value=range(6)
    )
    QUESTION.compute(given, SETTINGS)
    measured = dataclasses.replace(given, heads=heads)
    assert QUESTION.identify(measured, SETTINGS) != QUESTION.identify(given, SETTINGS)
    geometry = QUESTION.compute(measured, SETTINGS)["geometry"]
    assert len(list(tmp_path.iterdir())) == 1  # the trials are those without the measures
    found = geometry.set_index(["measure", "cost"])["value"]
    costs = tables["heads"].pivot_table(index=["layer", "kv_head"], columns="kind", values="rise")
    assert found["tieability", "rise"] == pytest.approx(
        spearmanr(range(6), costs["keys"]).statistic
    )
    assert found["tieability", "rise of mean ablation"] == pytest.approx(
        spearmanr(range(6), costs["mean"]).statistic
    )


def test_the_partial_correlation_is_that_of_residual_ranks():
    random = np.random.default_rng(0)
    measure, rise, ablation = random.normal(size=(3, 40))
    rise += ablation
    ranks = [pd.Series(a).rank() for a in (measure, rise, ablation)]
    residuals = [r - np.polyval(np.polyfit(ranks[2], r, 1), ranks[2]) for r in ranks[:2]]
    expected = np.corrcoef(*residuals)[0, 1]
    found = correlate_costs(measure[None], rise, ablation)
    assert found[0, COSTS.index("rise, mean ablation held constant")] == pytest.approx(expected)


def test_figures_are_drawn_from_the_tables_alone(tables):
    figures = QUESTION.draw(tables)
    assert set(figures) == set(QUESTION.describe(tables, {}).captions)
    for figure in figures.values():
        figure.canvas.draw()


def test_the_answer_tells_the_rise_of_every_kind(tables):
    def set_rise(kind, rise, **others):
        rows = (changed["scope"] == "all") & (changed["kind"] == kind)
        changed.loc[rows, ["rise", "ci_low", "ci_high"]] = rise, rise - 0.01, rise + 0.01
        changed.loc[rows, list(others)] = list(others.values())

    changed = tables["summary"].copy()
    set_rise("keys", 0.72, recovered=0.84)
    set_rise("mean", 4.64)
    [told] = QUESTION.describe(tables | {"summary": changed}, {}).answer
    assert "by a linear map of its head's own key, 0.72 (0.71 to 0.73)" in told
    assert "the mean value, 4.64 (4.63 to 4.65)" in told
    assert told.endswith("recovers 84 % of what is lost with mean values.")
    set_rise("mean", 0.0)
    changed = changed[changed["kind"] != "other keys"]  # as with a single kv head
    [told] = QUESTION.describe(tables | {"summary": changed}, {}).answer
    assert "another head" not in told
    assert told.endswith("there is nothing to recover.")


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (-0.4, -0.1, "predicts what"),
        (-0.4, 0.1, "cannot be shown to predict"),
        (0.1, 0.4, "does not predict"),
    ],
)
def test_the_answer_follows_the_interval_of_the_correlation(tables, low, high, told):
    geometry = tables["geometry"].assign(measure="tieability", ci_low=low, ci_high=high, value=low)
    section = QUESTION.describe(tables | {"geometry": geometry}, {})
    assert f"The tieability of a head {told}" in section.answer[1]
    assert "over 6 heads" in section.answer[1]


def test_every_kind_can_be_asked_for():
    assert set(get_args(Kind)) == set(KINDS)


def test_an_encoder_is_refused(given):
    with pytest.raises(UnsupportedModelError, match="does not predict the next token"):
        QUESTION.compute(dataclasses.replace(given, model=tiny_model("bert")), SETTINGS)


def test_it_is_answered_once_in_a_folder(model, text, folder, tables, monkeypatch):
    monkeypatch.setattr(Sweep, "run", None)  # the parts are there
    session = Session(folder, text=text)
    session.load = session.captured_model = lambda: model
    settings = dataclasses.asdict(SETTINGS)
    first = answer(QUESTION, session, **settings)
    pd.testing.assert_frame_equal(first.tables["summary"], tables["summary"])
    assert not answer(QUESTION, session, **settings).is_new
    assert session.folder.figure_path("substitution", "summary", "png").stat().st_size > 10_000
    inputs = session.folder.read_manifest("substitution")["inputs"]
    assert inputs["settings"] == json.loads(json.dumps(settings))


def test_presets_and_settings_in_words():
    quick = choose_settings(QUESTION, "quick", {"ranks": "1,2", "head_kinds": "keys,clamp"})
    assert (quick.length, quick.ranks, quick.head_kinds) == (40, (1, 2), ("keys", "clamp"))
    assert choose_settings(QUESTION, "full", {}) == SubstitutionSettings()
    with pytest.raises(UsageError, match=r"no value of substitution\.head_kinds 'slice'"):
        choose_settings(QUESTION, None, {"head_kinds": "keys,slice"})
