"""The geometry against the model's own forward pass: q, k, v, logits, values and outputs."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from probes.errors import UnsupportedModelError, UsageError
from probes.models import Model
from probes.models.families import read_geometry
from tests.tiny import ARCHITECTURES, GROUPED, tiny_model

TEXT = "The black fox saw a small house and ran quickly."


def observe(model: Model, layer: int) -> dict[str, torch.Tensor]:
    """Run one text and return x, q, k, v and the attention's output of a layer, by plain hooks."""
    projections = model.geometry.projections[layer]
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, which: str):
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
            seen[name] = (inputs[0] if which == "input" else output).detach().clone()

        return hook

    handles = [
        projections.input_module.register_forward_hook(keep("x", "input")),
        projections.query_module.register_forward_hook(keep("q", "output")),
        projections.key_module.register_forward_hook(keep("k", "output")),
        projections.value_module.register_forward_hook(keep("v", "output")),
        projections.output_module.register_forward_hook(keep("out", "output")),
    ]
    tokens = model.tokenizer(TEXT, return_tensors="pt")
    try:
        with torch.no_grad():
            model.trunk(**tokens)
    finally:
        for handle in handles:
            handle.remove()
    seen["q"] = projections.split_query(seen["q"])
    seen["k"] = projections.split_key(seen["k"])
    seen["v"] = projections.split_value(seen["v"])
    return seen


