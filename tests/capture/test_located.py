"""Where words and pairs are in a capture, against loops over its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.capture import CaptureSettings, capture, plan_words
from probes.capture.located import FEWEST_PAIRS, CapturedWords, DistinctWords, LocatedPairs
from probes.capture.store import Store
from probes.errors import TableError, UsageError
from probes.words.relations import CONTROL
from tests.capture.examples import PAIRS, make_plan
from tests.tiny import tiny_model

TEMPLATE_IDS = ["t2", "t0", "t1"]  # not in alphabetical order
WORDS = ["ant", "bee", "cat", "dog", "elk"]


@dataclass(frozen=True)
class MadeUpStore(Store):
    """A store that is nothing but tables."""

    tables: dict = field(default_factory=dict)

    def table(self, name):
        return self.tables[name]


def make_store(rows, pairs):
    """A store of occurrences and queries: rows of (template, word, head)."""
    queries = pd.DataFrame(rows, columns=["template_id", "modifier", "head"])
    queries["occurrence"] = np.arange(len(queries))[::-1]  # not in the order of the queries
    occurrences = queries.sort_values("occurrence").rename(columns={"modifier": "word"})
    tables = {"queries": queries, "occurrences": occurrences.drop(columns="head"), "pairs": pairs}
    return MadeUpStore(Path("made up"), {}, tables)


@st.composite
def stores(draw):
    """Some words before some heads in some templates, and pairs of words before a head."""
    everything = [(t, w, h) for t in TEMPLATE_IDS for w in WORDS for h in ("hat", "pen")]
    kept = draw(st.lists(st.sampled_from(everything), min_size=1, unique=True))
    # The first query of each template says in which order the templates are.
    rows = [(t, "zoo", "hat") for t in TEMPLATE_IDS] + kept
    sides = st.sampled_from([*WORDS, "zoo", "never"])
    pairs = draw(st.lists(st.tuples(st.sampled_from(("hat", "pen")), sides, sides), min_size=1))
    return make_store(rows, pd.DataFrame(pairs, columns=["head", "m1", "m2"]))


@settings(deadline=None, max_examples=40)
@given(store=stores())
def test_pairs_are_where_a_loop_finds_them(store):
    pairs, queries = LocatedPairs.of(store), store.table("queries")
    columns = ["template_id", "head", "modifier"]
    assert pairs.captured.template_ids == tuple(TEMPLATE_IDS)
    for row in range(len(pairs)):
        own = store.table("pairs").iloc[row]
        for side, rows, attending, number in (
            ("m1", pairs.left, pairs.left_query, pairs.left_word),
            ("m2", pairs.right, pairs.right_query, pairs.right_word),
        ):
            names = pairs.captured.names
            known = own[side] in names
            assert number[row] == (names.index(own[side]) if known else -1)
            for place, template in enumerate(TEMPLATE_IDS):
                place_of_word = [template, own["head"], own[side]]
                found = queries[(queries[columns] == place_of_word).all(axis=1)]
                assert rows[row, place] == (found["occurrence"].iloc[0] if len(found) else -1)
                assert attending[row, place] == (found.index[0] if len(found) else -1)
    lost = (pairs.left < 0).any(1) | (pairs.right < 0).any(1)
    assert torch.equal(pairs.whole, ~lost)
    whole = pairs.take(pairs.whole)
    assert list(whole.left_name) == list(whole.table["m1"])
    assert list(whole.right_name) == list(whole.table["m2"])


@settings(deadline=None, max_examples=40)
@given(store=stores(), chosen=st.permutations(TEMPLATE_IDS), count=st.integers(1, 3))
def test_whole_words_are_those_that_a_loop_finds_in_every_template(store, chosen, count):
    captured, occurrences = CapturedWords.of(store), store.table("occurrences")
    assert captured.names == tuple(sorted(set(occurrences["word"])))
    numbers = captured.number(occurrences["word"].tolist())
    assert torch.equal(numbers, captured.word)
    for templates in (None, chosen[:count]):
        found, rows = captured.whole_words(templates)
        expected = {}
        for number, word in enumerate(captured.names):
            own = occurrences[occurrences["word"] == word].set_index("template_id")["occurrence"]
            wanted = templates or TEMPLATE_IDS
            if set(wanted) <= set(own.index):
                expected[number] = [own.loc[[name]].min() for name in wanted]
        assert found.tolist() == list(expected)
        assert rows.tolist() == list(expected.values())


def test_a_causal_capture_has_a_word_once_and_a_bidirectional_one_before_every_head(tmp_path):
    for name, architecture in (("causal", "llama"), ("both ways", "bert")):
        model = tiny_model(architecture)
        store = capture(model, make_plan(model), tmp_path / name, settings=CaptureSettings())
        pairs = LocatedPairs.of(store)
        templates = list(pairs.captured.template_ids)
        assert sorted(templates) == ["apart", "early", "late"]
        assert bool(pairs.whole.all())
        occurrences = store.table("occurrences").set_index("occurrence")
        for side, rows in (("m1", pairs.left), ("m2", pairs.right)):
            found = occurrences.loc[rows.flatten().numpy()]
            assert list(found["word"]) == [word for word in PAIRS[side] for _ in range(3)]
            # "The {modifier}" begins two templates, whose words a causal model reads once.
            own = ["apart" if name == "causal" and t == "early" else t for t in templates]
            assert list(found["template_id"]) == own * len(PAIRS)
        numbers, rows = pairs.captured.whole_words()
        assert len(numbers) == len(pairs.captured.names)
        first = {word: rows[pairs.captured.names.index(word)].tolist() for word in PAIRS["m1"]}
        of_pair = pairs.left[0].tolist()
        assert first["black"] == of_pair if name == "causal" else first["black"] <= of_pair
        distinct = pairs.distinct
        same = torch.equal(pairs.left[0], pairs.left[1])  # "black" before "fox" and before "dog"
        assert same == (name == "causal")
        compounds = {(head, word) for head, *words in PAIRS.to_numpy() for word in words}
        words = {word for _, word in compounds}
        assert len(distinct.rows) == len(words if name == "causal" else compounds)
        assert torch.equal(distinct.rows[distinct.left], pairs.left)
        assert torch.equal(distinct.rows[distinct.right], pairs.right)


def test_single_words_are_found_in_the_templates_of_their_part_of_speech(tmp_path):
    pairs = pd.DataFrame(
        [
            ("synonym", "n", "fox", "dog", "tree"),
            ("antonym", "a", "black", "white", "red"),
            ("antonym", "a", "fox", "small", "black"),  # as an adjective too
        ],
        columns=["relation", "pos", "w1", "w2", CONTROL],
    )
    templates = pd.DataFrame(
        [
            ("n0", "n", "The dog saw the {word} [and] ran."),
            ("n1", "n", "The {word} [quietly] ran."),
            ("a0", "a", "The fox is {word} [and] big."),
            ("a1", "a", "A {word} [tree] was big."),
        ],
        columns=["template_id", "pos", "text"],
    )
    model = tiny_model("llama")
    plan = plan_words(model.tokenizer, pairs, templates)
    store = capture(model, plan, tmp_path / "words", settings=CaptureSettings())
    related, control = LocatedPairs.of(store), LocatedPairs.of(store, sides=("w1", CONTROL))
    assert related.left_query is None
    assert torch.equal(related.left, control.left)
    assert list(control.right_name) == ["tree", "red", "black"]
    occurrences = store.table("occurrences").set_index("occurrence")
    for row, kind in enumerate(pairs["pos"]):
        found = occurrences.loc[related.left[row].numpy(), "template_id"]
        assert list(found) == [f"{kind}0", f"{kind}1"]
    assert not torch.equal(related.left[0], related.left[2])
    assert related.left_word[0] == related.left_word[2]
    numbers, rows = related.captured.whole_words(["a0", "a1"])
    assert {related.captured.names[n] for n in numbers} == {"black", "fox", "red", "small", "white"}
    assert rows.shape == (5, 2)


@pytest.fixture
def many():
    """40 words in two templates, one of them in one only; pairs of neighbours."""
    words = [f"w{n:02}" for n in range(40)]
    rows = [(t, word, "hat") for t in ("t0", "t1") for word in words]
    rows.remove(("t1", "w39", "hat"))
    pairs = pd.DataFrame({"head": "hat", "m1": words[:-1], "m2": words[1:]})
    return make_store(rows, pairs)


def test_too_few_whole_pairs_are_refused_with_the_counts(many):
    pairs = LocatedPairs.of(many)
    assert len(pairs.take_whole()) == len(pairs) - 1
    few = pairs.take(slice(FEWEST_PAIRS - 1))
    with pytest.raises(TableError, match=r"only 19 of 19 pairs .* t0, t1; ranks need at least 20"):
        few.take_whole()
    assert len(few.take_whole(at_least=19)) == 19


def test_random_pairs_are_of_two_whole_words_and_follow_the_seed(many):
    captured = CapturedWords.of(many)
    pairs = LocatedPairs.draw(captured, count=500, seed=3)
    sides = torch.stack([pairs.left_word, pairs.right_word]).sort(dim=0).values
    assert torch.unique(sides, dim=1).shape[1] == len(pairs)  # each pair of words once
    assert 300 < len(pairs) < 500
    assert bool((pairs.left_word != pairs.right_word).all())
    assert "w39" not in {*pairs.left_name, *pairs.right_name}
    assert len({*pairs.left_name}) == 39
    for rows, words in ((pairs.left, pairs.left_word), (pairs.right, pairs.right_word)):
        assert torch.equal(captured.word[rows], words[:, None].expand(-1, 2))
        assert torch.equal(captured.template[rows], torch.tensor([[0, 1]]).expand(len(pairs), -1))
    again = LocatedPairs.draw(captured, count=500, seed=3)
    assert torch.equal(again.left, pairs.left)
    assert torch.equal(again.right, pairs.right)
    assert not torch.equal(LocatedPairs.draw(captured, count=500, seed=4).left, pairs.left)
    some = captured.whole_words()[0][:2], captured.whole_words()[1][:2]
    both = LocatedPairs.draw_from(captured, *some, count=20, seed=0)
    assert {*both.left_name, *both.right_name} == {"w00", "w01"}
    assert len(both) == 1
    with pytest.raises(TableError, match="1 captured words are in every template"):
        LocatedPairs.draw_from(captured, some[0][:1], some[1][:1], count=5, seed=0)


def test_pairs_are_taken_and_joined_with_all_that_belongs_to_them(many):
    pairs = LocatedPairs.of(many).take_whole()
    some = pairs.take(torch.tensor([4, 1]))
    assert list(some.table["m1"]) == ["w04", "w01"]
    assert list(some.table.index) == [0, 1]
    assert torch.equal(some.left_query, pairs.left_query[[4, 1]])
    drawn = LocatedPairs.draw(pairs.captured, count=7, seed=0)
    joined = LocatedPairs.join([some, drawn])
    assert len(joined) == 9
    assert torch.equal(joined.left, torch.cat([some.left, drawn.left]))
    assert torch.equal(joined.right_word, torch.cat([some.right_word, drawn.right_word]))
    assert joined.left_query is None
    with pytest.raises(UsageError, match="no lists of pairs to join"):
        LocatedPairs.join([])


def test_other_pairs_and_a_table_without_words(many):
    other = pd.DataFrame({"head": ["hat", "hat"], "m1": ["w03", "w39"], "m2": ["w00", "w01"]})
    pairs = LocatedPairs.of(many, other)
    assert pairs.whole.tolist() == [True, False]
    with pytest.raises(TableError, match="no column 'm3', only head, m1, m2"):
        LocatedPairs.of(many, sides=("m1", "m3"))


def test_words_are_sampled_without_repetition_in_their_order():
    rows = torch.arange(40).reshape(20, 2)
    words = DistinctWords.of(rows[:10], rows[10:])
    assert torch.equal(words.rows, rows)
    chosen = words.sample_rows(6, seed=1)
    assert len(chosen) == 6
    assert (chosen[:, 0].diff() > 0).all()
    assert torch.equal(chosen, words.sample_rows(6, seed=1))
    assert torch.equal(words.sample_rows(20, seed=1), rows)


@pytest.mark.parametrize("causal", [True, False])
def test_the_same_two_occurrences_are_one_pair_in_either_order_and_before_any_head(causal):
    rows = [(t, word, head) for t in ("t0", "t1") for head in "hg" for word in ("a", "b", "c")]
    pairs = [
        ("h", "a", "b"),
        ("g", "a", "b"),
        ("h", "b", "a"),
        ("h", "b", "c"),
        *[("h", "c", "z")] * 2,
    ]
    store = make_store(rows, pd.DataFrame(pairs, columns=["head", "m1", "m2"]))
    if causal:  # a word has one occurrence in a template, whatever follows it
        queries = store.tables["queries"]
        queries["occurrence"] = queries.groupby(["template_id", "modifier"]).ngroup()
        store.tables["occurrences"] = queries.drop_duplicates("occurrence").rename(
            columns={"modifier": "word"}
        )
    located = LocatedPairs.of(store)
    assert located.first_of_same().tolist() == [True, not causal, False, True, True, True]
    named = located.first_of_same(pd.Series(["x", "x", "y", "y", "y", "y"]))
    assert named.tolist() == [True, not causal, True, True, True, True]
    assert len(located.take_distinct()) == 5 - causal
    assert len(located.take_whole(at_least=2)) == 3 - causal  # a lost word repeats none
