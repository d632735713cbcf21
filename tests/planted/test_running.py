"""Plants in a running model: what is captured is what was planted, and nothing else changes."""

import pytest
import torch

from probes.capture import CaptureSettings, capture, plan_coordination
from probes.capture.run import Edited
from probes.planted.running import plant_heads, planting
from tests.capture.context_examples import PAIRS, TEMPLATES
from tests.tiny import tiny_model

HEADS = [(0, 1), (1, 0)]
SETTINGS = CaptureSettings(key_stage="projected", dtype="float32", query_sample=5)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def plan(model):
    return plan_coordination(model.tokenizer, PAIRS, TEMPLATES)


@pytest.fixture(scope="module")
def plain(model, plan, tmp_path_factory):
    return capture(model, plan, tmp_path_factory.mktemp("plain"), settings=SETTINGS)


@pytest.fixture(scope="module")
def plants(plain, model):
    return plant_heads(plain, model, HEADS, seed=3)


@pytest.fixture(scope="module")
def edited(model, plan, plants, tmp_path_factory):
    under = Edited("two heads", lambda model: planting(model, plants))
    folder = tmp_path_factory.mktemp("edited")
    return capture(model, plan, folder, settings=SETTINGS, edited=under)


def find_tokens(model, store, plant):
    """Return the words' occurrences, and the row of the plant that each has."""
    occurrences = store.table("occurrences")
    words = occurrences["word"][occurrences["slot"] >= 0]
    last = [
        model.tokenizer(f" {word}", add_special_tokens=False)["input_ids"][-1] for word in words
    ]
    return list(words.index), [plant.tokens.tolist().index(token) for token in last]


def test_captured_rows_are_the_planted_ones(model, plants, edited):
    for plant in plants:
        places, rows = find_tokens(model, edited, plant)
        for part, planted in (("k", plant.keys), ("v", plant.values)):
            captured = edited.read(part, plant.layer)[places][:, list(plant.kv_heads)]
            torch.testing.assert_close(captured, planted[rows].float(), rtol=1e-5, atol=1e-6)


def test_nothing_upstream_and_no_other_head_of_the_first_layer_is_changed(plain, edited):
    for part in ("k", "v"):
        torch.testing.assert_close(edited.read(part, 0)[:, 0], plain.read(part, 0)[:, 0])
        assert (edited.read(part, 0)[:, 1] - plain.read(part, 0)[:, 1]).abs().max() > 0.1
    torch.testing.assert_close(edited.read("x", 0), plain.read("x", 0))


def test_attention_is_that_of_the_plants(plain, edited):
    before, after = (store.read("attention", 0) for store in (plain, edited))
    group = before.shape[1] // 2
    torch.testing.assert_close(after[:, :group], before[:, :group])
    assert (after[:, group:] - before[:, group:]).abs().max() > 0.01


def test_an_edited_capture_is_another_one(plain, edited):
    assert edited.identity_hash != plain.identity_hash
    assert edited.manifest["identity"]["edited"] == "two heads"


def test_values_are_dealt_anew_and_keys_have_two_sides(plants):
    for plant in plants:
        keys = plant.keys[:, 0] - plant.keys[:, 0].mean(0)
        side = torch.linalg.svd(keys)[0][:, 0]
        assert (side > 0).sum() == len(side) // 2 or (side < 0).sum() == len(side) // 2


def test_hooks_are_removed(model, plants):
    ids = torch.tensor([model.tokenizer(" black fox")["input_ids"]])
    before = model.hf(input_ids=ids).logits
    with planting(model, plants):
        within = model.hf(input_ids=ids).logits
    torch.testing.assert_close(model.hf(input_ids=ids).logits, before)
    assert (within - before).abs().max() > 1e-3
