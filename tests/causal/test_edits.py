"""Edits over the whole matrix, against what the model attends with and edits made by hand."""

from __future__ import annotations

import pytest
import torch

from probes.causal.edits import Edit, editable_layers, intervening
from probes.errors import UsageError
from probes.models.observe import observe
from probes.models.sites import read_sites
from tests.architectures import MATRIX, build_hf, example_inputs
from tests.models.test_examine import REFUSED
from tests.tiny import tiny_model

READ = [name for name in MATRIX if name not in REFUSED]
CLOSE = {"atol": 2e-5, "rtol": 1e-4}
WHERE = slice(1, 4)


@torch.inference_mode()
def run(hf, inputs):
    return hf(**inputs)[0]


def ramp(made):
    """Vectors that differ in every coordinate, head and position, and depend on the model's own."""
    own = made.values
    return own.flip(-1) * 0.5 + torch.linspace(-1, 1, own[0].numel()).reshape(own.shape[1:])


def ramp_keys(made):
    own = made.keys
    return own.flip(-1) * 0.5 + torch.linspace(-1, 1, own[0].numel()).reshape(own.shape[1:])


@pytest.fixture(scope="module", params=READ)
def hf(request):
    return build_hf(request.param)


def test_an_edit_that_changes_nothing_leaves_the_logits_bit_identical(hf):
    inputs = example_inputs(hf)
    clean = run(hf, inputs)
    for geometry in read_sites(hf).values():
        same = [
            Edit("keys", lambda made: made.keys),
            Edit("values", lambda made: made.values),
            Edit("values", lambda made: made.values, layer=0, kv_heads=(0,), positions=WHERE),
        ]
        with intervening(geometry, same):
            assert torch.equal(run(hf, inputs), clean)


@pytest.mark.parametrize("part", ["keys", "values"])
def test_an_edit_reaches_its_own_head_and_positions_alone(hf, part):
    """As HF's own attention sees it: the edited vectors after norm and rotation, else no change."""
    inputs = example_inputs(hf)
    clean_logits = run(hf, inputs)
    for geometry in read_sites(hf).values():
        place = editable_layers(geometry)[-1]
        layer = geometry.layers[place]
        head = layer.n_kv_heads - 1
        given = {}

        def change(made, given=given):
            given["new"] = ramp(made) if part == "values" else ramp_keys(made)
            return given["new"]

        before = observe(hf, geometry, inputs)[0][place].attended
        edit = Edit(part, change, layer=place, kv_heads=(head,), positions=WHERE)
        with intervening(geometry, edit):
            layers, logits = observe(hf, geometry, inputs)
        after = layers[place].attended
        expected = {
            "keys": before.key.transpose(1, 2).clone(),
            "values": before.value.transpose(1, 2).clone(),
        }
        width = given["new"].shape[-1]
        if part == "values":
            whole = given["new"].expand(-1, -1, layer.n_kv_heads, -1)
            new = layer.norm("value", whole)
        else:
            # A norm over all heads together sees the others as they were.
            whole = layer.key.project(layers[place].x)[:, WHERE].clone()
            whole[..., head : head + 1, :width] = given["new"]
            new = layer.norm("key", whole)
            if layer.rotation is not None and geometry.site != "cross":
                new = layer.attend("key", new, torch.arange(8)[WHERE])
            if layer.key_norm is not None and layer.key_norm.acts_on == "all heads":
                expected["keys"][:, WHERE] = new
        expected[part][:, WHERE, head] = new[..., head, :]
        torch.testing.assert_close(after.key.transpose(1, 2), expected["keys"], **CLOSE)
        torch.testing.assert_close(after.value.transpose(1, 2), expected["values"], **CLOSE)
        assert not torch.equal(logits[0], clean_logits)
        assert torch.equal(run(hf, inputs), clean_logits)


