"""Sentences: a layer of a capture of contexts against loops over its rows."""

import pytest
import torch

from probes.capture import CaptureSettings, capture, plan_coordination
from probes.capture.contexts import ContextPairs
from probes.similarity.co_attended.figures import STATISTICS
from probes.similarity.co_attended.random_layer import RandomLayer
from probes.similarity.co_attended.sentences import (
    Units,
    WholeContexts,
    contribute_layer,
    draw_layer,
    take_comparable,
)
from probes.similarity.pairs import pair_cosines
from probes.similarity.spaces import read_metrics, to_space
from probes.stats.rounding import tolerance
from tests.capture.context_examples import PAIRS, TEMPLATES, make_model
from tests.similarity.captures import capture_tiny

SETTINGS = CaptureSettings(key_stage="projected", dtype="float32", query_sample=5)


@pytest.fixture(scope="module", params=["llama", "gemma", "bert", "t5", "qwen3"])
def model(request):
    return make_model(request.param)


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    plan = plan_coordination(
        model.tokenizer, PAIRS, TEMPLATES, causal=model.geometry.causal, whole_contexts=9
    )
    return capture(model, plan, tmp_path_factory.mktemp("contexts"), settings=SETTINGS)


@pytest.fixture(scope="module")
def events(store):
    return take_comparable(ContextPairs.of(store))


@pytest.fixture(scope="module")
def layer(model, store, events):
    return contribute_layer(
        store,
        1,
        events,
        Units.of(events),
        metrics=read_metrics(store)[1],
        how=model.geometry.layers[1],
    )


def test_units_are_the_distinct_pairs(events):
    units = Units.of(events)
    words = events.table[["left_word", "right_word"]].to_numpy()
    names = [frozenset(pair) for pair in words]
    assert len(units) == len(set(names))
    for event, name in enumerate(names):
        unit = int(units.number[event])
        words = {events.words[units.left_word[unit]], events.words[units.right_word[unit]]}
        assert words == name


def test_every_pair_counts_once(layer, events):
    """Weights are 1 over the number of events, and each head chooses a quarter of these."""
    found = layer.contributions
    below = found.denominator[found.selections.index("own")]
    assert (below <= 1 + 1e-6).all()
    assert below.shape[1] == len(Units.of(events))


def test_own_percentiles_equal_a_loop(model, store, events, layer):
    metrics = read_metrics(store)[1]
    figures = {}
    for name, metric in (("k", metrics.key), ("v", metrics.value)):
        vectors = store.read(name, 1).transpose(0, 1)
        placed = to_space(vectors, "functional", metric=metric, templates=events.group)
        # The product's own cosines: two that are equal except for rounding tie here as there.
        figures[name] = pair_cosines(placed, events.left, events.right)
    attention = store.read("attention", 1)
    found, geometry = layer.contributions, model.geometry
    for head in range(geometry.n_heads):
        smaller = torch.minimum(
            attention[events.left_query, head], attention[events.right_query, head]
        )
        n, quarter = len(events), len(events) / 4
        order = smaller.argsort(descending=True)
        chosen = torch.zeros(n)
        chosen[order[: int(quarter)]] = 1
        if quarter % 1:
            chosen[order[int(quarter)]] = quarter % 1
        if len(smaller.unique()) < n:
            continue  # ties share what is chosen
        weight = chosen * events.weight.float()
        for name, statistic in (("k", "key_percentile"), ("v", "value_percentile")):
            row = figures[name][head // geometry.group_size]
            same = torch.isclose(row[:, None], row[None], rtol=tolerance(row.dtype), atol=0)
            percentile = torch.tensor(
                [
                    100
                    * float(
                        sum(
                            0.5 if same[o, e] else float(row[o] < row[e])
                            for o in range(n)
                            if events.stratum[o] == events.stratum[e]
                        )
                    )
                    / int((events.stratum == events.stratum[e]).sum())
                    for e in range(n)
                ]
            )
            above, below = found.find("own", statistic)
            expected = float((weight * percentile).sum() / weight.sum())
            assert float(above[head].sum() / below[head].sum()) == pytest.approx(expected, abs=0.5)


def test_sizes_come_with_the_capture(store, layer):
    torch.testing.assert_close(
        layer.written_square, store.read("written", 1).double().square().mean(0)
    )
    assert float(layer.stream_square) == pytest.approx(
        float(store.read("stream", 1).double().square().mean())
    )
    assert layer.attention.shape == (store.number("n_heads", 1),)


def test_random_heads_attend_over_whole_contexts(model, store, events):
    """The weights are those of a softmax over every token that the query sees."""
    whole = WholeContexts.of(store, events)
    assert whole is not None
    how = model.geometry.layers[1]
    drawn = draw_layer(store, 1, how=how, seed=0)
    x = store.read("x", 1)
    k, _ = drawn.read(x)
    queries = store.table("queries")
    event = int(whole.event[2])
    rows = [int(row) for row in events.table["context_rows"].iloc[event]]
    position = int(queries["position"][int(events.left_query[event])])
    if model.geometry.causal:
        rows = rows[: position + 1]
    assert whole.rows[2][: len(rows)].tolist() == rows
    assert (whole.rows[2][len(rows) :] == -1).all()
    q = drawn.ask(x[[rows[position]]], torch.tensor([position]))
    places = torch.arange(len(rows))
    keys = how.rotate(k[rows], places)
    weights = drawn.weigh_contexts(q, k[rows][None], visible=torch.ones(1, len(rows)) > 0)
    for head in range(how.n_heads):
        logits = how.logit_scale * keys[:, head // how.group_size] @ q[0, head]
        torch.testing.assert_close(weights[head, 0], logits.softmax(0), atol=1e-5, rtol=1e-4)
    at = [
        int(store.table("occurrences")["last_token"][int(side[event])])
        for side in (events.left, events.right)
    ]
    assert [int(whole.left[2]), int(whole.right[2])] == at


def test_random_weights_have_the_trained_spectra(model, store):
    drawn = draw_layer(store, 0, how=None, seed=4)
    trained = model.geometry.key_weights(0)
    for random, own in zip(drawn.key, trained, strict=True):
        expected = torch.linalg.svdvals(own.float())
        torch.testing.assert_close(torch.linalg.svdvals(random), expected, rtol=1e-3, atol=1e-4)
    again, other = draw_layer(store, 0, how=None, seed=4), draw_layer(store, 0, how=None, seed=5)
    assert torch.equal(drawn.query, again.query)
    assert not torch.equal(drawn.query, other.query)
    assert isinstance(drawn, RandomLayer)


def test_random_heads_choose_only_whole_contexts(store, events, layer):
    found = layer.contributions
    assert found.selections[-1] == "random_heads"
    whole = WholeContexts.of(store, events)
    units = set(Units.of(events).number[whole.event].tolist())
    chosen = found.denominator[-1].sum(0).nonzero()[:, 0].tolist()
    assert set(chosen) <= units
    percentile = found.ratios()[-1, STATISTICS.index("key_percentile")]
    assert percentile.isfinite().all()


def test_compounds_have_two_queries_and_no_random_heads(tmp_path):
    model = make_model("llama")
    store = capture_tiny(model, tmp_path, n_pairs=30)
    events = take_comparable(ContextPairs.of_compounds(store))
    assert not events.one_query
    found = contribute_layer(store, 0, events, Units.of(events), metrics=read_metrics(store)[0])
    assert found.contributions.selections == (
        "own",
        "mismatched_heads",
        "shuffled_attention",
        "matched",
    )
    assert found.written_square is None
    assert found.stream_square is None
