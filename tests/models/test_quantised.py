"""Layers that keep their weights in a form of their own: codes, adapters, rounded inputs."""

from __future__ import annotations

import importlib.util
import json
import re

import pandas as pd
import pytest
import torch
from torch import nn

from probes.capture import capture, plan_words
from probes.errors import NoMatrixError, UnsupportedModelError
from probes.models import build_model, examine_model, load_model
from probes.models.matrices import read_matrix
from probes.reading.reader import read
from probes.similarity.spaces import read_metrics
from probes.words import load_word_templates
from tests.tiny import tiny_model, tiny_tokenizer

SENTENCE = "The {word} fox ran"
WORDS = ["black", "small", "red", "big", "white", "house", "dog", "tree", "cat", "fox", "zest"]


class Codes(nn.Module):
    """Eight-bit codes and a scale a row, as packages for quantised weights keep them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("codes", (linear.weight.detach() / scale).round().to(torch.int8))

    def forward(self, x):
        return nn.functional.linear(x, self.codes * self.scale)


class Rounded(Codes):
    """Also rounds its input to eight bits."""

    def forward(self, x):
        step = x.abs().amax(-1, keepdim=True).clamp_min(1e-9) / 127
        return super().forward((x / step).round() * step)


class Adapter(nn.Linear):
    """Adds a product of two thin matrices."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x) + 0.1 * (x @ torch.randn(self.in_features, 2)) @ torch.randn(
            2, self.out_features
        )


class Bent(Codes):
    """What it does is no matrix's work."""

    def forward(self, x):
        return super().forward(x).tanh()


def replace(make, *names):
    """Return a random model with other layers in the place of the named ones."""
    hf = tiny_model("llama").hf
    for layer in hf.model.layers:
        for name in names:
            old = getattr(layer.self_attn, name)
            new = make(old)
            if isinstance(new, nn.Linear):
                new.weight = old.weight
            setattr(layer.self_attn, name, new)
    return build_model(hf, tiny_tokenizer(), name=make.__name__)


ALL = ("q_proj", "k_proj", "v_proj", "o_proj")


def make_adapter(old):
    return Adapter(old.in_features, old.out_features, bias=False)


@pytest.mark.parametrize("make", [Codes, make_adapter])
def test_weights_are_what_the_layers_do(make):
    model = replace(make, *ALL)
    table = examine_model(model)
    assert table["passed"].all()
    assert not table.loc[table["part"] == "attention", "note"].any()
    layer = model.geometry.layers[1]
    if make is Codes:
        expected = (layer.key.module.codes * layer.key.module.scale).unflatten(0, (2, 8))
        torch.testing.assert_close(model.geometry.key_weights(1), expected)
    words = read(model, SENTENCE, WORDS, attending="ran")
    assert words.list_spaces() == ("raw", "centred", "functional")
    plain = tiny_model("llama").hf
    for own, layer in zip(plain.model.layers, model.geometry.layers, strict=True):
        for name in ALL:
            getattr(own.self_attn, name).weight = nn.Parameter(
                read_matrix(getattr(layer.module, name)).T.contiguous()
            )
    same = read(build_model(plain, tiny_tokenizer(), name="plain"), SENTENCE, WORDS)
    for ours, theirs in zip(
        words.values(1, "functional"), same.values(1, "functional"), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_rounded_inputs_are_said_and_accepted():
    table = examine_model(replace(Rounded, *ALL))
    assert table["passed"].all()
    assert table["note"].str.contains("Rounded rounds its input").sum() >= 3
    assert table.loc[table["part"] == "attention", "tolerance"].min() > 0.01


def test_no_matrix_costs_what_needs_one():
    """Keys and values are read; the functional space, which needs W_O, is refused."""
    model = replace(Bent, "v_proj", "o_proj")
    table = examine_model(model)
    assert table["passed"].all()
    assert table["note"].str.contains("a Bent computes what no matrix does").sum() == 2
    with pytest.raises(NoMatrixError, match="Bent computes what no matrix does"):
        model.geometry.value_weights(0)
    words = read(model, SENTENCE, WORDS, attending="ran")
    assert words.list_spaces() == ("raw", "centred")
    assert "W_O" in words.find_obstacle("functional")


def test_a_capture_without_a_matrix_lacks_the_functional_space_alone(tmp_path):
    model = replace(Bent, "o_proj")
    pairs = pd.DataFrame({"pos": ["n"], "w1": ["fox"], "w2": ["house"]})
    templates = load_word_templates(
        pd.DataFrame({"template_id": ["t"], "pos": ["n"], "text": ["The {word} [was] red"]})
    )
    plan = plan_words(model.tokenizer, pairs, templates, causal=True)
    store = capture(model, plan, tmp_path / "store")
    assert store.read("v", 1).shape == (2, 2, 8)
    with pytest.raises(NoMatrixError, match=r"holds no value_metric\.0"):
        read_metrics(store)


def test_codes_belong_to_the_models_identity():
    model = replace(Codes, "k_proj")
    before = model.weights_hash
    model.geometry.layers[0].key.module.codes[0, 0] += 1
    assert model.weights_hash != before


SETTINGS = {
    "bitsandbytes": {"load_in_4bit": True},
    "gptq": {"bits": 4},
    "awq": {"bits": 4},
    "hqq": {},
    "torchao": {"quant_type": {"default": {"_type": "Int8WeightOnlyConfig", "_data": {}}}},
    "compressed-tensors": {"config_groups": {}},
}
PACKAGES = {"bitsandbytes": "bitsandbytes accelerate", "gptq": "gptqmodel optimum"} | {
    "awq": "gptqmodel accelerate"
}


@pytest.mark.parametrize("method", SETTINGS)
def test_a_missing_package_is_named(method, tmp_path):
    package = {"gptq": "gptqmodel", "awq": "gptqmodel"}.get(method, method)
    if importlib.util.find_spec(package.replace("-", "_")) is not None:
        pytest.skip(f"{package} is here")
    model = tiny_model()
    model.hf.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, **SETTINGS[method]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    told = f"quantised ({method}), which needs `pip install {PACKAGES.get(method, method)}`"
    with pytest.raises(UnsupportedModelError, match=re.escape(told)):
        load_model(tmp_path)
