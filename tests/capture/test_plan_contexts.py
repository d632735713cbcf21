"""Plans of contexts: what is an event, what is read once, what is shared, what is lost."""

from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.capture import plan_coordination, plan_sentences
from probes.capture.plan_sentences import POOLED, pool_rare
from probes.errors import AlignmentError, TableError, UsageError
from probes.words import fill_coordination, load_sentences
from tests.capture.context_examples import PAIRS, SENTENCES, TEMPLATES, JoiningTokenizer
from tests.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
LOSS = ["template_id", "modifier", "head", "sentence", "reason"]


@pytest.fixture(params=[True, False], ids=["causal", "both ways"])
def causal(request):
    return request.param


@pytest.fixture(params=["coordination", "sentences"])
def plan(request, causal):
    if request.param == "sentences":
        return plan_sentences(TOKENIZER, load_sentences(SENTENCES), causal=causal, fewest=3)
    return plan_coordination(TOKENIZER, PAIRS, TEMPLATES, causal=causal, whole_contexts=5)


def words_of(plan):
    return plan.occurrences[plan.occurrences["slot"] >= 0]


def test_rows_are_numbered_in_the_order_in_which_sequences_read_them(plan):
    read = [number for sequence in plan.sequences for number, _ in sequence.occurrences]
    assert read == plan.occurrences["occurrence"].tolist() == list(range(len(plan.occurrences)))
    asked = [query for sequence in plan.sequences for query, _, _ in sequence.queries]
    assert asked == plan.queries["query"].tolist() == list(range(len(plan.queries)))
    contexts = [number for number, s in enumerate(plan.sequences) for _ in s.queries]
    assert contexts == plan.queries["context"].tolist()


def test_sequences_read_what_the_tables_say(plan, causal):
    for sequence, number in zip(plan.sequences, range(len(plan.sequences)), strict=True):
        [text] = set(plan.queries["sentence"][plan.queries["context"] == number])
        ids = TOKENIZER(text)["input_ids"]
        last = max(position for _, position, _ in sequence.queries)
        assert list(sequence.ids) == (ids[: last + 1] if causal else ids)
        for occurrence, span in sequence.occurrences:
            row = plan.occurrences.iloc[occurrence]
            assert (span.first, span.last) == (row["first_token"], row["last_token"])
            assert sequence.prefix_length <= span.first
            assert list(row["token_ids"]) == ids[span.first : span.last + 1]
            if row["slot"] >= 0:
                assert text[row["start"] : row["end"]] == row["word"]
                assert TOKENIZER.decode(row["token_ids"]).strip() == row["word"]
        for query, position, attended in sequence.queries:
            row = plan.queries.iloc[query]
            assert (row["position"], row["distance"]) == (position, position - attended)
            assert attended == plan.occurrences["last_token"][row["occurrence"]]


def test_an_occurrence_is_what_a_model_can_tell_apart(plan, causal):
    """In a causal model the text up to the word; in another one every sentence has its own."""
    words = words_of(plan)
    if causal:
        assert words["sentence"].is_unique
        seen = {
            sentence[: words["end"][occurrence]]
            for sentence, occurrence in zip(
                plan.queries["sentence"], plan.queries["occurrence"], strict=True
            )
        }
        assert set(words["sentence"]) == seen
    else:
        assert not words.duplicated(["sentence", "start"]).any()
        assert not words.duplicated(["context", "start"]).any()
        texts = plan.queries.drop_duplicates(["context", "occurrence"])
        assert len(words) == len(texts)


def test_tokens_of_whole_contexts_are_told_from_words(plan):
    tokens = plan.occurrences[plan.occurrences["slot"] < 0]
    assert set(tokens["word"]) == {""}
    assert (tokens["first_token"] == tokens["last_token"]).all()
    assert all(name.endswith("/context") for name in tokens["group"])
    assert not set(tokens["group"]) & set(words_of(plan)["group"])
    used = {*plan.pairs["left"], *plan.pairs["right"]}
    assert used == set(words_of(plan)["occurrence"])


