from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from probes.capture import Store
from probes.errors import UsageError
from probes.similarity import spaces
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama", seed=3)


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    return capture_tiny(model, tmp_path_factory.mktemp("store"))


def read_effective_queries(model, store):
    """Attending words' queries from plain hooks on whole sentences, turned to the modifier."""
    found = []
    geometry = model.geometry
    outputs = {}

    def keep(layer, how):
        def hook(_, __, output):
            outputs[layer] = how.query.split(output)

        return hook

    for layer, how in enumerate(geometry.layers):
        how.query.module.register_forward_hook(keep(layer, how))
    for row in store.table("queries").itertuples():
        ids = model.tokenizer(row.sentence, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            model.hf(ids)
        q = torch.stack([outputs[layer][0, row.position] for layer in range(geometry.n_layers)])
        rotated = geometry.rotation.rotate(q, torch.tensor(row.position))
        attended = torch.tensor(row.position - row.distance)
        found.append(geometry.rotation.transpose(rotated, attended))
    return torch.stack(found)  # [query, layer, head, d_head]


def test_functional_key_distance_is_the_mean_squared_gap_in_logits(model, store):
    queries = read_effective_queries(model, store)
    geometry = model.geometry
    templates = torch.tensor(pd.factorize(store.table("occurrences")["template_id"])[0])
    same = torch.where(templates == templates[0])[0]
    i, j = same[0], same[-1]
    for layer, metrics in enumerate(spaces.read_metrics(store)):
        k = spaces.read_heads(store, "k", layer)
        coordinates = spaces.to_space(k, "functional", metric=metrics.key, templates=templates)
        for kv_head in range(geometry.n_kv_heads):
            group = slice(kv_head * geometry.group_size, (kv_head + 1) * geometry.group_size)
            gap = k[kv_head, i] - k[kv_head, j]
            logits = geometry.logit_scale * queries[:, layer, group] @ gap
            ours = (coordinates[kv_head, i] - coordinates[kv_head, j]).norm()
            assert ours == pytest.approx(logits.square().mean().sqrt().item(), rel=1e-4)


def test_functional_value_distance_is_the_length_of_what_the_group_writes(model, store):
    geometry = model.geometry
    templates = torch.tensor(pd.factorize(store.table("occurrences")["template_id"])[0])
    same = torch.where(templates == templates[0])[0]
    i, j = same[1], same[-2]
    for layer, metrics in enumerate(spaces.read_metrics(store)):
        v = spaces.read_heads(store, "v", layer)
        coordinates = spaces.to_space(v, "functional", metric=metrics.value, templates=templates)
        w_o = geometry.output_weights(layer)
        for kv_head in range(geometry.n_kv_heads):
            gap = v[kv_head, i] - v[kv_head, j]
            group = range(kv_head * geometry.group_size, (kv_head + 1) * geometry.group_size)
            written = torch.cat([w_o[head].T @ gap for head in group])
            ours = (coordinates[kv_head, i] - coordinates[kv_head, j]).norm()
            assert ours == pytest.approx(written.norm().item(), rel=1e-4)


def test_centring_is_within_templates(store):
    templates = torch.tensor(pd.factorize(store.table("occurrences")["template_id"])[0])
    k = spaces.read_heads(store, "k", 1)
    metric = spaces.read_metrics(store)[1].key
    centred = spaces.to_space(k, "centred", metric=metric, templates=templates)
    for template in templates.unique():
        mean = centred[:, templates == template].mean(dim=1)
        np.testing.assert_allclose(mean, 0, atol=1e-5)
    assert spaces.to_space(k, "raw", metric=metric, templates=templates) is k


def test_an_unknown_space_is_refused(store):
    k = spaces.read_heads(store, "k", 0)
    with pytest.raises(UsageError, match=r"no space 'whitened'.*raw, centred, functional"):
        spaces.to_space(
            k,
            "whitened",
            metric=spaces.read_metrics(store)[0].key,
            templates=torch.zeros(k.shape[1], dtype=torch.long),
        )


def describe_store(positions, stage, **numbers):
    geometry = {"n_layers": 2, "n_heads": 6, "n_kv_heads": 6, "softcap": None, "qk_norm": False}
    manifest = {
        "geometry": {**geometry, "positions": positions, **numbers},
        "identity": {"key_stage": stage},
    }
    return " ".join(spaces.describe_functional_space(Store(Path("nowhere"), manifest)))


def test_the_space_says_what_it_did():
    assert describe_store("learned", "normed") == ""
    grouped = describe_store("rotary", "normed", n_kv_heads=[2, 3])
    assert "the 2 to 3 heads that share a key are pooled" in grouped
    assert "turned back by the position it attends to" in grouped
    assert "as rotated to their positions" in describe_store("partial rotary", "rotated")
    assert "which depends on no key" in describe_store("ALiBi", "normed")
    assert "after QK-norm" in describe_store("learned", "normed", qk_norm=True)
    assert "not those of the logits" in describe_store("learned", "projected", qk_norm=True)
    assert "slope of the cap" in describe_store("learned", "normed", softcap=[None, 30.0])
