"""The model, its bridge on a twin, and its identity."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from probes.errors import UnsupportedModelError
from probes.models import bridge, build_model
from probes.models.hashing import hash_weights
from tests.architectures import build_hf
from tests.tiny import ARCHITECTURES, KNOWN_WORDS, tiny_model, tiny_tokenizer

TEXT = "The black fox saw a small house."


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bridge_gives_the_models_logits_and_keys(architecture):
    model = tiny_model(architecture)
    kinds = [type(module) for module in model.hf.modules()]
    ids = model.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    seen = []
    layer = model.geometry.layers[1]
    handle = layer.key.module.register_forward_hook(
        lambda _module, _inputs, output: seen.append(layer.key.split(output).clone())
    )
    with torch.no_grad():
        before = model.hf(ids).logits
        handle.remove()
        logits, cache = model.bridge.run_with_cache(ids)
        after = model.hf(ids).logits
    torch.testing.assert_close(logits, before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cache["blocks.1.attn.hook_k"], seen[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(before, after)
    assert kinds == [type(module) for module in model.hf.modules()]
    assert model.hf.config._attn_implementation == "sdpa"
    assert not model.hf.training


def test_bridge_shares_the_parameters_leaves_the_tokenizer_and_asks_no_network(monkeypatch):
    def never(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", never)
    monkeypatch.setattr("socket.getaddrinfo", never)
    model = tiny_model()
    vocabulary = len(model.tokenizer)
    owned = {parameter.data_ptr() for parameter in model.hf.parameters()}
    shared = {parameter.data_ptr() for parameter in model.bridge.original_model.parameters()}
    assert owned == shared
    assert model.bridge is model.bridge
    assert model.bridge.original_model is not model.hf
    assert len(model.tokenizer) == vocabulary
    assert "add_bos_token" not in model.tokenizer.init_kwargs


def test_bridge_without_an_adapter_says_so():
    headless = build_model(tiny_model("bert").hf.bert, tiny_tokenizer(), name="headless")
    with pytest.raises(UnsupportedModelError, match="no bridge for BertModel"):
        _ = headless.bridge


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "bert"])
def test_trunk_is_the_model_without_the_unembedding(architecture):
    model = tiny_model(architecture)
    ids = model.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = model.trunk(input_ids=ids).last_hidden_state
    assert hidden.shape == (1, ids.shape[1], model.geometry.d_model)
    assert model.device == torch.device("cpu")


def test_weights_hash_is_what_it_says():
    model = tiny_model()
    digest = hashlib.sha256()
    for name, parameter in sorted(model.hf.named_parameters()):
        digest.update(json.dumps([name, "torch.float32", list(parameter.shape)]).encode())
        digest.update(parameter.detach().numpy().tobytes())
    assert model.weights_hash == digest.hexdigest()


def test_weights_hash_sees_every_change_and_nothing_else():
    model = tiny_model()
    assert tiny_model().weights_hash == model.weights_hash
    assert tiny_model(seed=1).weights_hash != model.weights_hash
    model.hf.set_attn_implementation("eager")
    assert hash_weights(model.hf) == model.weights_hash
    with torch.no_grad():
        model.hf.model.layers[1].mlp.up_proj.weight[3, 4] += 1e-3
    changed = hash_weights(model.hf)
    assert changed == model.weights_hash != tiny_model().weights_hash
    assert hash_weights(model.hf.to(torch.bfloat16)) != changed
    assert model.weights_hash != changed


def test_the_hash_is_of_what_is_in_memory_now():
    model = tiny_model()
    plain, attention = model.weights_hash, model.hf.model.layers[1].self_attn
    handle = attention.k_proj.register_forward_hook(lambda _module, _args, out: 2 * out)
    doubled = model.weights_hash
    handle.remove()
    handle = attention.k_proj.register_forward_hook(lambda _module, _args, out: 3 * out)
    assert len({plain, doubled, model.weights_hash}) == 3
    handle.remove()
    assert model.weights_hash == plain

    class Halve(nn.Module):
        def forward(self, weight):
            return weight / 2

    parametrize.register_parametrization(attention.k_proj, "weight", Halve())
    assert model.weights_hash not in (plain, doubled)
    parametrize.remove_parametrizations(attention.k_proj, "weight", leave_parametrized=False)
    assert model.weights_hash == plain
    model.hf.model.rotary_emb.inv_freq[1] += 0.5
    assert model.weights_hash != plain


def test_the_hash_sees_weights_that_change_places_behind_autograd():
    model = tiny_model()
    weight = model.hf.model.layers[0].self_attn.k_proj.weight
    plain = model.weights_hash
    weight.data = weight.data.flip(0)
    flipped = model.weights_hash
    weight.data.zero_()
    assert len({plain, flipped, model.weights_hash}) == 3


def test_config_hash_tells_models_with_the_same_weights_apart():
    model, other = tiny_model(), tiny_model(rms_norm_eps=1e-3)
    assert model.weights_hash == other.weights_hash
    assert model.origin["config_hash"] != other.origin["config_hash"]
    assert model.origin["config_hash"] == tiny_model().origin["config_hash"]


def test_build_model_puts_in_eval_mode():
    hf = tiny_model().hf.train()
    assert not build_model(hf, tiny_tokenizer(), name="mine").hf.training


def test_tiny_tokenizer_knows_its_words_and_spells_the_others():
    tokenizer = tiny_tokenizer(bos=False)
    for word in KNOWN_WORDS:
        assert len(tokenizer(word)["input_ids"]) == len(tokenizer(f" {word}")["input_ids"]) == 1
    assert len(tokenizer(" quick")["input_ids"]) > 2
    text = "The naïve fox."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


BRIDGED = ("gpt2", "gptj", "gpt_neox", "bloom", "phi3", "gemma4", "deepseek_v3", "bert", "t5")


@pytest.mark.parametrize("name", BRIDGED)
def test_the_bridge_is_compared_with_the_model_before_use(name, monkeypatch):
    model = build_model(build_hf(name), tiny_tokenizer(), name=name)
    monkeypatch.setattr(bridge, "relative_difference", lambda *_: 0.01)
    with pytest.raises(UnsupportedModelError, match="gives other logits"):
        _ = model.bridge
    monkeypatch.undo()
    assert model.bridge.cfg.n_heads == model.geometry.n_heads


def test_a_config_that_no_bridge_takes():
    model = build_model(build_hf("gpt_bigcode_ungrouped"), tiny_tokenizer(), name="ungrouped")
    with pytest.raises(UnsupportedModelError, match="does not take this config"):
        _ = model.bridge
