"""Substitution end to end on a tiny model: tables against plain runs, resuming, figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from analyses.substitution.compute import compute as substitution
from analyses.substitution.compute import SubstitutionSettings, compute, draw
from analyses.substitution.tables import COSTS, _correlate
from probes.causal.edits import Edit, intervening
from probes.causal.sweep import Sweep
from probes.errors import UnsupportedModelError, UsageError
from probes.words.texts import Corpus, Document
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
def corpus():
    return Corpus(write(6, 0), write(5, 1))


@pytest.fixture(scope="module")
def tables(model, corpus):
    return compute(model, corpus, settings=SETTINGS)


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


def test_rises_are_those_of_plain_runs(model, corpus, tables):
    """Mean ablation of one layer, and its rise, computed anew from the logits."""
    train, test = substitution.cut_text(model, corpus, SETTINGS)
    seen = {}

    def keep(made):
        seen["v"] = made.value
        return made.value

    real = train.mask[:, 1:].bool()
    with torch.inference_mode():
        edit = Edit("value", keep, layer=1, positions=slice(1, None))
        with intervening(model.geometry, edit):
            model.hf(**train.inputs)
        mean = seen["v"][real].mean(0)
        losses = []
        ablate = Edit(
            "value", lambda made: mean.expand_as(made.value), layer=1, positions=slice(1, None)
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


def test_a_killed_run_goes_on_and_ends_alike(model, corpus, tables, tmp_path, monkeypatch):
    run, ran = Sweep.run, []

    def dying(self, *args):
        ran.append(1)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setattr(Sweep, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        compute(model, corpus, settings=SETTINGS, folder=tmp_path)
    kept = list(tmp_path.rglob("losses-*.parquet"))
    assert len(kept) == 2
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # as a broken disk leaves it
    ran.clear()
    ran += [1, 1, 1]
    again = compute(model, corpus, settings=SETTINGS, folder=tmp_path)
    n_batches = 3  # ten windows, four a batch
    assert len(ran) - 3 == n_batches * 4 - 1
    monkeypatch.setattr("analyses.substitution.trials.sum_layers", None)
    monkeypatch.setattr("analyses.substitution.trials.fit_in_order", None)
    monkeypatch.setattr(Sweep, "run", None)
    third = compute(model, corpus, settings=SETTINGS, folder=tmp_path)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)
        pd.testing.assert_frame_equal(third[name], table)
    other = dataclasses.replace(SETTINGS, seed=1)
    assert substitution.describe_inputs(model, corpus, other) != substitution.describe_inputs(
        model, corpus, SETTINGS
    )


def test_measures_of_the_divergence_table_are_correlated(model, corpus, tables, tmp_path):
    places = pd.MultiIndex.from_product([range(3), range(2)], names=["layer", "kv_head"])
    heads = places.to_frame(index=False).assign(
        measure="tieability", space="functional", population="occurrences", value=range(6)
    )
    compute(model, corpus, settings=SETTINGS, folder=tmp_path)
    found = compute(model, corpus, settings=SETTINGS, folder=tmp_path, divergence_heads=heads)[
        "geometry"
    ].set_index(["measure", "cost"])["value"]
    costs = tables["heads"].pivot_table(index=["layer", "kv_head"], columns="kind", values="rise")
    assert found["tieability", "rise"] == pytest.approx(
        spearmanr(range(6), costs["keys"]).statistic
    )
    assert found["tieability", "rise of mean ablation"] == pytest.approx(
        spearmanr(range(6), costs["mean"]).statistic
    )


def test_the_partial_correlation_is_that_of_residual_ranks():
    random = np.random.default_rng(0)
    figures, rise, ablation = random.normal(size=(3, 40))
    rise += ablation
    ranks = [pd.Series(a).rank() for a in (figures, rise, ablation)]
    residuals = [r - np.polyval(np.polyfit(ranks[2], r, 1), ranks[2]) for r in ranks[:2]]
    expected = np.corrcoef(*residuals)[0, 1]
    assert _correlate(figures, rise, ablation)[2] == pytest.approx(expected)


def test_figures_are_drawn_from_the_tables_alone(tables):
    figures = draw(tables)
    assert set(figures) == {"summary", "heads", "geometry"}
    for figure in figures.values():
        figure.canvas.draw()


def test_presets():
    assert substitution.choose_settings("quick", seed=3).seed == 3
    with pytest.raises(UsageError, match="quick or full"):
        substitution.choose_settings("medium")


def test_an_encoder_is_refused(corpus):
    with pytest.raises(UnsupportedModelError, match="does not predict the next token"):
        compute(tiny_model("bert"), corpus, settings=SETTINGS)
