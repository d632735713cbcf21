"""The examination over the whole matrix, and that it sees each way of reading wrongly."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest
import torch

from docs.write_models import PAGE
from probes.errors import UnsupportedModelError
from probes.models import examine_model, load_model, refuse_unfaithful
from probes.models.compare import TOLERANCE
from probes.models.examine import examine
from probes.models.sites import read_sites
from tests.architectures import MATRIX, build_hf, example_inputs
from tests.tiny import tiny_model

REFUSED = {
    "albert": "one attention module",
    "clip_text": "hides the future",
    "deepseek_v32": "an index with keys of its own",
    "deberta_v2": "compare words with positions",
    "diffllama": "difference of two softmaxes",
    "esm": "before it rotates",
    "gpt2_cross": "without an encoder of its own",
    "mamba": "no attention modules",
    "qwen3_next": "a gate is between",
    "bitnet": "a norm is between",
    "led": "blocks that overlap",
    "lfm3_gated": "a gate or norm is between",
    "longt5": "blocks that overlap",
    "qwen3_5": "a gate is between",
}


@cache
def build(name):
    """Build and read a model once for all tests here, none of which changes it."""
    hf = build_hf(name)
    return hf, read_sites(hf)


def rows(hf):
    return [example_inputs(hf, seed=seed, length=5 + 4 * seed) for seed in range(3)]


@pytest.mark.parametrize("name", [name for name in MATRIX if name not in REFUSED])
def test_every_site_and_stage_is_the_models_own(name):
    hf, sites = build(name)
    table = examine(hf, sites, rows(hf))
    assert table["passed"].all()
    assert table["difference"].max() < 1e-5
    assert table["check"].nunique() >= 10


NORMED = (
    *("hunyuan_dense", "nanochat"),
    *("qwen3", "qwen3_moe", "olmo2", "olmo3", "olmoe", "cohere", "exaone4", "apertus"),
    *("phi", "persimmon", "stablelm", "gemma3", "gemma3n", "gemma4", "lfm2"),
)


@pytest.mark.parametrize("name", NORMED)
def test_a_sentence_as_long_as_there_are_heads(name):
    """Then the shape of what a norm puts out does not tell its axes apart."""
    hf, sites = build(name)
    assert sites["decoder"].has_qk_norm
    length = sites["decoder"].layers[0].n_kv_heads
    table = examine(hf, sites, [example_inputs(hf, length=length)])
    assert table["difference"].max() < 1e-5


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_sentence(name):
    with pytest.raises(UnsupportedModelError, match=REFUSED[name]):
        read_sites(build_hf(name))


def test_the_matrix_is_wide_and_odd():
    read = [name for name in MATRIX if name not in REFUSED]
    assert len(MATRIX) >= 102
    assert len(read) >= 90
    layers = [
        layer for name in read for geometry in build(name)[1].values() for layer in geometry.layers
    ]
    assert sum(layer.n_heads % 2 for layer in layers) > len(layers) / 3
    assert sum(layer.d_head * layer.n_heads != layer.d_input for layer in layers) > 40


def test_the_page_lists_the_whole_matrix():
    read, refused = PAGE.read_text(encoding="utf-8").split("## Refused")
    for name, entry in MATRIX.items():
        assert f"| {entry.shown} |" in (refused if name in REFUSED else read)


def test_numbers_that_only_some_families_have():
    gemma4 = next(iter(build("gemma4")[1].values()))
    assert len({layer.d_head for layer in gemma4.layers}) == 2
    assert any(layer.reuses_keys_as_values for layer in gemma4.layers)
    assert any(layer.source is not None for layer in gemma4.layers)
    assert all(layer.value_norm is not None for layer in gemma4.layers)
    latent = build("deepseek_v3")[1]["decoder"].layers[0]
    assert latent.d_value != latent.d_head
    assert latent.key.module is latent.value.module
    lfm2 = build("lfm2")[1]["decoder"]
    assert [layer.index for layer in lfm2.layers] != list(range(3))
    gemma2 = build("gemma2")[1]["decoder"]
    assert {layer.window for layer in gemma2.layers} == {8, None}
    assert all(layer.softcap for layer in gemma2.layers)
    assert set(build("t5")[1]) == {"encoder", "decoder", "cross"}


def test_a_layer_without_a_window_has_none():
    """Qwen2-MoE's config calls it 0 when it is not used."""
    hf = build_hf("qwen2_moe", use_sliding_window=False, layer_types=["full_attention"] * 3)
    geometry = read_sites(hf)["decoder"]
    assert hf.config.sliding_window == 0
    assert [layer.window for layer in geometry.layers] == [None] * 3
    assert geometry.window is None


