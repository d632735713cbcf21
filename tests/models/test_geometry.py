"""The geometry against the model's own forward pass: q, k, v, logits, values and outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaAttention

from probes.errors import NonFiniteError, UnsupportedModelError, UsageError
from probes.models import Model
from probes.models.families import FAMILIES
from probes.models.sites import read_sites
from tests.architectures import build_hf
from tests.tiny import ARCHITECTURES, GROUPED, tiny_model

TEXT = "The black fox saw a small house and ran quickly."


def observe(model: Model, layer: int) -> dict[str, torch.Tensor]:
    """Run one text and return x, q, k, v and the attention's output of a layer, by plain hooks."""
    how = model.geometry.layers[layer]
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, which: str):
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
            seen[name] = (inputs[0] if which == "input" else output).detach().clone()

        return hook

    handles = [
        how.key.module.register_forward_hook(keep("x", "input")),
        how.query.module.register_forward_hook(keep("q", "output")),
        how.key.module.register_forward_hook(keep("k", "output")),
        how.value.module.register_forward_hook(keep("v", "output")),
        how.output_module.register_forward_hook(keep("out", "output")),
    ]
    tokens = model.tokenizer(TEXT, return_tensors="pt")
    try:
        with torch.no_grad():
            model.trunk(**tokens)
    finally:
        for handle in handles:
            handle.remove()
    seen["q"] = how.query.split(seen["q"])
    seen["k"] = how.key.split(seen["k"])
    seen["v"] = how.value.split(seen["v"])
    return seen


def final_keys(model: Model, layer: int, projected: torch.Tensor, part: str) -> torch.Tensor:
    """Norm and rotate projected queries or keys, ``[batch, position, head, d_head]``."""
    how = model.geometry.layers[layer]
    normed = how.norm(part, projected)
    return how.rotate(normed, torch.arange(projected.shape[1])).detach()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_and_biases_make_the_projections(architecture):
    model = tiny_model(architecture, n_layers=3)
    geometry = model.geometry
    for layer in range(geometry.n_layers):
        seen = observe(model, layer)
        for name, kind in (("q", "query"), ("k", "key"), ("v", "value")):
            weights = getattr(geometry, f"{kind}_weights")(layer)
            bias = getattr(geometry.layers[layer], kind).bias()
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
        q = final_keys(model, layer, seen["q"], "query")[0]
        k = final_keys(model, layer, seen["k"], "key")[0]
        v, outputs = seen["v"][0], geometry.output_weights(layer)
        written = torch.zeros_like(seen["out"][0])
        for head in range(geometry.n_heads):
            shared = head // geometry.group_size
            for here in range(len(written)):
                visible = here + 1 if geometry.causal else len(written)
                logits = geometry.logit_scale * (k[:visible, shared] @ q[here, head])
                mixed = logits.softmax(0) @ v[:visible, shared]
                written[here] += outputs[head].T @ mixed
        bias = geometry.layers[layer].output_module.bias
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
        keys = final_keys(model, layer, seen["k"], "key")
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
    assert len(geometry.layers) == 3
    assert geometry.logit_scale == pytest.approx(8**-0.5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_module_names_lead_to_the_modules(architecture):
    model = tiny_model(architecture)
    for layer in model.geometry.layers:
        assert model.hf.get_submodule(layer.key.name) is layer.key.module
        assert model.hf.get_submodule(layer.output_name) is layer.output_module


def test_a_bidirectional_llama_is_seen_as_such():
    assert not tiny_model("llama", is_causal=False).geometry.causal


def test_splits_are_views():
    how = tiny_model("gpt2").geometry.layers[0]
    output = torch.zeros(1, 2, 96)
    how.value.split(output)[0, 1, 3, 7] = 5.0
    assert output[0, 1, 64 + 3 * 8 + 7] == 5.0


def test_a_layer_that_does_not_exist():
    with pytest.raises(UsageError, match=r"layer 2 does not exist.*0 to 1"):
        tiny_model().geometry.key_weights(2)


def test_weights_that_are_not_finite_have_no_spectra():
    geometry = tiny_model("llama", n_layers=2).geometry
    geometry.value_weights(1)[0, 0, 0] = torch.nan  # a view of the parameter
    assert geometry.spectra(0)["value"].isfinite().all()
    with pytest.raises(NonFiniteError, match="value weights of layer 1"):
        geometry.spectra(1)


def test_scales_that_differ_by_layer_are_read_by_layer():
    model = tiny_model("gpt2", scale_attn_by_inverse_layer_idx=True)
    scales = [layer.logit_scale for layer in model.geometry.layers]
    assert scales == pytest.approx([8**-0.5, 8**-0.5 / 2])
    with pytest.raises(UsageError, match="logit_scale differs by layer"):
        _ = model.geometry.logit_scale


def test_what_is_no_linear_layer_is_refused():
    """Adapters and quantised layers are read: see test_quantised."""
    hf = tiny_model().hf
    hf.model.layers[1].self_attn.k_proj = nn.Sequential(nn.Linear(24, 16, bias=False))
    with pytest.raises(UnsupportedModelError, match=r"1\.self_attn\.k_proj is a Sequential, which"):
        read_sites(hf)


def test_layers_without_attention_are_skipped_and_said():
    hf = build_hf("lfm2")
    [geometry] = read_sites(hf).values()
    assert hf.config.layer_types == ["conv", "full_attention", "conv"]
    assert geometry.describe()["layers"] == [1]
    assert geometry.describe()["skipped"] == [0, 2]
    assert [layer.name for layer in geometry.layers] == ["model.layers.1.self_attn"]
    assert tiny_model().geometry.describe()["skipped"] == []


@pytest.mark.parametrize("name", ["gemma3_vision", "kimi_k25"])
def test_of_a_model_that_also_sees_the_text_part_is_read(name):
    hf = build_hf(name)
    [(site, geometry)] = read_sites(hf).items()
    assert site == "decoder"
    text = hf.config.get_text_config()
    assert len(geometry.layers) == text.num_hidden_layers
    assert geometry.d_model == text.hidden_size != hf.config.vision_config.hidden_size
    assert not any("vision" in layer.name for layer in geometry.layers)
    assert any(
        "vision" in name and "Attention" in type(m).__name__ for name, m in hf.named_modules()
    )


def make_strange(hf, **methods):
    """Give the attention modules a class that no list has."""
    for layer in hf.model.layers:
        layer.self_attn.__class__ = type("StrangeAttention", (type(layer.self_attn),), methods)
    return hf


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "mistral"])
def test_a_class_that_is_not_listed_is_derived_and_verified(architecture):
    listed = tiny_model(architecture).geometry
    [derived] = read_sites(make_strange(tiny_model(architecture).hf)).values()
    assert derived.describe() == listed.describe()
    assert derived.layers[1].key.name == listed.layers[1].key.name


