"""The plan: what is run once, where it ends, what is lost, and finding it again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from probes.capture import locate_pairs, plan_capture
from probes.errors import AlignmentError
from probes.words.templates import fill_template
from tests.capture.examples import PAIRS, TEMPLATES
from tests.tiny import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
COMPOUNDS = sorted({(row.head, word) for row in PAIRS.itertuples() for word in (row.m1, row.m2)})


@pytest.fixture(scope="module", params=[True, False], ids=["causal", "bidirectional"])
def plan(request):
    return plan_capture(TOKENIZER, PAIRS, TEMPLATES, causal=request.param)


def ids_of(text: str) -> list[int]:
    return TOKENIZER(text)["input_ids"]


def test_every_compound_in_every_template_is_one_query(plan):
    found = plan.queries[["template_id", "head", "modifier"]].apply(tuple, axis=1).tolist()
    assert len(COMPOUNDS) == 9
    expected = {(t, *compound) for t in TEMPLATES["template_id"] for compound in COMPOUNDS}
    assert len(found) == len(expected) == 27
    assert set(found) == expected
    assert plan.losses.empty
    assert plan.queries["query"].tolist() == list(range(27))


def test_occurrences_are_numbered_in_the_order_in_which_sequences_read_them(plan):
    read = [number for sequence in plan.sequences for number, _ in sequence.occurrences]
    assert read == plan.occurrences["occurrence"].tolist() == list(range(len(plan.occurrences)))
    asked = [query for sequence in plan.sequences for query, _, _ in sequence.queries]
    assert asked == plan.queries["query"].tolist()


def test_causal_occurrences_are_the_distinct_left_contexts():
    plan = plan_capture(TOKENIZER, PAIRS, TEMPLATES)
    contexts = set()
    for text in TEMPLATES["text"]:
        for head, modifier in COMPOUNDS:
            sentence = fill_template(text, modifier, head)
            contexts.add(sentence.text[: sentence.modifier_span[1]])
    # Five modifiers in two left contexts: two of the three templates begin alike.
    assert len(contexts) == 10
    assert sorted(plan.occurrences["sentence"]) == sorted(contexts)
    assert plan.occurrences["head"].isna().all()


def test_bidirectional_occurrences_are_one_a_query():
    plan = plan_capture(TOKENIZER, PAIRS, TEMPLATES, causal=False)
    assert plan.queries["occurrence"].tolist() == list(range(27))
    assert plan.occurrences["head"].tolist() == plan.queries["head"].tolist()
    for sequence, sentence in zip(plan.sequences, plan.queries["sentence"], strict=True):
        assert sequence.ids == tuple(ids_of(sentence))
        assert sequence.prefix_length == 0


def test_causal_sequences_end_at_the_head_and_share_what_precedes_the_modifier():
    plan = plan_capture(TOKENIZER, PAIRS, TEMPLATES)
    for sequence, query in zip(plan.sequences, plan.queries.itertuples(), strict=True):
        text = query.sentence
        # The word as it is after "modifier", so that "the" in "the dog" is never meant.
        end = text.index(query.head, text.index(query.modifier)) + len(query.head)
        assert sequence.ids == tuple(ids_of(text[:end]))
        assert sequence.ids == tuple(ids_of(text)[: len(sequence.ids)])
        start = text.index(query.modifier)
        assert sequence.ids[: sequence.prefix_length] == tuple(ids_of(text[:start].rstrip())) or (
            TOKENIZER.decode(sequence.ids[sequence.prefix_length :])
            .strip()
            .startswith(query.modifier)
        )
        assert query.position == len(sequence.ids) - 1


def test_rows_name_the_right_tokens(plan):
    occurrences = plan.occurrences.set_index("occurrence")
    for query in plan.queries.itertuples():
        ids = ids_of(query.sentence)
        row = occurrences.loc[query.occurrence]
        assert row["word"] == query.modifier
        assert query.sentence[row["start"] : row["end"]] == query.modifier
        assert list(row["token_ids"]) == ids[row["first_token"] : row["last_token"] + 1]
        assert TOKENIZER.decode(row["token_ids"]).strip() == query.modifier
        assert TOKENIZER.convert_ids_to_tokens(list(row["token_ids"])) == list(row["pieces"])
        head = ids[query.position - query.head_tokens + 1 : query.position + 1]
        assert TOKENIZER.decode(head).strip() == query.head
        assert query.distance == query.position - row["last_token"]
    several = occurrences[occurrences["word"] == "zest"]
    assert (several["last_token"] - several["first_token"] == 3).all()


def test_sequences_read_what_the_tables_say(plan):
    occurrences = plan.occurrences.set_index("occurrence")
    queries = plan.queries.set_index("query")
    for sequence in plan.sequences:
        for number, span in sequence.occurrences:
            row = occurrences.loc[number]
            assert (span.first, span.last) == (row["first_token"], row["last_token"])
            assert sequence.prefix_length <= span.first
        [(number, position, attended)] = sequence.queries
        assert position == queries.loc[number, "position"]
        assert attended == occurrences.loc[queries.loc[number, "occurrence"], "last_token"]


@pytest.mark.parametrize("causal", [True, False])
def test_the_order_of_pairs_templates_and_sides_does_not_matter(causal):
    plan = plan_capture(TOKENIZER, PAIRS, TEMPLATES, causal=causal)
    turned = PAIRS.sample(frac=1, random_state=3).rename(columns={"m1": "m2", "m2": "m1"})
    other = plan_capture(TOKENIZER, turned, TEMPLATES.iloc[::-1], causal=causal)
    assert other.sequences == plan.sequences
    assert_frame_equal(other.occurrences, plan.occurrences)
    assert_frame_equal(other.queries, plan.queries)


def test_sequences_with_one_prefix_stand_together_the_shortest_first(plan):
    prefixes = [(s.ids[: s.prefix_length]) for s in plan.sequences]
    blocks = [p for p, before in zip(prefixes, [None, *prefixes], strict=False) if p != before]
    # One block a template at most, since templates are not mixed.
    assert len(blocks) <= 2 * len(TEMPLATES)


@pytest.mark.parametrize("causal", [True, False])
def test_pairs_are_located(causal):
    plan = plan_capture(TOKENIZER, PAIRS, TEMPLATES, causal=causal)
    names = ["early", "late"]
    left, right = locate_pairs(PAIRS, plan.queries, names)
    assert left.shape == right.shape == (5, 2)
    occurrences = plan.occurrences.set_index("occurrence")
    for found, side in ((left, "m1"), (right, "m2")):
        for i, pair in enumerate(PAIRS.to_dict("records")):
            for j, name in enumerate(names):
                text = TEMPLATES.set_index("template_id").loc[name, "text"]
                sentence = fill_template(text, pair[side], pair["head"]).text
                row = occurrences.loc[found[i, j]]
                assert row["word"] == pair[side]
                assert sentence.startswith(row["sentence"])
                assert causal or (row["sentence"], row["head"]) == (sentence, pair["head"])


def test_losses_are_told_and_located_as_missing():
    """A tokenizer that joins "red" with the quiet word's first letter: the text decides."""

    class Losing:
        """Hands out offsets in which every "red" also covers the next letter."""

        is_fast = True
        convert_ids_to_tokens = staticmethod(TOKENIZER.convert_ids_to_tokens)
        decode = staticmethod(TOKENIZER.decode)

        def __call__(self, texts, **options):
            encoded = TOKENIZER(texts, **options)
            for text, offsets in zip(texts, encoded["offset_mapping"], strict=True):
                for i, (start, end) in enumerate(offsets):
                    if text[start:end].strip() == "red":
                        offsets[i] = (start, end + 2)
            return encoded

    plan = plan_capture(Losing(), PAIRS, TEMPLATES)
    assert len(plan.queries) == 24
    assert len(plan.losses) == 3
    assert set(plan.losses["template_id"]) == set(TEMPLATES["template_id"])
    assert set(zip(plan.losses["modifier"], plan.losses["head"], strict=True)) == {("red", "quiet")}
    assert plan.losses["reason"].str.contains("also hold").all()
    assert plan.losses["sentence"].str.contains("red").all()
    left, right = locate_pairs(PAIRS, plan.queries, ["early", "apart"])
    assert np.argwhere(left < 0).tolist() == [[3, 0], [3, 1]]
    assert (right >= 0).all()
    nothing = PAIRS.assign(m1="red", m2="red")
    with pytest.raises(AlignmentError, match=r"none of the 12 sentences .*The first: .*also hold"):
        plan_capture(Losing(), nothing, TEMPLATES)


def test_a_sentence_that_is_too_long_is_lost_and_no_other():
    """Even if the tokenizer does not say how much the model takes."""
    model = tiny_model("gpt2")  # with a learned position for each of 128 tokens
    text = ["The " * 130 + "{modifier} {head}", "the {modifier} {head}"]
    templates = pd.DataFrame({"template_id": ["long", "short"], "text": text})
    plan = plan_capture(model.tokenizer, PAIRS, templates)
    assert set(plan.losses["template_id"]) == {"long"}
    assert plan.losses["reason"].str.contains("tokens, and the model takes 128").all()
    assert set(plan.queries["template_id"]) == {"short"}


def test_an_empty_loss_table_has_its_columns(plan):
    columns = ["template_id", "modifier", "head", "sentence", "reason"]
    assert plan.losses.columns.tolist() == columns
    assert isinstance(plan.losses, pd.DataFrame)
