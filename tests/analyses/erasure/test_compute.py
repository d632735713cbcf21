"""Erasing a property from a captured model: probes, loss and controls, on words held out."""

import dataclasses

import pandas as pd
import pytest
import torch

from analyses.erasure import QUESTION, ErasureSettings
from analyses.erasure import compute as erasure
from analyses.shared.given import Given
from kvprobes.runner import answer
from kvprobes.session import Session
from probes.causal import measure_erasure_loss
from probes.errors import StoreMismatchError, UsageError
from probes.linear import draw_control_labels, fit_eraser
from probes.linear.shipped_properties import list_properties
from probes.similarity.spaces import read_heads
from probes.stats import word_folds
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

NAME = "part of speech"
SETTINGS = ErasureSettings(properties=(NAME,), words=12, controls=2, resamples=20)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama", n_layers=2)


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    return capture_tiny(model, tmp_path_factory.mktemp("s"), n_pairs=109)


@pytest.fixture(scope="module")
def given(model, store):
    return Given(model=model, store=store)


@pytest.fixture(scope="module")
def losses(given):
    return QUESTION.compute(given, SETTINGS)["losses"]


def find_property(store):
    known, _ = list_properties(store)
    return next(one for one in known if one.name == NAME)


def test_there_is_a_row_for_the_property_each_control_and_their_difference(losses):
    kinds = ["property", "control 1", "control 2", "property - controls"]
    assert list(losses["part"] + " " + losses["erased"]) == [
        f"{part} {kind}" for part in ("keys", "values") for kind in kinds
    ]
    assert set(losses["n_words"]) == {12}
    (axes,) = QUESTION.draw({"losses": losses})["losses"].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        f"{part}, {kind}" for part in ("values", "keys") for kind in reversed(kinds[:3])
    ]
    for _, rows in losses.groupby("part"):
        value = rows.set_index("erased")["value"]
        controls = value[["control 1", "control 2"]].mean()
        assert value["property - controls"] == pytest.approx(value["property"] - controls)
        assert (rows["ci_low"] <= rows["ci_high"]).all()
        assert len(set(rows["probe_before"].dropna())) == 1


@pytest.mark.parametrize("number", [0, 2])
def test_loss_is_that_of_erasers_of_the_other_half_of_the_words(model, store, losses, number):
    wanted = find_property(store)
    half = word_folds(wanted.units, 2, 0)
    tried = wanted.occurrences[half == 1].tolist()
    sentences = erasure.choose_sentences(store, wanted, half == 1, SETTINGS)
    assert sentences["word"].is_unique
    assert set(sentences["occurrence"]) <= set(tried)
    fitted = half == 0
    assert not set(wanted.units[fitted].tolist()) & set(wanted.units[half == 1].tolist())
    labels = wanted.labels[fitted]
    if number:
        labels = draw_control_labels(labels, wanted.units[fitted], count=2, seed=0)[number - 1]
    erasers = {
        layer: fit_eraser(read_heads(store, "v", layer)[:, wanted.occurrences[fitted]], labels)
        for layer in range(2)
    }
    spans = [(row.first_token, row.last_token) for row in sentences.itertuples()]
    found = measure_erasure_loss(
        model, list(sentences["sentence"]), erasers, part="values", spans=spans, batch_size=5
    )
    name = f"control {number}" if number else "property"
    row = losses[(losses["part"] == "values") & (losses["erased"] == name)].iloc[0]
    assert row["value"] == pytest.approx(found.rise, abs=1e-6)
    assert row["clean"] == pytest.approx(found.clean, abs=1e-6)
    assert row["n_tokens"] == found.n_tokens
    assert row["rank"] == max(int(eraser.rank.max()) for eraser in erasers.values())


