"""Counts against brute force: numel, torch's own FLOP counter, ranks of what is cached."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from probes.tying.counts import (
    count_cache,
    count_flops,
    count_parameters,
    count_scaled_parameters,
    give_back,
)
from probes.tying.shape import ModelShape
from probes.tying.transformer import Transformer
from probes.tying.variants import VARIANTS

SHAPES = st.builds(
    ModelShape,
    vocabulary=st.integers(2, 9),
    length=st.integers(3, 7),
    d_model=st.integers(3, 11),
    n_layers=st.integers(1, 3),
    n_heads=st.sampled_from([2, 4]),
    d_head=st.sampled_from([4, 8]),
    d_feedforward=st.integers(1, 13),
    variant=st.sampled_from(list(VARIANTS)),
    positions=st.sampled_from(["learned", "none", "rotary"]),
    n_encoder_layers=st.integers(0, 2),
)
PARTS = {
    "embedding": "embedding",
    "positions": "positions",
    "query.": "queries",
    "key.": "keys",
    "value.": "values",
    "value_map": "values",
    "output.": "output",
    "feedforward.": "feedforward",
    "norm": "norms",
}


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES)
def test_parameters_are_those_of_the_model(shape):
    shape = give_back(shape)
    expected = dict.fromkeys(count_parameters(shape), 0)
    for name, parameter in Transformer(shape).named_parameters():
        # The norm before the feed-forward layer has both words in its name.
        part = "norms" if "norm" in name else next(p for word, p in PARTS.items() if word in name)
        expected[part] += parameter.numel()
    assert count_parameters(shape) == expected
    scaled = sum(expected[name] for name in ("queries", "keys", "values", "output", "feedforward"))
    assert count_scaled_parameters(shape) == scaled


@settings(deadline=None, max_examples=40)
@given(shape=SHAPES, tokens=st.integers(1, 3), source=st.integers(1, 3))
def test_operations_are_those_that_torch_counts(shape, tokens, source):
    model = Transformer(shape)
    read = torch.zeros(1, source, dtype=torch.long) if shape.n_encoder_layers else None
    with (
        torch.no_grad(),
        FlopCounterMode(display=False) as counter,
        sdpa_kernel(SDPBackend.MATH),
    ):
        model(torch.zeros(1, tokens, dtype=torch.long), read)
    n_source = source if shape.n_encoder_layers else 0
    assert count_flops(shape, tokens=tokens, source_tokens=n_source) == counter.get_total_flops()


def make_shape(variant, **changes):
    shape = ModelShape(
        vocabulary=7,
        length=5,
        d_model=96,
        n_layers=3,
        n_heads=4,
        d_head=8,
        d_feedforward=4 * 96,
        variant=variant,
    )
    return replace(shape, **changes)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_cached_is_as_many_numbers_as_keys_and_values_have_dimensions(variant):
    """[k, v] of random inputs spans a space of exactly that dimension."""
    shape = make_shape(variant, d_model=80)
    attention = Transformer(shape).blocks[0].attention.double()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn_like(parameter))
        k, v = attention.read_keys_values(torch.randn(1, 200, 80, dtype=torch.float64))
    both = torch.cat([k, v], -1)[0].transpose(0, 1).flatten(1)
    assert count_cache(shape) == {"self": 3 * int(torch.linalg.matrix_rank(both)), "cross": 0}


def test_an_encoder_decoder_caches_the_source_as_well():
    shape = make_shape("tied", n_encoder_layers=2)
    assert count_cache(shape) == {"self": 3 * 32, "cross": 3 * 32}


def test_one_third_is_a_third_of_q_k_and_v_only():
    """The share that K = V saves, in a block of the usual proportions (4 d^2 and 8 d^2)."""
    separate, tied = (
        count_parameters(make_shape(name, n_heads=12)) for name in ("separate", "tied")
    )
    saved = sum(separate.values()) - sum(tied.values())
    qkv = sum(separate[name] for name in ("queries", "keys", "values"))
    assert saved * 3 == qkv
    assert saved * 4 == qkv + separate["output"]
    assert saved * 12 == qkv + separate["output"] + separate["feedforward"]


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES)
def test_parameters_given_back_are_as_near_as_a_width_can_bring_them(shape):
    shape = replace(shape, variant="tied_wide")
    wanted = sum(count_parameters(replace(shape, variant="separate")).values())

    def miss(width):
        return abs(sum(count_parameters(replace(shape, d_feedforward=width)).values()) - wanted)

    found = give_back(shape)
    assert miss(found.d_feedforward) == min(map(miss, range(shape.d_feedforward, 80)))
    assert replace(found, d_feedforward=shape.d_feedforward) == shape
    if not shape.n_encoder_layers:
        assert miss(found.d_feedforward) == 0


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "tied_wide"])
def test_other_variants_give_nothing_back(variant):
    assert give_back(make_shape(variant)) == make_shape(variant)