# Family -> (the module that makes it, which of its outputs are value head 1's), written by hand.
BY_HAND = {
    "llama": ("model.layers.1.self_attn.v_proj", range(8, 16)),
    "qwen3": ("model.layers.1.self_attn.v_proj", range(8, 16)),
    "gpt2": ("transformer.h.1.attn.c_attn", range(48 + 8, 48 + 16)),
    "gpt_neox": ("gpt_neox.layers.1.attention.query_key_value", range(24 + 16, 48)),
    "gptj": ("transformer.h.1.attn.v_proj", range(8, 16)),
    "phi3": ("model.layers.1.self_attn.qkv_proj", range(48 + 24 + 8, 48 + 24 + 16)),
    "bloom": ("transformer.h.1.self_attention.query_key_value", range(24 + 16, 48)),
    "deepseek_v3": ("model.layers.1.self_attn.kv_b_proj", range(13 + 6, 26)),
    "bert": ("bert.encoder.layer.1.attention.self.value", range(8, 16)),
    "t5": ("encoder.block.1.layer.0.SelfAttention.v", range(6, 12)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_edits_equal_the_same_edits_by_hand(name):
    hf = build_hf(name)
    inputs = example_inputs(hf)
    geometry = next(iter(read_sites(hf).values()))
    with intervening(
        geometry, Edit("values", lambda made: -2 * made.values, layer=1, kv_heads=(1,))
    ):
        ours = run(hf, inputs)
    module, columns = BY_HAND[name]
    linear = hf.get_submodule(module)

    def by_hand(_module, _args, output):
        output = output.clone()
        output[..., list(columns)] *= -2
        return output

    handle = linear.register_forward_hook(by_hand)
    theirs = run(hf, inputs)
    handle.remove()
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, run(hf, inputs))


def test_one_multi_query_head_and_a_cross_attention():
    hf = build_hf("gpt_bigcode")
    geometry = read_sites(hf)["decoder"]
    assert geometry.n_kv_heads == 1
    inputs = example_inputs(hf)
    with intervening(geometry, Edit("keys", lambda made: made.keys.flip(-1), layer=2)):
        ours = run(hf, inputs)

    def by_hand(_module, _args, output):  # 24 of queries, 8 of the key, 8 of the value
        return torch.cat([output[..., :24], output[..., 24:32].flip(-1), output[..., 32:]], dim=-1)

    handle = hf.transformer.h[2].attn.c_attn.register_forward_hook(by_hand)
    assert torch.equal(ours, run(hf, inputs))
    handle.remove()


def test_edits_of_a_layer_see_what_it_made_before_any():
    """Keys and values change places; in a fused projection too."""
    for hf in map(build_hf, ("llama", "gpt2", "phi3")):
        geometry = read_sites(hf)["decoder"]
        inputs = example_inputs(hf)
        places = [
            Edit("keys", lambda made: made.values, layer=0),
            Edit("values", lambda made: made.keys, layer=0),
        ]
        projected = observe(hf, geometry, inputs)[0][0]
        value = geometry.layers[0].value.project(projected.x)
        key = geometry.layers[0].key.project(projected.x)
        with intervening(geometry, places):
            seen = observe(hf, geometry, inputs)[0][0].attended
        torch.testing.assert_close(seen.value.transpose(1, 2), key, **CLOSE)
        rotated = geometry.layers[0].rotate(value, torch.arange(12))
        torch.testing.assert_close(seen.key.transpose(1, 2), rotated, **CLOSE)


def test_rows_are_edited_apart():
    model = tiny_model("qwen2", n_layers=3)
    ids = torch.randint(3, 200, (3, 9), generator=torch.Generator().manual_seed(0))
    flip = Edit("values", lambda made: made.values.flip(-1), layer=1)
    halve = Edit("keys", lambda made: made.keys / 2, layer=2, kv_heads=(1,))
    alone = []
    for edits in ([], [flip], [halve]):
        with intervening(model.geometry, edits):
            alone.append(run(model.hf, {"input_ids": ids[len(alone)][None]})[0])
    together = [
        Edit("values", flip.change, layer=1, rows=slice(1, 2)),
        Edit("keys", halve.change, layer=2, kv_heads=(1,), rows=slice(2, 3)),
    ]
    with intervening(model.geometry, together):
        batch = run(model.hf, {"input_ids": ids})
    torch.testing.assert_close(batch, torch.stack(alone), **CLOSE)


def test_hooks_go_when_the_block_fails():
    model = tiny_model("llama")
    inputs = {"input_ids": torch.tensor([[1, 5, 9, 4]])}
    clean = run(model.hf, inputs)
    narrow = Edit("values", lambda made: made.values[..., :7])
    wrong = r"gave shape \(1, 4, 2, 7\); expected.*\(1, 4, 2, 8\)"
    with pytest.raises(UsageError, match=wrong), intervening(model.geometry, narrow):
        run(model.hf, inputs)
    double = Edit("values", lambda made: made.values * 2)
    with pytest.raises(KeyboardInterrupt), intervening(model.geometry, double):
        raise KeyboardInterrupt
    assert torch.equal(run(model.hf, inputs), clean)


def test_wrong_places_are_refused():
    model = tiny_model("llama")
    for edit, message in (
        (Edit("keys", lambda made: made.keys, layer=2), "2 layers, 0 to 1"),
        (Edit("keys", lambda made: made.keys, kv_heads=(2,)), "has 2, 0 to 1"),
    ):
        with pytest.raises(UsageError, match=message), intervening(model.geometry, edit):
            pass
    shared = read_sites(build_hf("gemma3n"))["decoder"]
    edit = Edit("keys", lambda made: made.keys, layer=3)
    message = "takes its keys and values from layer 1"
    with pytest.raises(UsageError, match=message), intervening(shared, edit):
        pass
