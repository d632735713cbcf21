"""Rows in two bytes: one vector that dominates the keys must not cost the digits of the others."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import rankdata

from probes.capture import CaptureSettings, capture, plan_capture
from probes.capture.kept_rows import FEWEST_ROWS, GROUP, keep_rows, pool_groups, read_rows
from probes.capture.located import LocatedPairs
from probes.similarity.compare import compare_pairs
from probes.similarity.dissociation import dissociation_ratio
from probes.similarity.spaces import read_heads, read_metrics, to_space
from probes.words import load_pairs, load_templates
from tests.tiny import tiny_model

N_PAIRS = 200


class Shard(dict):
    """Stands in for an open safetensors file."""

    get_tensor = dict.__getitem__


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """One model, one vector in all keys a hundred times as long as what they differ by."""
    model = tiny_model("qwen2")  # the biases of its keys are that vector
    pairs, templates = load_pairs("compound_pairs").head(N_PAIRS), load_templates(count=2)
    plan = plan_capture(model.tokenizer, pairs, templates)
    spread = capture(model, plan, tmp_path_factory.mktemp("plain")).read("k", 1).std(0).mean()
    for layer in model.hf.model.layers:
        bias = layer.self_attn.k_proj.bias
        with torch.no_grad():
            for part in layer.self_attn.q_proj.parameters():
                part.mul_(0.01)  # so that logits stay of a size that float32 tells apart
            common = torch.nn.functional.normalize(bias.unflatten(0, (2, 8)), dim=1)
            bias.copy_(100 * spread * 8**0.5 * common.flatten())
    return {
        dtype: capture(
            model, plan, tmp_path_factory.mktemp(dtype), settings=CaptureSettings(dtype=dtype)
        )
        for dtype in ("float32", "bfloat16", "float16")
    }


def compare(store, space):
    pairs, metrics = LocatedPairs.of(store).take_whole(), read_metrics(store)[1]
    keys, values = (
        to_space(
            read_heads(store, name, 1).double(),
            space,
            metric=metric,
            templates=pairs.captured.template,
        )
        for name, metric in (("k", metrics.key), ("v", metrics.value))
    )
    return compare_pairs(keys, values, pairs.left, pairs.right)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("space", ["centred", "functional"])
def test_a_common_vector_costs_no_digit(stores, dtype, space):
    expected, found = compare(stores["float32"], space), compare(stores[dtype], space)
    for side in ("s_k", "s_v"):
        there, here = getattr(expected, side), getattr(found, side)
        torch.testing.assert_close(here, there, rtol=0, atol=0.02)
        ranks = [torch.from_numpy(rankdata(one, axis=-1)) for one in (there, here)]
        moved = (ranks[0] - ranks[1]).abs() / N_PAIRS
        assert moved.max() < 0.03
        assert moved.mean() < 0.003
    ratios = [dissociation_ratio(one.s_k, one.s_v, top=0.2) for one in (expected, found)]
    torch.testing.assert_close(*ratios, rtol=0, atol=2.01 / (0.2 * N_PAIRS))  # one pair, at most


def test_the_raw_space_holds_the_vector(stores):
    expected, found = (stores[dtype].read("k", 1) for dtype in ("float32", "bfloat16"))
    spread = (expected - expected.mean(0)).abs().max()
    torch.testing.assert_close(found, expected, rtol=0, atol=float(spread) * 2**-8)
    assert expected.mean(0).norm() > 50 * (expected - expected.mean(0)).std(0).norm()


def test_means_are_kept_in_float32_and_cost_little(stores):
    for shard in stores["bfloat16"].open_shards("k.1"):
        rows, mean = shard.get_tensor("k.1"), shard.get_tensor("mean.k.1")
        group = shard.get_tensor(GROUP)
    assert (rows.dtype, mean.dtype) == (torch.bfloat16, torch.float32)
    assert mean.shape == (2, *rows.shape[1:])
    assert group.tolist() == sorted(group.tolist())  # the templates
    assert mean.nbytes < 0.03 * rows.nbytes


def test_rare_groups_share_a_mean():
    group = torch.tensor([5] * FEWEST_ROWS + [9, 9, 2])
    pooled = pool_groups(group)
    assert len(set(pooled[:FEWEST_ROWS].tolist())) == 1
    assert pooled[0] not in pooled[FEWEST_ROWS:]
    assert len(set(pooled[FEWEST_ROWS:].tolist())) == 1
    assert pooled.unique().tolist() == [0, 1]


@pytest.mark.parametrize("grouped", [True, False])
def test_rows_come_back(grouped):
    rows = torch.randn(40, 3, 5, generator=torch.Generator().manual_seed(0)) + 1000
    group = torch.arange(40) % 2 if grouped else None
    rows[::2] -= 2000 * grouped
    kept = keep_rows("k.0", rows, torch.bfloat16, group=group)
    if grouped:
        kept[GROUP] = group.to(torch.int16)
    torch.testing.assert_close(read_rows(Shard(kept), "k.0"), rows, rtol=0, atol=0.02)


@pytest.mark.parametrize("count", [0, 1])
def test_a_shard_of_no_row_or_one(count):
    kept = keep_rows("k.0", torch.full((count, 2), 3.3), torch.bfloat16)
    assert torch.equal(read_rows(Shard(kept), "k.0"), torch.full((count, 2), 3.3))
