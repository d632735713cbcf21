"""The theorem behind the functional space: a change of basis of the model does not move it."""

import copy

import pytest
import torch

from analyses.divergence import QUESTION, DivergenceSettings
from analyses.shared.given import Given
from probes.models import build_model
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

SETTINGS = DivergenceSettings(resamples=4, random_pairs=60, bins=4)


def draw_matrix(size, generator):
    """A well-conditioned random matrix: a rotation, a stretch, a rotation."""
    left, right = (
        torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
        for _ in range(2)
    )
    return left @ torch.diag(0.5 + torch.rand(size, generator=generator).double()) @ right


def draw_commuting(size, generator):
    """A random matrix that commutes with the rotations of pairs (i, i + size / 2)."""
    half = size // 2
    a, b = (torch.randn(half, generator=generator).double() + 1.5 for _ in range(2))
    matrix = torch.zeros(size, size, dtype=torch.float64)
    index = torch.arange(half)
    matrix[index, index] = matrix[index + half, index + half] = a
    matrix[index, index + half], matrix[index + half, index] = -b, b
    return matrix


def change_basis(model, *, rotary):
    """Keys by M, queries by M^-T; values by R, W_O by R^-1; another M and R for every kv head."""
    hf = copy.deepcopy(model.hf)
    geometry = build_model(hf, model.tokenizer, name="copy").geometry
    generator = torch.Generator().manual_seed(11)
    draw = draw_commuting if rotary else draw_matrix
    for layer in range(geometry.n_layers):
        q, k, v, o = (
            getattr(geometry, f"{kind}_weights")(layer)
            for kind in ("query", "key", "value", "output")
        )
        for kv_head in range(geometry.n_kv_heads):
            m = draw(geometry.d_head, generator)
            r = draw_matrix(geometry.d_head, generator)
            turn_back = torch.linalg.inv(m).T
            with torch.no_grad():
                for weight, bias, matrix in (
                    (k, geometry.layers[layer].key.bias(), m),
                    (v, geometry.layers[layer].value.bias(), r),
                ):
                    weight[kv_head] = (matrix @ weight[kv_head].double()).float()
                    if bias is not None:
                        bias[kv_head] = (matrix @ bias[kv_head].double()).float()
                for head in range(
                    kv_head * geometry.group_size, (kv_head + 1) * geometry.group_size
                ):
                    q[head] = (turn_back @ q[head].double()).float()
                    if (bias := geometry.layers[layer].query.bias()) is not None:
                        bias[head] = (turn_back @ bias[head].double()).float()
                    o[head] = (torch.linalg.inv(r).T @ o[head].double()).float()
    return build_model(hf, model.tokenizer, name="changed")


@pytest.mark.parametrize(("architecture", "rotary"), [("llama", True), ("gpt2", False)])
def test_a_change_of_basis_moves_no_functional_measure(architecture, rotary, tmp_path):
    model = tiny_model(architecture, seed=5)
    changed = change_basis(model, rotary=rotary)
    ids = model.tokenizer("The black dog saw a tree.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(
            changed.hf(ids).logits, model.hf(ids).logits, atol=1e-4, rtol=1e-4
        )
    before, after = (
        QUESTION.compute(Given(store=store), SETTINGS)["pair_heads"]
        for store in (
            capture_tiny(model, tmp_path / "before"),
            capture_tiny(changed, tmp_path / "after"),
        )
    )
    for name in ("s_k", "s_v", "d_k", "d_v"):
        scale = before[name].abs().mean()
        assert (before[name] - after[name]).abs().max() / scale < 1e-4, name  # float32 forward
        assert (before[name] - after[name]).abs().mean() / scale < 1e-5, name
    assert (before["raw_s_k"] - after["raw_s_k"]).abs().max() > 0.01
    assert (before["raw_s_v"] - after["raw_s_v"]).abs().max() > 0.01
