"""Every measure on what a capture really holds, from the store to a figure for each head."""

import pytest
import torch

from probes.capture.located import LocatedPairs
from probes.similarity import pair_attention
from probes.similarity.catalogue import list_measures
from probes.similarity.compare import compare_pairs
from probes.similarity.measure import Takes
from probes.similarity.spaces import read_heads, read_metrics, to_space
from tests.similarity.captures import capture_tiny
from tests.similarity.transformations import call
from tests.tiny import tiny_model

LAYER = 1


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """What each kind of measure takes, of one layer of a model with grouped queries."""
    model = tiny_model("llama", seed=3)
    store = capture_tiny(model, tmp_path_factory.mktemp("capture"), n_pairs=60)
    pairs = LocatedPairs.of(store)
    templates = pairs.captured.template
    metrics = read_metrics(store)[LAYER]
    keys, values = (
        to_space(
            read_heads(store, name, LAYER), "functional", metric=metric, templates=templates
        ).double()
        for name, metric in (("k", metrics.key), ("v", metrics.value))
    )
    comparison = compare_pairs(keys, values, pairs.left, pairs.right)
    attention = [
        pair_attention(store.read("attention", LAYER), rows, n_kv_heads=keys.shape[0])
        for rows in (pairs.left_query, pairs.right_query)
    ]
    vectors = keys, values
    layer = model.geometry.layers[LAYER]
    return layer, {
        Takes.PAIR_SIMILARITIES: (comparison.s_k, comparison.s_v),
        Takes.PAIR_DISTANCES: (comparison.d_k, comparison.d_v),
        Takes.COORDINATES: vectors,
        Takes.WORDS: vectors,
        Takes.NEIGHBOURHOODS: vectors,
        Takes.HELD_OUT: (*vectors, torch.arange(keys.shape[1])),
        Takes.WEIGHTS: (
            model.geometry.key_weights(LAYER).detach(),
            model.geometry.value_weights(LAYER).detach(),
        ),
        Takes.ATTENTION: (comparison.s_k, *attention),
    }


@pytest.mark.parametrize("measure", list_measures(), ids=lambda measure: measure.name)
def test_every_head_has_a_figure(measure, inputs):
    layer, given = inputs
    figure = call(measure, given[measure.takes])
    assert figure.shape[0] == layer.n_kv_heads
    assert figure.ndim == 1 + len(measure.axes)
    # Of a few pairs none may have two words of high attention.
    assert bool(figure.isfinite().all()) or measure.takes is Takes.ATTENTION
    if measure.takes is Takes.ATTENTION:
        assert given[Takes.ATTENTION][1].shape[1] == layer.group_size > 1