LISTED = {
    "hunyuan_dense": "HunYuanDenseV1Attention",
    "nanochat": "NanoChatAttention",
    "falcon_grouped": "FalconAttention",
    "mpt": "MptAttention",
    "xglm": "XGLMAttention",
}


@pytest.mark.parametrize("name", LISTED)
def test_what_is_listed_could_be_derived(name, monkeypatch):
    """Norms after the rotation, attention inside the forward pass, biases, clipped keys."""
    hf = build_hf(name)
    [listed] = read_sites(hf).values()
    monkeypatch.delitem(FAMILIES, LISTED[name])
    [derived] = read_sites(hf).values()
    told = derived.describe()
    if name == "mpt":  # whether a bias is ALiBi's is not seen
        assert told.pop("positions") == "relative bias"
    assert told.pop("logit_scale") == pytest.approx(listed.logit_scale)
    assert told == {key: value for key, value in listed.describe().items() if key in told}
    assert derived.layers[1].late_norm == listed.layers[1].late_norm


def clip(self, hidden_states, **options):
    """Attend with clipped keys, which no weights tell."""
    handle = self.k_proj.register_forward_hook(lambda _module, _args, out: out.clamp(-1, 1))
    gate = self.o_proj.register_forward_pre_hook(lambda _module, args: (args[0].sigmoid(),))
    (gate if self.gates else handle).remove()
    try:
        return LlamaAttention.forward(self, hidden_states, **options)
    finally:
        handle.remove()
        gate.remove()


@pytest.mark.parametrize(
    ("gates", "said"),
    [(True, "keys as attended are not"), (False, "a gate or norm is between")],
)
def test_a_class_that_computes_otherwise_is_refused_with_the_reason(gates, said):
    hf = make_strange(tiny_model().hf, forward=clip, gates=gates)
    with pytest.raises(UnsupportedModelError, match=f"StrangeAttention.*{said}"):
        read_sites(hf)
