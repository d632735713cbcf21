"""Events of a capture: counted once, in reference classes that hold enough, weighted evenly."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.capture import (
    CaptureSettings,
    ContextPairs,
    capture,
    plan_coordination,
    plan_sentences,
    plan_words,
)
from probes.capture.contexts import weigh_pairs
from probes.capture.strata import find_strata, merge_small
from probes.errors import TableError
from probes.words import load_relations, load_sentences, load_word_templates
from tests.capture.context_examples import PAIRS, SENTENCES, TEMPLATES
from tests.capture.examples import make_plan
from tests.tiny import tiny_model

SETTINGS = CaptureSettings(query_sample=0)


@pytest.fixture(scope="module", params=["llama", "bert"])
def model(request):
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def coordination(model, tmp_path_factory):
    plan = plan_coordination(model.tokenizer, PAIRS, TEMPLATES, causal=model.geometry.causal)
    return capture(model, plan, tmp_path_factory.mktemp("coordination"), settings=SETTINGS)


@pytest.fixture(scope="module")
def compounds(model, tmp_path_factory):
    return capture(model, make_plan(model), tmp_path_factory.mktemp("pairs"), settings=SETTINGS)


def test_events_of_coordinations(model, coordination):
    events = ContextPairs.of(coordination)
    assert events.one_query
    table, occurrences = events.table, coordination.table("occurrences")
    assert len(events) == len(table) == len(events.left) == len(events.weight)
    for side, rows, numbers in (
        ("left", events.left, events.left_word),
        ("right", events.right, events.right_word),
    ):
        words = occurrences["word"].iloc[rows.numpy()].tolist()
        assert words == table[f"{side}_word"].tolist()
        assert words == [events.words[number] for number in numbers.tolist()]
    positions = coordination.table("queries")["position"]
    assert (
        positions.iloc[events.left_query.numpy()].tolist()
        == positions.iloc[events.right_query.numpy()].tolist()
    )
    # "again" begins as "early" does, and p3 has p0's words: to a causal model these are the same.
    distinct, templates = (3, 2) if model.geometry.causal else (4, 3)
    assert len(events) == distinct * 2 * templates
    assert events.n_distinct == 3
    groups = occurrences["group"].to_numpy()
    assert len(events.group) == len(groups)
    same = groups[:, None] == groups[None]
    assert torch.equal(events.group[:, None] == events.group[None], torch.tensor(same))


def test_events_of_compounds(model, compounds):
    events = ContextPairs.of_compounds(compounds)
    assert not events.one_query
    table, queries = events.table, compounds.table("queries")
    occurrences = compounds.table("occurrences")
    for side, rows, asked in (
        ("left", events.left, events.left_query),
        ("right", events.right, events.right_query),
    ):
        chosen = queries.iloc[asked.numpy()]
        assert chosen["occurrence"].tolist() == rows.tolist()
        assert chosen["modifier"].tolist() == table[f"{side}_word"].tolist()
        assert chosen["head"].tolist() == table["head"].tolist()
        assert chosen["template_id"].tolist() == table["template_id"].tolist()
        assert occurrences["word"].iloc[rows.numpy()].tolist() == table[f"{side}_word"].tolist()
    assert (events.left_query != events.right_query).all()
    # Two of the three templates begin alike, so that a causal model's words there are the same.
    assert len(events) == 5 * (2 if model.geometry.causal else 3)
    assert len(set(events.group.tolist())) == occurrences["template_id"].nunique()


def test_a_pair_with_two_heads_is_one_event_of_a_causal_model(tmp_path):
    from probes.capture import plan_capture
    from tests.capture.examples import PAIRS as COMPOUNDS
    from tests.capture.examples import TEMPLATES as SHORT

    model = tiny_model("llama")
    again = COMPOUNDS.assign(m1=COMPOUNDS["m2"], m2=COMPOUNDS["m1"], head="tree")
    both = pd.concat([COMPOUNDS, again], ignore_index=True)
    plan = plan_capture(model.tokenizer, both, SHORT.head(2))
    events = ContextPairs.of_compounds(capture(model, plan, tmp_path, settings=SETTINGS))
    assert len(events) == 2 * len(COMPOUNDS)
    assert "tree" not in set(events.table["head"])


def test_each_distinct_pair_counts_once(coordination):
    events = ContextPairs.of(coordination)
    pairs = [
        frozenset(both)
        for both in zip(events.table["left_word"], events.table["right_word"], strict=True)
    ]
    totals = Counter()
    for pair, weight in zip(pairs, events.weight.tolist(), strict=True):
        totals[pair] += weight
    assert all(total == pytest.approx(1) for total in totals.values())
    some = events.take(torch.arange(len(events)) % 3 != 0)
    assert float(some.weight.sum()) == pytest.approx(some.n_distinct)
    assert some.table["weight"].tolist() == some.weight.tolist()
    assert some.table["left"].tolist() == some.left.tolist()
    assert torch.equal(some.stratum, events.stratum[torch.arange(len(events)) % 3 != 0])
    assert len(events.take(slice(0, 2))) == 2


def test_sentences_become_events(tmp_path):
    model = tiny_model("llama")
    plan = plan_sentences(model.tokenizer, load_sentences(SENTENCES))
    events = ContextPairs.of(capture(model, plan, tmp_path, settings=SETTINGS))
    # "A red fox saw" begins two sentences: its three words are the same in both, and "red, saw"
    # was marked in both.
    assert len(plan.pairs) == 8
    assert len(events) == 7
    assert float(events.weight.sum()) == events.n_distinct == 7


def test_captures_of_another_kind_are_refused(coordination, compounds, tmp_path):
    with pytest.raises(TableError, match="it is not one of two words in one sentence"):
        ContextPairs.of(compounds)
    with pytest.raises(TableError):
        ContextPairs.of_compounds(coordination)
    model = tiny_model("llama")
    words = load_relations(limit=1).head(2)
    plan = plan_words(model.tokenizer, words, load_word_templates(count=1))
    single = capture(model, plan, tmp_path, settings=SETTINGS)
    with pytest.raises(TableError, match="single words"):
        ContextPairs.of_compounds(single)


@settings(deadline=None, max_examples=50)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30),
)
def test_weights_are_one_over_the_count(pairs):
    left, right = torch.tensor(pairs).T
    counts = Counter(frozenset(pair) for pair in pairs)
    expected = [1 / counts[frozenset(pair)] for pair in pairs]
    assert weigh_pairs(left, right).tolist() == pytest.approx(expected)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["c0", "c1"]),  # template
        st.sampled_from([1, 1, 2]),  # pieces of the left word
        st.sampled_from([3, 3, 3, 9]),  # tokens between
        st.sampled_from([1.0, 2.0, 3.0, float("nan")]),  # frequency
    ),
    min_size=1,
    max_size=60,
)


def make_tables(events):
    """Return the events of two words each, and their occurrences."""
    n = len(events)
    occurrences = pd.DataFrame(
        {
            "template_id": [event[0] for event in events] * 2,
            "group": [f"{event[0]}/0" for event in events] + [f"{event[0]}/1" for event in events],
            "slot": [0] * n + [1] * n,
            "first_token": [5 - event[1] for event in events] + [4 + event[2] for event in events],
            "last_token": [4] * n + [4 + event[2] for event in events],
        }
    )
    table = pd.DataFrame(
        {
            "template_id": [event[0] for event in events],
            "left": range(n),
            "right": range(n, 2 * n),
            "left_word": [f"w{number}" for number in range(n)],
            "right_word": [f"v{number}" for number in range(n)],
            "z_left": [event[3] for event in events],
            "z_right": [2.0] * n,
        }
    )
    return table, occurrences


@settings(deadline=None, max_examples=50)
@given(events=EVENTS, fewest=st.integers(1, 25))
def test_reference_classes_hold_enough_and_keep_their_template(events, fewest):
    table, occurrences = make_tables(events)
    strata = find_strata(table, occurrences, fewest=fewest).numpy()
    assert sorted(set(strata)) == list(range(strata.max() + 1))
    for number in set(strata):
        rows = np.flatnonzero(strata == number)
        templates = {events[row][0] for row in rows}
        assert len(templates) == 1
        in_template = sum(event[0] in templates for event in events)
        assert len(rows) >= min(fewest, in_template)


def test_classes_are_parted_as_far_as_there_are_enough():
    events = (
        [("c0", 1, 3, 1.0)] * 20
        + [("c0", 1, 3, 9.0)] * 20
        + [("c0", 2, 3, 1.0)] * 12
        + [("c0", 2, 3, 9.0)] * 12  # too few to be parted by frequency, enough by tokens
        + [("c0", 1, 30, 1.0)] * 5  # too far apart, and too few: taken in
        + [("c1", 1, 3, 1.0)] * 7  # another template stays alone
    )
    table, occurrences = make_tables(events)
    strata = find_strata(table, occurrences).tolist()
    bounds = np.cumsum([20, 20, 12, 12, 5, 7])[:-1]
    parts = [set(part.tolist()) for part in np.split(np.array(strata), bounds)]
    assert all(len(part) == 1 for part in parts)
    near, rare, twos, other_twos, far, alone = (part.pop() for part in parts)
    assert twos == other_twos
    assert len({near, rare, twos, alone}) == 4
    assert far in (near, rare, twos)
    without = find_strata(table.drop(columns=["z_left", "z_right"]), occurrences)
    assert without[0] == without[20] != without[40]


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8), fewest=st.integers(1, 40))
def test_small_parts_are_merged(sizes, fewest):
    ends = np.cumsum(sizes)
    parts = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    merged = merge_small(parts, fewest)
    assert sorted(np.concatenate(merged).tolist()) == list(range(ends[-1]))
    assert all(len(part) >= min(fewest, ends[-1]) for part in merged)
    enough = [size for size in sizes if size >= fewest]
    assert len(merged) >= len(enough)