def final_keys(model: Model, layer: int, projected: torch.Tensor, norm: str) -> torch.Tensor:
    """Norm and rotate projected queries or keys, ``[batch, position, head, d_head]``."""
    module = getattr(model.geometry.projections[layer], norm)
    normed = projected if module is None else module(projected)
    if model.geometry.rotation is None:
        return normed.detach()
    positions = torch.arange(projected.shape[1])
    return model.geometry.rotation.rotate(normed, positions[:, None]).detach()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_and_biases_make_the_projections(architecture):
    model = tiny_model(architecture, n_layers=3)
    geometry = model.geometry
    for layer in range(geometry.n_layers):
        seen = observe(model, layer)
        for name, kind in (("q", "query"), ("k", "key"), ("v", "value")):
            weights = getattr(geometry, f"{kind}_weights")(layer)
            bias = getattr(geometry, f"{kind}_bias")(layer)
            expected = torch.einsum("hdm,bpm->bphd", weights, seen["x"])
            expected = expected if bias is None else expected + bias
            torch.testing.assert_close(seen[name], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attention_rebuilt_from_the_geometry_is_the_models_own(architecture):
    """Groups, scale, mask, rotation, norms and W_O at once, head by head in plain loops."""
    model = tiny_model(architecture)
    geometry = model.geometry
    for layer in range(geometry.n_layers):
        seen = observe(model, layer)
        q = final_keys(model, layer, seen["q"], "query_norm")[0]
        k = final_keys(model, layer, seen["k"], "key_norm")[0]
        v, outputs = seen["v"][0], geometry.output_weights(layer)
        written = torch.zeros_like(seen["out"][0])
        for head in range(geometry.n_heads):
            shared = head // geometry.group_size
            for here in range(len(written)):
                visible = here + 1 if geometry.causal else len(written)
                logits = geometry.logit_scale * (k[:visible, shared] @ q[here, head])
                mixed = logits.softmax(0) @ v[:visible, shared]
                written[here] += outputs[head].T @ mixed
        bias = geometry.projections[layer].output_module.bias
        written = written if bias is None else written + bias.detach()
        torch.testing.assert_close(seen["out"][0], written, atol=2e-5, rtol=1e-4)
        assert written.std() > 0.05


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "bert"])
def test_final_keys_and_values_are_those_of_the_cache(architecture):
    model = tiny_model(architecture)
    tokens = model.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        cache = model.hf(**tokens, use_cache=True).past_key_values
    for layer in range(model.geometry.n_layers):
        seen = observe(model, layer)
        keys = final_keys(model, layer, seen["k"], "key_norm")
        cached = cache.layers[layer]
        torch.testing.assert_close(keys.transpose(1, 2), cached.keys, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(seen["v"].transpose(1, 2), cached.values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_value_metric_is_the_distance_between_what_heads_write(architecture):
    model = tiny_model(architecture)
    geometry = model.geometry
    metric = geometry.value_metric(1)
    assert metric.dtype == torch.float64
    gap = torch.randn(geometry.n_kv_heads, geometry.d_head, dtype=torch.float64)
    for kv_head in range(geometry.n_kv_heads):
        heads = range(kv_head * geometry.group_size, (kv_head + 1) * geometry.group_size)
        blocks = [geometry.output_weights(1)[head].double() for head in heads]
        expected = sum(float((block.T @ gap[kv_head]).square().sum()) for block in blocks)
        found = float(gap[kv_head] @ metric[kv_head] @ gap[kv_head])
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_numbers_and_kinds(architecture):
    geometry = tiny_model(architecture, n_layers=3).geometry
    assert (geometry.n_layers, geometry.n_heads, geometry.d_head) == (3, 4, 8)
    grouped = architecture in GROUPED
    assert (geometry.n_kv_heads, geometry.group_size) == ((2, 2) if grouped else (4, 1))
    assert geometry.d_model == (24 if grouped else 32)
    assert geometry.causal == (architecture != "bert")
    assert geometry.has_qk_norm == (architecture == "qwen3")
    assert (geometry.rotation is None) == (geometry.positions == "learned")
    assert len(geometry.attention_modules) == len(geometry.projections) == 3
    assert geometry.logit_scale == pytest.approx(8**-0.5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_module_names_lead_to_the_modules(architecture):
    model = tiny_model(architecture)
    for projections in model.geometry.projections:
        assert model.hf.get_submodule(projections.module_names["k"]) is projections.key_module
        assert model.hf.get_submodule(projections.module_names["o"]) is projections.output_module


def test_a_bidirectional_llama_is_seen_as_such():
    assert not tiny_model("llama", is_causal=False).geometry.causal


def test_splits_are_views():
    projections = tiny_model("gpt2").geometry.projections[0]
    output = torch.zeros(1, 2, 96)
    projections.split_value(output)[0, 1, 3, 7] = 5.0
    assert output[0, 1, 64 + 3 * 8 + 7] == 5.0


def test_a_layer_that_does_not_exist():
    with pytest.raises(UsageError, match=r"layer 2 does not exist.*0 to 1"):
        tiny_model().geometry.key_weights(2)


SMALL = {
    "vocab_size": 20,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
REFUSED = {
    "GPTNeoX": (SMALL, "GPTNeoXForCausalLM", "GPTNeoXAttention"),
    "Bloom": (
        {"vocab_size": 20, "hidden_size": 32, "n_layer": 2, "n_head": 4},
        "BloomForCausalLM",
        "BloomAttention",
    ),
    "Gemma2": ({**SMALL, "head_dim": 8}, "Gemma2ForCausalLM", "Gemma2Attention"),
    "DeepseekV3": (
        {
            **SMALL,
            "num_key_value_heads": 4,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 8,
            "first_k_dense_replace": 2,
        },
        "DeepseekV3ForCausalLM",
        "DeepseekV3Attention",
    ),
    "Mamba": (
        {"vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
        "MambaForCausalLM",
        "no attention modules",
    ),
    "T5": (
        {"vocab_size": 20, "d_model": 32, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 4},
        "T5ForConditionalGeneration",
        "encoder and a decoder",
    ),
    "GPT2": (
        {"vocab_size": 20, "n_embd": 32, "n_layer": 2, "n_head": 4, "add_cross_attention": True},
        "GPT2LMHeadModel",
        "cross-attention",
    ),
}


@pytest.mark.parametrize("family", REFUSED)
def test_other_attention_is_refused_by_name(family):
    settings, model_name, reason = REFUSED[family]
    hf = getattr(transformers, model_name)(getattr(transformers, f"{family}Config")(**settings))
    with pytest.raises(UnsupportedModelError, match=f"{model_name}.*{reason}.*Llama.*GPT-2"):
        read_geometry(hf)


def test_scales_that_differ_by_layer_are_refused():
    with pytest.raises(UnsupportedModelError, match="scale the attention logits differently"):
        tiny_model("gpt2", scale_attn_by_inverse_layer_idx=True)


def test_an_adapter_in_place_of_a_linear_is_refused():
    hf = tiny_model().hf

    class Adapter(nn.Linear):
        pass

    hf.model.layers[1].self_attn.k_proj = Adapter(24, 16, bias=False)
    with pytest.raises(UnsupportedModelError, match=r"layers\.1\.self_attn\.k_proj is a Adapter"):
        read_geometry(hf)


def test_a_subclass_of_a_known_attention_is_refused():
    hf = tiny_model().hf
    for layer in hf.model.layers:
        layer.self_attn.__class__ = type("LlamaAttention", (type(layer.self_attn),), {})
    with pytest.raises(UnsupportedModelError, match="has not been checked"):
        read_geometry(hf)