def test_probes_of_the_other_half_find_less_after_erasure(monkeypatch, given, store):
    """Keys that hold the property: the probe falls to the majority, and not by the control."""
    wanted, n_occurrences = find_property(store), len(store.table("occurrences"))

    def plant(store, what, layer):
        x = torch.randn(2, n_occurrences, 8, generator=torch.Generator().manual_seed(layer))
        x[:, wanted.occurrences, 0] += 6 * (wanted.labels == wanted.labels.mode().values)
        return x

    monkeypatch.setattr(erasure, "read_heads", plant)
    rows = QUESTION.compute(given, SETTINGS)["losses"].query("part == 'keys'")
    rows = rows.set_index("erased")
    assert rows.loc["property", "probe_before"] > rows.loc["property", "majority"] + 0.1
    assert rows.loc["property", "probe_after"] < rows.loc["property", "probe_before"] - 0.1
    assert rows.loc["control 1", "probe_after"] > rows.loc["property", "probe_after"] + 0.1


def test_refuses_what_is_no_property_of_classes(given):
    for name in ("frequency", "part of speach"):
        with pytest.raises(UsageError, match=f"no property with classes '{name}'.*{NAME}"):
            QUESTION.compute(given, ErasureSettings(properties=(name,)))


def test_refuses_normed_keys_of_a_model_that_norms_them(tmp_path):
    """Erasers are put where keys are projected; fitted on normed ones they would fit nothing."""
    model = tiny_model("qwen3", n_layers=2)
    given = Given(model=model, store=capture_tiny(model, tmp_path))
    with pytest.raises(StoreMismatchError, match=r"captured as normed.*--key-stage projected"):
        QUESTION.compute(given, SETTINGS)


def test_a_killed_run_goes_on_from_its_parts(given, losses, tmp_path, monkeypatch):
    given = dataclasses.replace(given, parts=tmp_path)
    calls = []

    def stop_after_keys(*arguments, part, **others):
        calls.append(part)
        if len(calls) == 4:  # the property and two controls, for the keys
            raise KeyboardInterrupt
        return measure_erasure_loss(*arguments, part=part, **others)

    monkeypatch.setattr(erasure, "measure_erasure_loss", stop_after_keys)
    with pytest.raises(KeyboardInterrupt):
        QUESTION.compute(given, SETTINGS)
    again = QUESTION.compute(given, SETTINGS)["losses"]
    pd.testing.assert_frame_equal(again, losses)
    assert calls == ["keys"] * 3 + ["values"] * 4


def test_it_is_answered_once_and_refuses_other_weights(model, store, losses, tmp_path, monkeypatch):
    other = tiny_model("llama", n_layers=2, seed=8)
    settings = dataclasses.asdict(SETTINGS)

    def open_session(loaded):
        monkeypatch.setattr("probes.models.load.load_model", lambda *_, **__: loaded)
        return Session(tmp_path)

    (tmp_path / "capture").symlink_to(store.folder, target_is_directory=True)
    with pytest.raises(StoreMismatchError, match="has other weights"):
        answer(QUESTION, open_session(other), **settings)
    first = answer(QUESTION, open_session(model), **settings)
    pd.testing.assert_frame_equal(first.tables["losses"], losses)
    assert not answer(QUESTION, open_session(model), **settings).is_new
    path = open_session(model).folder.figure_path("erasure", "losses", "png")
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.01, 0.03, "costs the model more than to erase as many other directions (0.020 nats"),
        (-0.03, -0.01, "costs the model less than to erase as many other directions"),
        (-0.01, 0.03, "costs the model neither clearly more nor less than to erase"),
    ],
)
def test_the_answer_follows_the_difference_from_controls(losses, low, high, told):
    changed = losses.copy()
    rows = changed["erased"] == "property - controls"
    changed.loc[rows, ["value", "ci_low", "ci_high"]] = 0.02, low, high
    section = QUESTION.describe({"losses": changed}, {})
    assert [told in sentence for sentence in section.answer] == [True, True]
    assert section.answer[0].startswith("Without part of speech in the keys a probe gets")
    assert len(section.tables[0].rows[0]) == len(section.tables[0].columns)


def test_without_controls_the_rise_itself_is_told(losses):
    alone = losses[losses["erased"] != "property - controls"]
    alone = alone[~alone["erased"].str.startswith("control")]
    [first, _] = QUESTION.describe({"losses": alone}, {}).answer
    assert "other directions" not in first