def test_another_window_than_the_mask_has():
    fail(break_layer(tiny_model("llama"), window=3), "who is visible")


def break_layer(model, **changes):
    geometry = model.geometry
    layers = list(geometry.layers)
    layers[1] = dataclasses.replace(layers[1], **changes)
    geometry = dataclasses.replace(geometry, layers=tuple(layers))
    return dataclasses.replace(model, sites={geometry.site: geometry})


def fail(model, match):
    with pytest.raises(UnsupportedModelError, match=match) as caught:
        refuse_unfaithful("it", examine_model(model))
    assert "in layer 1" in str(caught.value)
    assert "in layer 0" not in str(caught.value)


def test_keys_and_values_swapped():
    model = tiny_model("gpt2")
    layer = model.geometry.layers[1]
    fail(break_layer(model, key=layer.value, value=layer.key), r"k as attended.*W_V x|W_V x.*k as")


def test_query_heads_in_another_order():
    model = tiny_model("llama")
    query = model.geometry.layers[1].query
    turned = dataclasses.replace(query, columns=query.columns.roll(1, 0))
    fail(break_layer(model, query=turned), "q as attended")


def test_another_scale():
    model = tiny_model("opt")
    fail(break_layer(model, logit_scale=0.1), "q as attended")


def test_another_rotation():
    model, other = tiny_model("llama"), tiny_model("llama", rope_theta=50.0)
    fail(break_layer(model, rotation=other.geometry.rotation), "k as attended")


def test_a_norm_that_is_not_told():
    fail(break_layer(tiny_model("qwen3"), key_norm=None), "k as attended")


def test_another_output():
    model = tiny_model("bert")
    other = model.geometry.layers[0].output_module
    fail(break_layer(model, output_module=other), "what W_O reads|what is written")


def test_a_kernel_that_attends_otherwise():
    """What the mask says against what is done: a module that hides its first token."""
    model = tiny_model("llama")

    def hide(_module, args, kwargs):
        mask = kwargs["attention_mask"]
        length = kwargs["hidden_states"].shape[1]
        if mask is None:
            mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
        kwargs["attention_mask"] = mask
        return args, kwargs

    # The same mask, said otherwise, changes nothing ...
    attention = model.geometry.layers[1].module
    attention.register_forward_pre_hook(hide, with_kwargs=True)
    refuse_unfaithful("it", examine_model(model))

    # ... and a result that no mask explains is seen.
    output = model.geometry.layers[1].output_module
    output.register_forward_pre_hook(lambda _module, args: (args[0] * 1.01,))
    fail(model, "what W_O reads")


def test_half_precision_has_its_own_tolerance():
    model = tiny_model("llama")
    model.hf.bfloat16()
    table = examine_model(model)
    assert table["passed"].all()
    assert table.loc[table["part"] == "attention", "tolerance"].min() > 0.01


def test_large_logits_are_rounded_and_still_tell_another_scale():
    """Key biases as Qwen2.5 has them: rounding takes 1e-4 of logits of about 1,000."""
    model = tiny_model("qwen2", n_layers=2)
    with torch.no_grad():
        for layer in model.hf.model.layers:
            bias = layer.self_attn.k_proj.bias.unflatten(0, (2, 8))
            bias[:, [3, 7]] = 2000.0  # the pair that turns slowest: nearly the same for all keys
    table = examine_model(model)
    attention = table[table["part"] == "attention"].set_index("check")
    assert attention["passed"].all()
    assert attention["difference"].max() > TOLERANCE
    assert attention["tolerance"].max() < 1e-2
    assert attention.loc["W_K x + b_K = k", "tolerance"] == TOLERANCE
    fail(break_layer(model, logit_scale=0.34), "q as attended")


def test_loading_refuses_what_the_examination_refuses(tmp_path, monkeypatch):
    model = tiny_model("llama")
    model.hf.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    load_model(str(tmp_path))
    broken = break_layer(model, logit_scale=0.1).sites
    monkeypatch.setattr("probes.models.load.read_sites", lambda hf: _move(broken, hf))
    with pytest.raises(UnsupportedModelError, match="q as attended"):
        load_model(str(tmp_path))
    load_model(str(tmp_path), check=False)


def _move(sites, hf):
    """Describe another copy of the model, with the same fault."""
    own = read_sites(hf)["decoder"]
    scale = sites["decoder"].layers[1].logit_scale
    layers = [own.layers[0], dataclasses.replace(own.layers[1], logit_scale=scale)]
    return {"decoder": dataclasses.replace(own, layers=tuple(layers))}