def test_every_pair_stands_in_every_template_in_both_orders(causal):
    plan = plan_coordination(TOKENIZER, PAIRS, TEMPLATES, causal=causal, whole_contexts=0)
    expected = {
        (t, text, row["head"], *order)
        for t, text in zip(TEMPLATES["template_id"], TEMPLATES["text"], strict=True)
        for row in PAIRS.to_dict("records")
        for order in ((row["m1"], row["m2"]), (row["m2"], row["m1"]))
    }
    columns = ["template_id", "head", "left_word", "right_word"]
    found = plan.pairs[columns].apply(tuple, axis=1).tolist()
    assert sorted(found) == sorted((t, *rest) for t, _, *rest in expected)
    texts = plan.queries["sentence"].iloc[plan.pairs["left_query"]]
    assert set(texts) == {
        fill_coordination(text, first, second, head).text
        for _, text, head, first, second in expected
    }
    # Matched in position: each word of a pair is in each place equally often.
    first = plan.pairs[plan.pairs["order"] == "m1 first"].set_index(["pair_id", "template_id"])
    second = plan.pairs[plan.pairs["order"] == "m2 first"].set_index(["pair_id", "template_id"])
    pd.testing.assert_series_equal(
        first["left_word"].sort_index(), second["right_word"].sort_index(), check_names=False
    )
    pd.testing.assert_series_equal(
        first["z_left"].sort_index(), second["z_right"].sort_index(), check_names=False
    )
    z = {word: z for m in ("m1", "m2") for word, z in zip(PAIRS[m], PAIRS[f"z_{m}"], strict=True)}
    assert first["z_left"].tolist() == pytest.approx(
        [PAIRS.set_index("pair_id")["z_m1"][pair_id] for pair_id, _ in first.index]
    )
    assert set(z) == {*plan.pairs["left_word"]}
    groups = plan.occurrences["group"]
    for side, slot in (("left", 0), ("right", 1)):
        assert set(plan.occurrences["slot"].iloc[plan.pairs[side]]) == {slot}
        if not causal:
            told = (plan.pairs["template_id"] + f"/{slot}").tolist()
            assert groups.iloc[plan.pairs[side]].tolist() == told
    assert plan.settings["sizes"] is True
    assert plan.settings["site"] == ("decoder" if causal else "encoder")


def test_templates_that_begin_alike_share_their_words():
    plan = plan_coordination(TOKENIZER, PAIRS, TEMPLATES, whole_contexts=0)
    by_template = plan.pairs.groupby("template_id")[["left", "right"]].apply(
        lambda rows: {tuple(row) for row in rows.to_numpy()}
    )
    assert by_template["early"] == by_template["again"]
    assert not by_template["early"] & by_template["late"]


def test_pairs_given_twice_are_laid_out_once():
    swapped = PAIRS.rename(columns={"m1": "m2", "m2": "m1", "z_m1": "z_m2", "z_m2": "z_m1"})
    twice = pd.concat([PAIRS, swapped[PAIRS.columns]], ignore_index=True)
    found, once = (
        plan_coordination(TOKENIZER, table, TEMPLATES, seed=3) for table in (twice, PAIRS)
    )
    assert found.sequences == once.sequences
    pd.testing.assert_frame_equal(found.pairs, once.pairs)


def test_prefixes_are_shared_where_it_pays(monkeypatch):
    monkeypatch.setattr("probes.capture.contexts_layout.FEWEST_SHARING", 6)
    known = PAIRS[~PAIRS["m2"].eq("zest")]
    plan = plan_coordination(TOKENIZER, known, TEMPLATES, whole_contexts=14)
    lengths = [sequence.prefix_length for sequence in plan.sequences]
    early, late = (
        len(TOKENIZER(text)["input_ids"]) for text in ("The", "The dog saw the tree and the")
    )
    # One context a prefix, the first that is read whole, runs what the others share: from the
    # start, or from where another prefix has been read to.
    assert lengths == [0] + [early] * 11 + [early] + [late] * 5
    for sequence, length in zip(plan.sequences, lengths, strict=True):
        assert sequence.ids[:length] == plan.sequences[-1 if length == late else 0].ids[:length]
    monkeypatch.setattr("probes.capture.contexts_layout.FEWEST_SHARING", 99)
    plan = plan_coordination(TOKENIZER, known, TEMPLATES, whole_contexts=4)
    assert {sequence.prefix_length for sequence in plan.sequences} == {0}


