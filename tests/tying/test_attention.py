"""Attention of every variant against a loop over heads, and what theory says of the variants."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import UsageError
from probes.tying.attention import ROTARY_BASE, Attention, rotate
from probes.tying.shape import ModelShape
from probes.tying.variants import VARIANTS, find_variant

POSITIONS = ("learned", "none", "rotary")


def make_shape(variant="separate", *, positions="none", d_model=20, n_heads=2, d_head=8):
    return ModelShape(
        vocabulary=11,
        length=16,
        d_model=d_model,
        n_layers=1,
        n_heads=n_heads,
        d_head=d_head,
        d_feedforward=12,
        variant=variant,
        positions=positions,
    )


def make_attention(shape, *, causal=True, cross=False, seed=0):
    torch.manual_seed(seed)
    attention = Attention(shape, causal=causal, cross=cross).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return attention


def turn(vector, position, d_rotated):
    """Rotate by complex numbers: channel i + sqrt(-1) channel i + half, times e^(i angle)."""
    kept, rotated = vector[: len(vector) - d_rotated], vector[len(vector) - d_rotated :]
    half = d_rotated // 2
    complex_ = torch.complex(rotated[:half], rotated[half:])
    angles = torch.tensor(
        [position * ROTARY_BASE ** (-channel / half) for channel in range(half)],
        dtype=torch.float64,
    )
    turned = complex_ * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([kept, turned.real, turned.imag])


def attend_by_hand(attention, shape, x, source, *, causal, d_rotated):
    """One head, one query, one key at a time, from the definition of the variant."""
    weights = {name: p.detach() for name, p in attention.named_parameters()}
    d, group = shape.d_head, shape.n_heads // shape.n_kv_heads
    kind = shape.kind
    out = torch.zeros(len(x), shape.d_model, dtype=torch.float64)

    def rows(name, head, width):
        return weights[f"{name}.weight"][head * width : (head + 1) * width]

    for head in range(shape.n_heads):
        kv = head // group
        keys, values = [], []
        for row in source:
            if kind.value == "half":
                value = rows("value", kv, d) @ row
                key = torch.cat([value[: d // 2], rows("key", kv, d // 2) @ row])
            else:
                key = rows("key", kv, d) @ row
                if kind.value == "own":
                    value = rows("value", kv, d) @ row
                elif kind.value == "diagonal":
                    value = weights["value_map"][kv, 0] * key
                elif kind.value == "per head":
                    value = weights["value_map"][kv].T @ key
                else:
                    value = key
            keys.append(key)
            values.append(value)
        for here, row in enumerate(x):
            query = rows("key" if kind.query_is_key else "query", head, d) @ row
            scores = []
            for there, key in enumerate(keys):
                if causal and there > here:
                    continue
                if d_rotated:
                    scores.append(turn(query, here, d_rotated) @ turn(key, there, d_rotated))
                else:
                    scores.append(query @ key)
            share = torch.stack(scores).div(math.sqrt(d)).softmax(0)
            mixed = sum(s * v for s, v in zip(share, values, strict=False))
            out[here] += weights["output.weight"][:, head * d : (head + 1) * d] @ mixed
    return out


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_by_hand(variant, positions):
    shape = make_shape(variant, positions=positions)
    attention = make_attention(shape)
    x = torch.randn(3, 5, shape.d_model, dtype=torch.float64)
    rotated = {"rotary": 4 if variant == "half_tied" else 8}.get(positions, 0)
    found = attention(x)
    digits = 1e-4 if rotated else 1e-8  # angles are float32
    for row, mine in zip(x, found, strict=True):
        expected = attend_by_hand(attention, shape, row, row, causal=True, d_rotated=rotated)
        torch.testing.assert_close(mine, expected, atol=digits, rtol=digits)


@pytest.mark.parametrize("variant", VARIANTS)
def test_cross_attention_by_hand_and_never_rotated(variant):
    shape = make_shape(variant, positions="rotary")
    attention = make_attention(shape, causal=False, cross=True)
    x = torch.randn(1, 3, shape.d_model, dtype=torch.float64)
    source = torch.randn(1, 7, shape.d_model, dtype=torch.float64)
    expected = attend_by_hand(attention, shape, x[0], source[0], causal=False, d_rotated=0)
    torch.testing.assert_close(attention(x, source)[0], expected)


def test_four_heads_share_two_or_one():
    assert make_shape("grouped", n_heads=4).n_kv_heads == 2
    assert make_shape("multi_query", n_heads=4).n_kv_heads == 1
    shape = make_shape("grouped", n_heads=4)
    attention = make_attention(shape)
    x = torch.randn(1, 6, shape.d_model, dtype=torch.float64)
    expected = attend_by_hand(attention, shape, x[0], x[0], causal=True, d_rotated=0)
    torch.testing.assert_close(attention(x)[0], expected)


@settings(deadline=None, max_examples=30)
@given(here=st.integers(0, 60), there=st.integers(0, 60), shift=st.integers(0, 60))
def test_rotation_knows_only_the_distance(here, there, shift):
    torch.manual_seed(here)
    q, k = torch.randn(2, 6, dtype=torch.float64)

    def meet(a, b):
        length = max(a, b) + 1
        line_q, line_k = (v.expand(1, 1, length, 6) for v in (q, k))
        return float(rotate(line_q, 6)[0, 0, a] @ rotate(line_k, 6)[0, 0, b])

    assert meet(here, there) == pytest.approx(meet(here + shift, there + shift), abs=1e-4)
    assert meet(here, here) == pytest.approx(float(q @ k), abs=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_are_taken_before_the_rotation(variant):
    plain, rotary = (
        make_attention(make_shape(variant, positions=positions)) for positions in ("none", "rotary")
    )
    x = torch.randn(2, 5, 20, dtype=torch.float64)
    torch.testing.assert_close(plain.read_keys_values(x), rotary.read_keys_values(x))


@pytest.mark.parametrize("positions", ["none", "rotary"])
@pytest.mark.parametrize("variant", ["diagonal", "per_head"])
def test_a_linear_map_of_the_key_adds_nothing_that_k_equals_v_cannot(variant, positions):
    """W_O absorbs the map: the same function, so the same class of functions as K = V."""
    mapped = make_attention(make_shape(variant, positions=positions))
    tied = make_attention(make_shape("tied", positions=positions), seed=1)
    blocks = mapped.output.weight.detach().unflatten(1, (2, 8)).transpose(0, 1)
    maps = mapped.value_map.detach()
    maps = torch.diag_embed(maps[:, 0]) if variant == "diagonal" else maps
    with torch.no_grad():
        tied.query.weight.copy_(mapped.query.weight)
        tied.key.weight.copy_(mapped.key.weight)
        tied.output.weight.copy_((blocks @ maps.mT).transpose(0, 1).flatten(1))
    x = torch.randn(2, 6, 20, dtype=torch.float64)
    torch.testing.assert_close(tied(x), mapped(x))


def test_k_equals_v_with_heads_twice_as_wide_can_do_whatever_separate_can():
    """Half of each key matches, the other half is the value; queries and W_O see one half each."""
    separate = make_attention(make_shape("separate"))
    tied = make_attention(make_shape("tied", d_head=16), seed=1)
    with torch.no_grad():
        for head in range(2):
            mine, wide = slice(8 * head, 8 * head + 8), 16 * head
            first, second = slice(wide, wide + 8), slice(wide + 8, wide + 16)
            tied.query.weight[first] = separate.query.weight[mine] * math.sqrt(2)
            tied.query.weight[second] = 0
            tied.key.weight[first] = separate.key.weight[mine]
            tied.key.weight[second] = separate.value.weight[mine]
            tied.output.weight[:, first] = 0
            tied.output.weight[:, second] = separate.output.weight[:, mine]
    x = torch.randn(2, 6, 20, dtype=torch.float64)
    torch.testing.assert_close(tied(x), separate(x))


def test_with_q_equal_k_nobody_gets_more_attention_than_oneself_among_keys_of_one_length():
    """Cauchy-Schwarz: why Q = K is bad at looking up something else."""
    attention = make_attention(make_shape("query_key"), causal=False)
    x = torch.randn(1, 9, 20, dtype=torch.float64)
    k, _ = attention.read_keys_values(x)
    k = torch.nn.functional.normalize(k, dim=-1)
    scores = k @ k.mT
    assert (scores.argmax(-1) == torch.arange(9)).all()


def test_wrong_names_and_sizes_are_refused():
    with pytest.raises(UsageError, match="no variant 'tyed'"):
        find_variant("tyed")
    with pytest.raises(UsageError, match="multiple of 2"):
        make_shape("separate", positions="rotary", d_head=7)
    with pytest.raises(UsageError, match="multiple of 4"):
        make_shape("half_tied", positions="rotary", d_head=6)
    with pytest.raises(UsageError, match="share 2 kv heads"):
        make_shape("grouped", n_heads=5)
    with pytest.raises(UsageError, match="d_head is 0"):
        make_shape(d_head=0)
