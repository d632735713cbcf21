import pytest
import torch

from probes.capture.located import LocatedPairs
from probes.similarity import spaces
from probes.similarity.compare import compare_pairs
from probes.similarity.conditions import (
    common_share,
    effective_dimension,
    measure_conditions,
)
from probes.similarity.tieability import tieability
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model


def test_effective_dimension_counts_equal_directions():
    generator = torch.Generator().manual_seed(0)
    isotropic = torch.randn(2, 20_000, 6, generator=generator)
    assert effective_dimension(isotropic).tolist() == pytest.approx([6, 6], rel=0.02)
    flat = isotropic.clone()
    flat[1, :, 2:] = 0
    assert effective_dimension(flat + 50).tolist() == pytest.approx([6, 2], rel=0.02)


def test_common_share_is_what_centring_takes_off():
    generator = torch.Generator().manual_seed(0)
    templates = torch.tensor([0, 1]).repeat(500)
    noise = torch.randn(2, 1000, 6, generator=generator)
    own = torch.zeros(2, 1000, 6)
    own[0, templates == 0, 0], own[0, templates == 1, 1] = 3.0, 4.0  # a vector for each template
    share = common_share(noise + own, templates)
    # Mean squared lengths: 12.5 of the common vectors, 6 of the noise.
    assert share.tolist() == pytest.approx([12.5 / 18.5, 0], abs=0.02)
    same = torch.ones(1000, 3)
    assert common_share(same, templates).item() == pytest.approx(1)


def test_conditions_equal_each_step_done_by_hand(tmp_path):
    store = capture_tiny(tiny_model("llama", seed=2), tmp_path)
    pairs, heard = LocatedPairs.of(store), []
    templates, left, right = pairs.captured.template, pairs.left, pairs.right
    measured = measure_conditions(store, pairs, draws=2, on_layer=heard.append)
    n_layers, n_kv_heads = 2, 2
    assert heard == [1] * n_layers
    assert set(measured.tied) == {"trained", "mismatched_heads", "random_heads", "random_slice"}
    random = measured.pairs["functional", "random_heads"]
    assert random.s_k.shape == (n_layers, 2 * n_kv_heads, len(left))
    metrics = spaces.read_metrics(store)[1]
    k, v = (spaces.read_heads(store, name, 1) for name in ("k", "v"))
    keys = spaces.to_space(k, "functional", metric=metrics.key, templates=templates)
    values = spaces.to_space(v, "functional", metric=metrics.value, templates=templates)
    by_hand = compare_pairs(keys, values, left, right)
    torch.testing.assert_close(measured.pairs["functional", "trained"].s_v[1], by_hand.s_v)
    swapped = tieability(
        keys, values.flip(0), words=pairs.captured.word
    )  # of two heads, each has the other's
    torch.testing.assert_close(measured.tied["mismatched_heads"][1].r2, swapped.r2)
    assert not torch.allclose(random.s_k[0], random.s_k[1])  # every layer has draws of its own
