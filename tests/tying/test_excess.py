"""Tieability inside a model, against scikit-learn head by head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from probes.tying.batch import Batch
from probes.tying.excess import measure_tieability
from probes.tying.shape import ModelShape
from probes.tying.transformer import Transformer
from probes.tying.variants import VARIANTS


def make_batches(encoder=0):
    generator = torch.Generator().manual_seed(0)
    batches = []
    for size in (30, 17):
        tokens = torch.randint(11, (size, 7), generator=generator)
        source = torch.randint(11, (size, 5), generator=generator) if encoder else None
        batches.append(Batch(tokens, tokens, source))
    return batches


def make_model(variant, encoder=0):
    return Transformer(ModelShape(11, 7, 24, 2, 4, 4, 32, variant, "rotary", encoder))


@pytest.mark.parametrize("variant", ["separate", "grouped", "half_tied"])
def test_r2_is_that_of_regression_from_keys_to_what_is_written(variant):
    model, batches = make_model(variant), make_batches()
    found = measure_tieability(model, batches)
    n_kv_heads = model.shape.n_kv_heads
    assert len(found) == 2 * n_kv_heads
    seen = []
    block = model.blocks[1]
    handle = block.norm_attention.register_forward_hook(lambda *a: seen.append(a[2].detach()))
    for batch in batches:
        model(batch.tokens)
    handle.remove()
    attention, group = block.attention, 4 // n_kv_heads
    keys, written = [], []
    for head in range(n_kv_heads):
        pairs = [attention.read_keys_values(x) for x in seen]
        k, v = (torch.cat([p[n][:, head].flatten(0, 1) for p in pairs]).detach() for n in (0, 1))
        blocks = attention.output.weight.detach().reshape(24, 4, 4)[
            :, head * group : (head + 1) * group
        ]
        keys.append(k.numpy())
        written.append(np.concatenate([(v @ blocks[:, n].T).numpy() for n in range(group)], 1))

    def r2(key, value):
        predicted = LinearRegression().fit(key, value).predict(key)
        return 1 - ((value - predicted) ** 2).sum() / ((value - value.mean(0)) ** 2).sum()

    mine = found[found["attention"] == "blocks.1.attention"]
    for head in range(n_kv_heads):
        others = [r2(keys[head], written[n]) for n in range(n_kv_heads) if n != head]
        row = mine.iloc[head]
        assert row["r2"] == pytest.approx(r2(keys[head], written[head]), abs=1e-4)
        assert row["r2_mismatched_heads"] == pytest.approx(np.mean(others), abs=1e-4)
        assert row["excess"] == pytest.approx(
            (row["r2"] - row["r2_mismatched_heads"]) / (1 - row["r2_mismatched_heads"])
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_made_from_keys_are_wholly_tieable_and_no_others(variant):
    found = measure_tieability(make_model(variant), make_batches())
    made = VARIANTS[variant].value in ("key", "diagonal", "per head")
    assert bool(found["r2"].min() > 0.999) == made
    if variant == "multi_query":
        assert found["excess"].isna().all()


def test_cross_attention_is_measured_over_the_source():
    found = measure_tieability(make_model("separate", encoder=1), make_batches(encoder=1))
    assert set(found["attention"]) == {
        "encoder.0.attention",
        *(f"blocks.{n}.{part}" for n in (0, 1) for part in ("attention", "cross")),
    }
    assert not make_model("separate").blocks[0].attention._forward_pre_hooks
