"""One pair among all that one query attends to: against a loop over its events."""

from __future__ import annotations

import math
from itertools import combinations

import pandas as pd
import pytest
import torch

from analyses.co_attended.one_pair import measure_pair, tabulate_pair
from probes.capture import CaptureSettings, capture
from probes.capture.contexts import ContextPairs
from probes.capture.plan_contexts import plan_coordination
from probes.similarity.pairs import pair_cosines, pair_distances
from probes.similarity.spaces import read_metrics, to_space
from probes.words.coordination import load_coordinations
from tests.tiny import tiny_model

MODIFIERS = ("black", "white", "small", "big", "red", "zest", "quiet", "late")
ASKED = ("fox", "white", "black")
SHARE = 0.25


@pytest.fixture(scope="module", params=["llama", "bert"])
def store(request, tmp_path_factory):
    model = tiny_model(request.param)
    pairs = pd.DataFrame(
        [(f"p{n}", "fox", *words) for n, words in enumerate(combinations(MODIFIERS, 2))],
        columns=["pair_id", "head", "m1", "m2"],
    )
    plan = plan_coordination(
        model.tokenizer, pairs, load_coordinations(count=3), causal=model.geometry.causal
    )
    settings = CaptureSettings(dtype="float32")
    return capture(model, plan, tmp_path_factory.mktemp("store"), settings=settings)


def list_events(store, layer, head):
    """Yield, for each event of the pair, how much of it a head chooses, and its figures."""
    events = ContextPairs.of(store)
    kv_head = head // (store.number("n_heads", layer) // store.number("n_kv_heads", layer))
    metrics = read_metrics(store)[layer]
    sides = {}
    for name, metric in (("k", metrics.key), ("v", metrics.value)):
        vectors = store.read(name, layer).transpose(0, 1)
        sides[name] = to_space(vectors, "functional", metric=metric, templates=events.group)
    s_k, s_v = (pair_cosines(sides[n], events.left, events.right)[kv_head] for n in "kv")
    gaps = pair_distances(sides["k"], events.left, events.right)[kv_head]
    attention = store.read("attention", layer)[:, head]
    smaller = torch.minimum(attention[events.left_query], attention[events.right_query])
    order = smaller.argsort(descending=True).tolist()
    whole, rest = divmod(len(events) * SHARE, 1)
    for event, row in events.table.iterrows():
        if {row["left_word"], row["right_word"]} != set(ASKED[1:]):
            continue
        place = order.index(event)
        chosen = 1.0 if place < whole else rest if place == whole else 0.0
        like = [n for n in range(len(events)) if events.stratum[n] == events.stratum[event]]
        below = [[(s[n] < s[event]) + (s[n] == s[event]) / 2 for n in like] for s in (s_k, s_v)]
        ranks = (100 * float(sum(part)) / len(like) for part in below)
        yield chosen, *ranks, float(gaps[event]) ** 2


def test_a_pair_is_ranked_where_its_head_attends_to_both(store):
    measured = measure_pair(store, *ASKED, share=SHARE, seed=0)
    assert measured.units == 3  # templates
    found = measured.heads.set_index(["layer", "head", "measure"])["value"]
    means = {"key_percentile": [], "value_percentile": [], "gap": []}
    for layer in range(store.n_layers):
        of_layer = {name: [] for name in means}
        for head in range(store.number("n_heads", layer)):
            events = list(list_events(store, layer, head))
            total = sum(chosen for chosen, *_ in events)
            if not total:
                assert math.isnan(found[layer, head, "key_percentile"])
                continue
            for place, name in enumerate(means, start=1):
                of_layer[name].append(sum(e[0] * e[place] for e in events) / total)
            for name in ("key_percentile", "value_percentile"):
                assert found[layer, head, name] == pytest.approx(of_layer[name][-1], abs=1.5)
        for name, numbers in of_layer.items():
            means[name] += numbers
    answers = tabulate_pair(measured, None, ASKED).set_index("measure")
    for name in ("key_percentile", "value_percentile"):
        expected = sum(means[name]) / len(means[name])
        assert answers.loc[name, "value"] == pytest.approx(expected, abs=0.5)
        assert answers.loc[name, "ci_low"] <= answers.loc[name, "value"]
    root = math.sqrt(sum(means["gap"]) / len(means["gap"]))
    assert answers.loc["key_gap", "value"] == pytest.approx(root, rel=0.01)
    difference = answers.loc["key_percentile", "value"] - answers.loc["value_percentile", "value"]
    assert answers.loc["difference", "value"] == pytest.approx(difference)
    assert "swap_index" not in answers.index


def test_the_order_of_the_words_does_not_count_and_the_head_does(store):
    one, other = (
        measure_pair(store, *words, share=SHARE, seed=0)
        for words in (ASKED, (ASKED[0], ASKED[2], ASKED[1]))
    )
    pd.testing.assert_frame_equal(one.heads, other.heads)
    assert measure_pair(store, "dog", *ASKED[1:], share=SHARE, seed=0) is None
    assert measure_pair(store, "fox", "black", "green", share=SHARE, seed=0) is None


def test_the_swaps_of_the_pair_are_told_without_an_interval(store):
    swaps = pd.DataFrame(
        [
            ("word pairs", "all", "fox", "black", "white", "keys", 0.1),
            ("word pairs", "all", "fox", "black", "white", "values", 0.3),
            ("word pairs", "all", "fox", "black", "white", "both", 0.9),
            ("word pairs", "all", "dog", "black", "white", "values", 0.9),
            ("word pairs", "layer", "fox", "black", "white", "values", 0.9),
            ("matched random pairs", "all", "fox", "black", "white", "values", 0.9),
        ],
        columns=["population", "scope", "head", "m1", "m2", "part", "total_variation"],
    )
    [row] = tabulate_pair(None, swaps, ASKED).to_dict("records")
    assert row["value"] == pytest.approx(0.5)
    assert math.isnan(row["ci_low"])
    assert row["question"] == "Does the model use the difference?"
    assert tabulate_pair(None, swaps, ("cat", "black", "white")).empty
