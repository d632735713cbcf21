"""Theorems about rotations, on the model's own frequencies."""

from __future__ import annotations

import pytest
import torch

from probes.errors import UnsupportedModelError
from probes.models import Rotation
from tests.tiny import tiny_model

YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
PARTIAL = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}


def rotation(kind: str) -> Rotation:
    if kind == "partial":
        found = tiny_model("phi", rope_parameters=PARTIAL).geometry.rotation
    else:
        scaled = {
            "plain": {},
            "yarn": {"rope_parameters": YARN},
            "llama3": {"rope_parameters": LLAMA3},
        }
        found = tiny_model("llama", **scaled[kind]).geometry.rotation
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["plain", "partial", "yarn", "llama3"])
def test_products_depend_on_the_distance_only(kind):
    turn = rotation(kind)
    q, k = torch.randn(2, 8)
    for distance in (0, 1, 7, 31):
        products = torch.stack(
            [
                turn.rotate(q, torch.tensor(here + distance)) @ turn.rotate(k, torch.tensor(here))
                for here in (0, 3, 40, 90)
            ]
        )
        torch.testing.assert_close(products, products[:1].expand(4), atol=5e-5, rtol=1e-4)
    near, far = (turn.rotate(q, torch.tensor(p)) @ k for p in (0, 5))
    assert abs(near - far) > 1e-3


@pytest.mark.parametrize("kind", ["plain", "partial", "yarn", "llama3"])
def test_transpose_is_the_adjoint(kind):
    turn = rotation(kind)
    v, w = torch.randn(2, 5, 3, 8)
    positions = torch.arange(5)[:, None] * 9
    left = (turn.rotate(v, positions) * w).sum(-1)
    right = (v * turn.transpose(w, positions)).sum(-1)
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


def test_transpose_undoes_a_plain_rotation_but_not_a_scaled_one():
    v, position = torch.randn(8), torch.tensor(11)
    plain, yarn = rotation("plain"), rotation("yarn")
    torch.testing.assert_close(plain.transpose(plain.rotate(v, position), position), v)
    scaling = yarn.module.attention_scaling
    assert scaling > 1.05
    torch.testing.assert_close(yarn.transpose(yarn.rotate(v, position), position), v * scaling**2)


def test_rotation_by_pairs_in_a_loop():
    turn = rotation("plain")
    v = torch.randn(8)
    expected = v.clone()
    for pair in range(4):
        angle = torch.tensor(6.0 * 1e4 ** (-2 * pair / 8))
        a, b = v[pair], v[pair + 4]
        expected[pair] = a * angle.cos() - b * angle.sin()
        expected[pair + 4] = b * angle.cos() + a * angle.sin()
    torch.testing.assert_close(turn.rotate(v, torch.tensor(6)), expected)


def test_a_partial_rotation_leaves_the_rest():
    turn = rotation("partial")
    assert turn.d_rotary == 4
    v = torch.randn(8)
    turned = turn.rotate(v, torch.tensor(3))
    assert torch.equal(turned[4:], v[4:])
    assert not torch.allclose(turned[:4], v[:4])


@pytest.mark.parametrize("kind", ["plain", "yarn"])
def test_shapes_and_dtypes(kind):
    turn = rotation(kind)
    cos, sin = turn.cos_sin(torch.arange(6).reshape(2, 3))
    assert cos.shape == sin.shape == (2, 3, 4)
    rotated = turn.rotate(torch.randn(2, 3, 4, 8, dtype=torch.float64), torch.arange(3)[:, None])
    assert (rotated.dtype, rotated.shape) == (torch.float64, (2, 3, 4, 8))


@pytest.mark.parametrize("scaled", [YARN, LLAMA3])
def test_scaled_rotations_are_those_of_the_cache(scaled):
    model = tiny_model("llama", rope_parameters=scaled)
    turn = model.geometry.rotation
    tokens = model.tokenizer("a small dog ran and saw the tree", return_tensors="pt")
    with torch.no_grad():
        output = model.hf(**tokens, use_cache=True, output_hidden_states=True)
        layer = model.hf.model.layers[0]
        x = layer.input_layernorm(output.hidden_states[0])
        keys = model.geometry.layers[0].key.split(layer.self_attn.k_proj(x))
        rotated = turn.rotate(keys, torch.arange(x.shape[1])[:, None])
    cached = output.past_key_values.layers[0].keys
    torch.testing.assert_close(rotated.transpose(1, 2), cached, atol=1e-5, rtol=1e-5)


def test_a_rotation_that_depends_on_the_length_is_refused():
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    with pytest.raises(UnsupportedModelError, match="rope_type 'dynamic'"):
        tiny_model("llama", rope_parameters=dynamic)
