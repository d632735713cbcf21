"""Every measure on what a capture really holds, from the store to a figure for each head."""

import pytest
import torch

from probes.capture.plan import locate_pairs
from probes.similarity import pair_attention
from probes.similarity.catalogue import MEASURES
from probes.similarity.compare import compare_pairs
from probes.similarity.contract import Takes
from probes.similarity.spaces import read_heads, read_metrics, to_space
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model

LAYER = 1


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """What each kind of measure takes, of one layer of a model with grouped queries."""
    model = tiny_model("llama", seed=3)
    store = capture_tiny(model, tmp_path_factory.mktemp("capture"), n_pairs=60)
    occurrences, queries = store.table("occurrences"), store.table("queries")
    template_ids = list(dict.fromkeys(queries["template_id"]))
    templates = torch.tensor(occurrences["template_id"].map(template_ids.index).to_numpy())
    metrics = read_metrics(store)[LAYER]
    keys, values = (
        to_space(
            read_heads(store, name, LAYER), "functional", metric=metric, templates=templates
        ).double()
        for name, metric in (("k", metrics.key), ("v", metrics.value))
    )
    pairs = store.table("pairs")
    left, right = map(torch.tensor, locate_pairs(pairs, queries, template_ids))
    comparison = compare_pairs(keys, values, left, right)
    attention = [
        pair_attention(store.read("attention", LAYER), torch.tensor(rows), n_kv_heads=keys.shape[0])
        for rows in locate_pairs(pairs, queries.assign(occurrence=queries["query"]), template_ids)
    ]
    layer = model.geometry.layers[LAYER]
    return layer, {
        Takes.PAIR_SIMILARITIES: (comparison.s_k, comparison.s_v),
        Takes.PAIR_DISTANCES: (comparison.d_k, comparison.d_v),
        Takes.COORDINATES: (keys, values, torch.arange(keys.shape[1])),
        Takes.WEIGHTS: (
            model.geometry.key_weights(LAYER).detach(),
            model.geometry.value_weights(LAYER).detach(),
        ),
        Takes.ATTENTION: (comparison.s_k, *attention),
    }


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_head_has_a_figure(measure, inputs):
    layer, given = inputs
    figure = measure.function(*given[measure.takes])
    assert figure.shape[0] == layer.n_kv_heads
    assert figure.ndim == 1 + len(measure.axes)
    # Of a few pairs none may have two words of high attention.
    assert bool(figure.isfinite().all()) or measure.takes is Takes.ATTENTION
    if measure.takes is Takes.ATTENTION:
        assert given[Takes.ATTENTION][1].shape[1] == layer.group_size > 1
