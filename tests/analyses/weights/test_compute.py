"""The weights alone, on models whose angles are known."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.linalg
import torch

from analyses.shared.given import Given
from analyses.weights import QUESTION, WeightsSettings
from probes.models import build_model
from tests.architectures import build_hf
from tests.tiny import tiny_model, tiny_tokenizer


def compute(model):
    return QUESTION.compute(Given(model=model), WeightsSettings())


def test_angles_are_scipys_and_mismatched_are_the_other_heads():
    model = tiny_model("llama", seed=4)
    heads = compute(model)["heads"]
    W_K, W_V = model.geometry.key_weights(1).numpy(), model.geometry.value_weights(1).numpy()

    def overlap(k, v):
        return np.cos(scipy.linalg.subspace_angles(W_K[k].T, W_V[v].T)) ** 2

    own = heads.query("layer == 1").set_index("kv_head")
    assert own.loc[0, "value"] == pytest.approx(overlap(0, 0).mean(), abs=1e-5)
    assert own.loc[1, "mismatched_heads_mean"] == pytest.approx(overlap(1, 0).mean(), abs=1e-5)
    assert own.loc[0, "chance"] == pytest.approx(model.geometry.d_head / model.geometry.d_model)


def test_tied_weights_share_everything_and_the_sentence_says_so():
    model = tiny_model("llama", seed=4)
    for layer in model.geometry.layers:
        with torch.no_grad():
            layer.value.module.weight.copy_(layer.key.module.weight)
    tables = compute(model)
    assert tables["heads"]["value"].tolist() == pytest.approx([1.0] * 4, abs=1e-6)
    [sentence] = QUESTION.describe(tables, {}).answer
    assert "share 1.000 of their directions" in sentence
    assert "own heads share more in 2 of 2 layers" in sentence
    assert set(QUESTION.draw(tables)) == {"angles"}
    assert plt.get_fignums() == []


def test_one_kv_head_a_layer_has_no_other():
    tables = compute(build_model(build_hf("gpt_bigcode"), tiny_tokenizer(), name="one"))
    assert tables["heads"]["mismatched_heads_mean"].isna().all()
    assert "one kv head" in QUESTION.describe(tables, {}).answer[0]
    QUESTION.draw(tables)
