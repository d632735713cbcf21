"""Erasing a property from a captured model: probes, loss and controls, on words held out."""

import pandas as pd
import pytest
import torch

from analyses.erasure.compute import compute as erasure
from kvprobes.results import ResultFolder
from probes.causal import measure_erasure_loss
from probes.errors import StoreMismatchError, TableError
from probes.linear import draw_control_labels, fit_eraser
from probes.linear.shipped_properties import list_properties
from probes.similarity.spaces import read_heads
from probes.stats import word_folds
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

NAME = "part of speech"
SETTINGS = erasure.ErasureSettings(properties=(NAME,), words=12, controls=2, resamples=20)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama", n_layers=2)


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    return capture_tiny(model, tmp_path_factory.mktemp("s"), n_pairs=109)


@pytest.fixture(scope="module")
def losses(model, store):
    return erasure.compute(model, store, settings=SETTINGS)["losses"]


def test_there_is_a_row_for_the_property_each_control_and_their_difference(losses):
    kinds = ["property", "control 1", "control 2", "property - controls"]
    assert list(losses["what"] + " " + losses["erased"]) == [
        f"{what} {kind}" for what in "kv" for kind in kinds
    ]
    assert set(losses["n_words"]) == {12}
    (axes,) = erasure.draw({"losses": losses})["losses"].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        f"{what}, {kind}" for what in ("values", "keys") for kind in reversed(kinds[:3])
    ]
    for _, rows in losses.groupby("what"):
        value = rows.set_index("erased")["value"]
        controls = value[["control 1", "control 2"]].mean()
        assert value["property - controls"] == pytest.approx(value["property"] - controls)
        assert (rows["ci_low"] <= rows["ci_high"]).all()
        assert len(set(rows["probe_before"].dropna())) == 1


@pytest.mark.parametrize("number", [0, 2])
def test_loss_is_that_of_erasers_of_the_other_half_of_the_words(model, store, losses, number):
    occurrences, queries = store.table("occurrences"), store.table("queries")
    known, _ = list_properties(occurrences, queries, store.table("pairs"))
    wanted = next(one for one in known if one.name == NAME)
    half = word_folds(wanted.units, 2, 0)
    tried = wanted.occurrences[half == 1].tolist()
    sentences = erasure._choose_sentences(wanted, half == 1, occurrences, queries, SETTINGS)
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
        model, list(sentences["sentence"]), erasers, part="value", spans=spans, batch_size=5
    )
    name = f"control {number}" if number else "property"
    row = losses[(losses["what"] == "v") & (losses["erased"] == name)].iloc[0]
    assert row["value"] == pytest.approx(found.rise, abs=1e-6)
    assert row["clean"] == pytest.approx(found.clean, abs=1e-6)
    assert row["n_tokens"] == found.n_tokens
    assert row["rank"] == max(int(eraser.rank.max()) for eraser in erasers.values())


def test_probes_of_the_other_half_find_less_after_erasure(monkeypatch, model, store):
    """Keys that hold the property: the probe falls to the majority, and not by the control."""
    occurrences, queries = store.table("occurrences"), store.table("queries")
    known, _ = list_properties(occurrences, queries, store.table("pairs"))
    wanted = next(one for one in known if one.name == NAME)

    def plant(store, what, layer):
        x = torch.randn(2, len(occurrences), 8, generator=torch.Generator().manual_seed(layer))
        x[:, wanted.occurrences, 0] += 6 * (wanted.labels == wanted.labels.mode().values)
        return x

    monkeypatch.setattr(erasure, "read_heads", plant)
    rows = erasure.compute(model, store, settings=SETTINGS)["losses"].query("what == 'k'")
    rows = rows.set_index("erased")
    assert rows.loc["property", "probe_before"] > rows.loc["property", "majority"] + 0.1
    assert rows.loc["property", "probe_after"] < rows.loc["property", "probe_before"] - 0.1
    assert rows.loc["control 1", "probe_after"] > rows.loc["property", "probe_after"] + 0.1


def test_refuses_what_is_no_property_of_classes(model, store):
    for name in ("frequency", "colour"):
        with pytest.raises(TableError, match=f"{name} cannot be erased"):
            erasure.compute(model, store, settings=erasure.ErasureSettings(properties=(name,)))


def test_a_killed_run_goes_on_from_its_parts(model, store, losses, tmp_path, monkeypatch):
    calls = []

    def stop_after_keys(*arguments):
        calls.append(arguments[5])
        if arguments[5] == "v" and len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    measure = erasure._measure
    monkeypatch.setattr(erasure, "_measure", stop_after_keys)
    with pytest.raises(KeyboardInterrupt):
        erasure.compute(model, store, settings=SETTINGS, folder=tmp_path)
    again = erasure.compute(model, store, settings=SETTINGS, folder=tmp_path)["losses"]
    pd.testing.assert_frame_equal(again, losses)
    assert calls == ["k", "v", "v"]


def test_the_step_computes_once_and_refuses_other_weights(model, store, tmp_path, monkeypatch):
    folder = ResultFolder(tmp_path)
    folder.capture.symlink_to(store.folder, target_is_directory=True)
    loaded = [tiny_model("llama", n_layers=2, seed=8), model]
    monkeypatch.setattr("probes.models.load.load_model", lambda *_, **__: loaded.pop(0))
    with pytest.raises(StoreMismatchError, match="has other weights"):
        erasure.erase_step(folder, settings=SETTINGS)
    assert erasure.erase_step(folder, settings=SETTINGS)
    assert not erasure.erase_step(folder, settings=SETTINGS)
    assert folder.figure_path("erasure", "losses", "png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.01, 0.03, "costs the model more than as many other directions (0.020 nats"),
        (-0.03, -0.01, "costs the model less than as many other directions"),
        (-0.01, 0.03, "costs the model neither clearly more nor less than as many other"),
    ],
)
def test_the_answer_follows_the_difference_from_controls(losses, low, high, told):
    changed = losses.copy()
    rows = changed["erased"] == "property - controls"
    changed.loc[rows, ["value", "ci_low", "ci_high"]] = 0.02, low, high
    section = erasure.describe({"losses": changed}, {})
    assert [told in sentence for sentence in section.answer] == [True, True]
    assert section.answer[0].startswith("Without part of speech in the keys a probe gets")
    assert len(section.tables[0].rows[0]) == len(section.tables[0].columns)


def test_without_controls_the_rise_itself_is_told(losses):
    alone = losses[losses["erased"] != "property - controls"]
    alone = alone[~alone["erased"].str.startswith("control")]
    [first, _] = erasure.describe({"losses": alone}, {}).answer
    assert "other directions" not in first