def test_a_lost_word_takes_its_sentence_along(causal):
    tokenizer = JoiningTokenizer("red")
    plan = plan_coordination(tokenizer, PAIRS, TEMPLATES, causal=causal)
    assert list(plan.losses.columns) == LOSS
    assert len(plan.losses) == 2 * len(TEMPLATES)
    assert set(plan.losses["modifier"]) == {"red, small", "small, red"}
    assert plan.losses["reason"].str.contains("also hold").all()
    assert "p2" not in set(plan.pairs["pair_id"])
    assert len(plan.pairs) == 3 * 2 * len(TEMPLATES)
    with pytest.raises(AlignmentError, match=r"none of the 6 sentences .* The first: .*also hold"):
        plan_coordination(tokenizer, PAIRS.iloc[[2]], TEMPLATES, causal=causal)


def test_events_of_marked_sentences(causal):
    plan = plan_sentences(TOKENIZER, load_sentences(SENTENCES), causal=causal, fewest=2)
    found = set(plan.pairs[["left_word", "right_word", "head"]].apply(tuple, axis=1))
    expected = {
        *[(*pair, "of") for pair in combinations(("red", "saw", "zest"), 2)],
        *[(*pair, "dog") for pair in combinations(("red", "fox", "saw"), 2)],
        ("cat", "big", ""),  # this tokenizer's first token of "quiet" is the space alone
        ("small", "quiet", "tree"),
    }
    assert found == expected
    assert len(plan.pairs) == 8
    assert (plan.queries["distance"] > 0).all()
    assert set(plan.pairs["template_id"]) == {"your sentences"}
    once = plan.pairs.set_index("pair_id").loc["big / cat"]
    assert (once["left_label"], once["right_label"]) == ("A", "A")
    assert plan.pairs["z_left"].notna().all()
    # The same words in two sentences have one name, and are one event each.
    assert (plan.pairs["pair_id"] == "red / saw").sum() == 2


def test_the_query_is_the_token_behind_the_last_word():
    sentences = SENTENCES.assign(query="")
    plan = plan_sentences(TOKENIZER, load_sentences(sentences), causal=True)
    for number, rows in plan.queries.groupby("context"):
        words = plan.occurrences.iloc[rows["occurrence"]]
        assert set(rows["position"]) == {words["last_token"].max() + 1}, number
    ends = pd.DataFrame({"sentence": ["a fox saw a tree"] * 2, "word": ["fox", "tree"]})
    both = load_sentences(pd.concat([sentences, ends], ignore_index=True).fillna(""))
    plan = plan_sentences(TOKENIZER, both)
    assert plan.losses[["modifier", "reason"]].to_numpy().tolist() == [
        ["fox, tree", "no token follows the last marked word"]
    ]
    with pytest.raises(AlignmentError, match=r"no two words of the 1 sent.*no token follows"):
        plan_sentences(TOKENIZER, load_sentences(ends))


def test_a_query_must_see_the_words_in_a_causal_model():
    rows = [("a red fox saw the dog and the cat", word, "saw") for word in ("fox", "dog", "cat")]
    table = load_sentences(pd.DataFrame(rows, columns=["sentence", "word", "query"]))
    both = plan_sentences(TOKENIZER, table, causal=False)
    assert len(both.pairs) == 3
    assert both.losses.empty
    assert (both.queries["distance"] < 0).sum() == 2
    with pytest.raises(AlignmentError, match="the word is not before what attends, 'saw'"):
        plan_sentences(TOKENIZER, table)
    more = load_sentences(
        pd.DataFrame([*rows, (rows[0][0], "red", "saw")], columns=["sentence", "word", "query"])
    )
    plan = plan_sentences(TOKENIZER, more)
    assert plan.losses["modifier"].tolist() == ["dog", "cat"]
    assert plan.pairs[["left_word", "right_word"]].to_numpy().tolist() == [["red", "fox"]]


