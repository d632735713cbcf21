"""The check passes faithful models and refuses, by name, each way of being unfaithful."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from probes.capture import check_faithfulness, measure_faithfulness, plan_capture
from probes.errors import FaithfulnessError, NonFiniteError
from probes.models import build_model
from tests.architectures import MATRIX, build_hf
from tests.capture.examples import PAIRS, TEMPLATES, make_plan
from tests.models.test_examine import REFUSED
from tests.tiny import ARCHITECTURES, tiny_model, tiny_tokenizer

STAGES = ("projected", "normed", "rotated")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_faithful_models_pass(architecture, stage):
    model = tiny_model(architecture)
    table = check_faithfulness(model, make_plan(model).sequences, key_stage=stage)
    assert table["passed"].all()
    assert table["difference"].max() < 3e-5
    assert table.columns.tolist() == ["check", "layer", "difference", "tolerance", "passed"]
    kinds = 3 if model.geometry.causal else 2  # only what is causal has prefixes to share
    assert len(table) == 3 * kinds + (1 if stage == "projected" else 0)


WORDLESS = ("vit", "whisper")
TEXT = [
    name
    for name, entry in MATRIX.items()
    if name not in (*REFUSED, *WORDLESS) and entry.kind in ("causal", "encoder")
]


@pytest.mark.parametrize("name", TEXT)
def test_capture_is_faithful_over_the_whole_matrix(name):
    """Batches, shared prefixes and every way of caching them: latent, shared, windowed, none."""
    model = build_model(build_hf(name), tiny_tokenizer(), name=name)
    plan = plan_capture(model.tokenizer, PAIRS, TEMPLATES, causal=model.geometry.causal)
    for stage in ("projected", "attended"):
        table = check_faithfulness(model, plan.sequences, key_stage=stage)
        assert table["difference"].max() < 5e-5


def test_bfloat16_passes_with_its_own_tolerance():
    model = tiny_model("llama")
    model.hf.bfloat16()
    table = check_faithfulness(model, make_plan(model).sequences)
    assert (table["tolerance"] > 1e-2).all()


def refuse(model, match, **options):
    with pytest.raises(FaithfulnessError, match=match) as caught:
        check_faithfulness(model, make_plan(model).sequences, **options)
    return str(caught.value)


def with_layer(model, layer, **changes):
    """Return the model with one layer's projections described otherwise."""
    layers = list(model.geometry.layers)
    layers[layer] = dataclasses.replace(layers[layer], **changes)
    return with_layers(model, layers)


def with_layers(model, layers):
    geometry = dataclasses.replace(model.geometry, layers=tuple(layers))
    return dataclasses.replace(model, sites={geometry.site: geometry})


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt"])
def test_swapped_keys_and_values(architecture):
    model = tiny_model(architecture)
    p = model.geometry.layers[1]
    swapped = with_layer(model, 1, key=p.value, value=p.key)
    text = refuse(swapped, r"keys equal the model's own: \d")
    assert "W_V x + b_V equals the values" in text
    assert "in layer 1" in text
    assert "in layer 0" not in text
    assert "tiny-" in text


def test_heads_in_another_order():
    model = tiny_model("gpt2")
    value = model.geometry.layers[0].value
    shifted = dataclasses.replace(value, columns=value.columns - 8)
    refuse(with_layer(model, 0, value=shifted), r"W_V x \+ b_V equals the values")


@pytest.mark.parametrize("stage", ["projected", "normed"])
def test_another_rotation(stage):
    model, other = tiny_model("llama"), tiny_model("llama", rope_theta=50.0)
    rotation = dataclasses.replace(model.geometry.rotation, module=other.geometry.rotation.module)
    layers = [dataclasses.replace(how, rotation=rotation) for how in model.geometry.layers]
    text = refuse(with_layers(model, layers), "keys equal", key_stage=stage)
    assert "values equal" not in text


def test_a_norm_that_is_not_told():
    model = tiny_model("qwen3")
    refuse(with_layer(model, 1, key_norm=None), "keys equal the model's own")


def test_weights_that_are_not_those_of_the_values():
    model = tiny_model("llama")
    other = tiny_model("llama", seed=5).geometry.layers[0].value.module

    class Elsewhere(type(model.geometry.layers[0].value)):
        def weights(self):
            return other.weight.detach().unflatten(0, (self.n_heads, self.d_head))

    value = model.geometry.layers[0].value
    named = Elsewhere(**{f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    text = refuse(with_layer(model, 0, value=named), r"W_V x \+ b_V equals the values")
    assert "own" not in text


@pytest.mark.parametrize(
    ("name", "told"),
    [("key", "keys in a padded batch"), ("value", "values in a padded batch")],
)
def test_noise_in_batches_only(name, told):
    model = tiny_model("llama")

    def disturb(_module, _args, output):
        return output + 0.1 * torch.randn_like(output) if len(output) > 1 else output

    module = getattr(model.geometry.layers[0], name).module
    handle = module.register_forward_hook(disturb)
    refuse(model, told)
    handle.remove()
    check_faithfulness(model, make_plan(model).sequences)


def test_a_model_that_ignores_its_cache():
    """Positions that start again after a shared prefix."""
    model = tiny_model("gpt2")

    def restart(_module, args, kwargs):
        ids, cache = kwargs.get("input_ids"), kwargs.get("past_key_values")
        if ids is not None and cache is not None and cache.get_seq_length():
            kwargs["position_ids"] = torch.arange(ids.shape[1])[None]
        return args, kwargs

    model.trunk.register_forward_pre_hook(restart, with_kwargs=True)
    refuse(model, "keys after a shared prefix equal those alone")


def test_attention_that_is_not_what_the_mask_says(monkeypatch):
    """Weights computed over the padding too show against those of a sequence alone."""
    model = tiny_model("bert")
    monkeypatch.setattr(
        "probes.models.tap.Attended.allow",
        lambda self, row, position, **_: torch.zeros(len(row), 1, self.key.shape[2]),
    )
    text = refuse(model, "attention in a padded batch equals that alone")
    assert "keys equal" not in text


def test_nan_weights_do_not_pass():
    model = tiny_model("llama")
    with torch.no_grad():
        model.geometry.layers[1].value.module.weight[3, 3] = float("nan")
    with pytest.raises(NonFiniteError, match="NaN or infinite keys or values, without any hook"):
        check_faithfulness(model, make_plan(model).sequences)


def test_nan_in_what_is_captured_does_not_pass():
    model = tiny_model("llama")
    plan = make_plan(model)

    def spoil(_module, _args, output):
        return output * float("nan") if len(output) > 1 else output

    model.geometry.layers[0].value.module.register_forward_hook(spoil)
    table = measure_faithfulness(model, plan.sequences, key_stage="normed", n_sequences=3)
    failed = set(table["check"][~table["passed"]])
    assert "values in a padded batch equal those alone" in failed
    refuse(model, "values in a padded batch equal those alone: nan")


def test_a_sliding_window_shorter_than_the_sentence():
    model = tiny_model("mistral", sliding_window=4)
    assert model.geometry.window == 4
    assert check_faithfulness(model, make_plan(model).sequences)["passed"].all()


def test_one_sequence_is_enough():
    model = tiny_model("llama")
    assert check_faithfulness(model, make_plan(model).sequences[:1])["passed"].all()