def test_lost_words_and_queries_of_sentences():
    table = load_sentences(SENTENCES)
    plan = plan_sentences(JoiningTokenizer("saw"), table)
    assert set(plan.losses["modifier"]) == {"saw"}
    assert len(plan.losses) == 2
    plan = plan_sentences(JoiningTokenizer("cat"), table)
    assert plan.losses["modifier"].tolist() == ["cat", "big"]
    assert plan.losses["reason"].tolist()[1] == "no other word of its sentence is left"
    rows = [("the dog and a fox saw it", word, "saw") for word in ("dog", "fox")]
    asked = load_sentences(pd.DataFrame(rows, columns=["sentence", "word", "query"]))
    with pytest.raises(AlignmentError, match="the tokens of 'saw' also hold"):
        plan_sentences(JoiningTokenizer("saw"), asked)


def test_one_occurrence_has_one_label():
    rows = [
        ("a fox saw the dog and ran", "fox", "A"),
        ("a fox saw the dog and ran", "dog", "A"),
        ("a fox saw the cat and ran", "fox", "B"),
        ("a fox saw the cat and ran", "cat", "A"),
    ]
    table = load_sentences(pd.DataFrame(rows, columns=["sentence", "word", "label"]))
    plan = plan_sentences(TOKENIZER, table, fewest=1)
    assert plan.losses["modifier"].tolist() == ["fox"]
    assert "labelled 'A', which counts for both, and not 'B'" in plan.losses["reason"][0]
    assert set(words_of(plan)["group"]) == {"A"}
    both = plan_sentences(TOKENIZER, table, causal=False, fewest=1)
    assert both.losses.empty
    assert sorted(words_of(both)["group"]) == ["A", "A", "A", "B"]


def test_columns_of_ones_own_are_kept_but_take_nobodys_place():
    table = load_sentences(SENTENCES.assign(speaker="she", slot="mine", occurrence="mine"))
    words = words_of(plan_sentences(TOKENIZER, table))
    assert set(words["speaker"]) == {"she"}
    assert set(words["slot"]) == {0}
    assert words["occurrence"].is_unique


GROUPS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=40)


@settings(deadline=None, max_examples=50)
@given(groups=GROUPS, fewest=st.integers(1, 12))
def test_rare_groups_are_pooled(groups, fewest):
    found = pool_rare(groups, fewest)
    counts = {name: found.count(name) for name in found}
    if len(counts) > 1:
        assert min(counts.values()) >= fewest
    # What is common stays as it is, but the rarest may have to help out.
    common = {name for name in groups if groups.count(name) >= fewest}
    moved = {old for old, new in zip(groups, found, strict=True) if old != new}
    assert len(moved & common) <= 1
    assert set(found) <= {*groups, POOLED}
    for old, new in zip(groups, found, strict=True):
        assert new in (old, POOLED)


def test_refusals():
    with pytest.raises(UsageError, match="whole_contexts must be at least 0, not -1"):
        plan_coordination(TOKENIZER, PAIRS, TEMPLATES, whole_contexts=-1)
    with pytest.raises(TableError, match="lacks the column pair_id"):
        plan_coordination(TOKENIZER, PAIRS.drop(columns="pair_id"), TEMPLATES)
    with pytest.raises(AlignmentError, match="there is no sentence to align"):
        plan_coordination(TOKENIZER, PAIRS, TEMPLATES.head(0))
    with pytest.raises(TableError, match="lacks the column"):
        plan_sentences(TOKENIZER, load_sentences(SENTENCES).drop(columns="start"))


def test_the_same_plan_every_time():
    for make in (
        lambda seed: (
            plan_coordination(TOKENIZER, PAIRS, TEMPLATES, whole_contexts=5, seed=seed).pairs
        ),
        lambda seed: (
            plan_sentences(TOKENIZER, load_sentences(SENTENCES), whole_contexts=1, seed=seed).pairs
        ),
    ):
        pd.testing.assert_frame_equal(make(0), make(0))
        whole = set()
        for seed in range(5):
            pairs = make(seed)
            chosen = pairs[pairs["context_rows"].map(len) > 0]
            whole.add(frozenset(chosen[["template_id", "head", "left_word"]].apply(tuple, axis=1)))
        assert len(whole) > 1
