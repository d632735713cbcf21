"""Coordinations: spans are right for all words, both orders are alike, the schema tells faults."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import TableError, UsageError
from probes.words import fill_coordination, load_coordinations, load_pairs
from probes.words.coordination import find_coordination_fault

WORDS = st.sampled_from(["neural", "École", "co-op", "o'clock", "naïve", "x", "the"])
TEXTS = st.sampled_from(load_coordinations()["text"].tolist())


@settings(deadline=None, max_examples=50)
@given(text=TEXTS, first=WORDS, second=WORDS, head=WORDS, prefix=st.sampled_from(["", "Say: "]))
def test_spans_cut_out_the_words(text, first, second, head, prefix):
    sentence = fill_coordination(text, first, second, head, "c").after(prefix)
    assert sentence.text.startswith(prefix)
    spans = [sentence.first_span, sentence.second_span, sentence.head_span]
    cut = [sentence.text[slice(*span)] for span in spans]
    assert [word.lower() for word in cut] == [word.lower() for word in (first, second, head)]
    assert spans == sorted(spans)
    gaps = text.replace("{first}", "|").replace("{second}", "|").replace("{head}", "|").split("|")
    assert sentence.text == prefix + "".join(
        part for pair in zip(gaps, [*cut, ""], strict=True) for part in pair
    )


def test_the_founding_pair_in_the_first_template():
    text = load_coordinations().loc[0, "text"]
    told = fill_coordination(text, "neural", "social", "network").text
    assert told == "They talked about the neural and the social network for a while."
    text = load_coordinations("templates_coordination_zh").loc[0, "text"]
    assert (
        fill_coordination(text, "神经", "社交", "网络").text == "他们讨论了神经及社交网络的问题。"
    )


@pytest.mark.parametrize("name", ["templates_coordination", "templates_coordination_zh"])
def test_shipped_coordinations_vary(name):
    frame = load_coordinations(name)
    assert list(frame.columns) == ["template_id", "text", "position", "joined", "note"]
    first = frame.head(8)
    assert set(first["position"]) == {"early", "middle", "late"}
    assert first["joined"].nunique() >= 4
    assert frame["text"].is_unique
    for text, joined in zip(frame["text"], frame["joined"], strict=True):
        for part in joined.split(" ... "):
            assert part in text or part.capitalize() in text
    if name == "templates_coordination":
        assert len(frame) >= 8
        assert not frame["text"].str.contains(r"\b[aA]n? \{").any()
        # No template begins as another does, so that each gives occurrences of its own.
        assert frame["text"].str.split(r"\{second\}", regex=True).str[0].is_unique


def test_every_shipped_chinese_pair_fits_every_template():
    pairs = load_pairs("compound_pairs_zh")
    for text in load_coordinations("templates_coordination_zh")["text"]:
        for row in pairs.to_dict("records"):
            assert row["m2"] + row["head"] in fill_coordination(
                text, row["m1"], row["m2"], row["head"]
            ).text.replace("而是", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the {first} {head}", "has 0 {second}"),
        ("{first} {second} {second} {head}", "has 2 {second}"),
        ("{second} or {first} {head}", "in another order"),
        ("{head}: {first} or {second}", "in another order"),
        ("{a} {first} or {second} {head}", "unknown field {a}"),
        ("{first}s or {second} {head}", "joins a field to a letter"),
        ("{first} or {second}{head}", "joins a field"),
        ("{first} or {second} {head}}", "a brace"),
    ],
)
def test_faults(text, told):
    assert told in str(find_coordination_fault(text))
    with pytest.raises(TableError, match="the template"):
        fill_coordination(text, "a", "b", "c")
    frame = pd.DataFrame({"template_id": ["x"], "text": [text]})
    with pytest.raises(TableError, match=r"row 2, column text"):
        load_coordinations(frame)


def test_words_that_need_a_space_are_not_joined():
    text = load_coordinations("templates_coordination_zh").loc[0, "text"]
    with pytest.raises(TableError, match="joins 'social' and 'network'"):
        fill_coordination(text, "neural", "social", "network")


def test_choosing_templates():
    assert list(load_coordinations(count=2)["template_id"]) == ["c00", "c01"]
    assert list(load_coordinations(names=["c05", "c01"])["template_id"]) == ["c05", "c01"]
    with pytest.raises(UsageError, match="count is 99"):
        load_coordinations(count=99)
    with pytest.raises(UsageError, match="name each wanted one once"):
        load_coordinations(names=["t00"])
    with pytest.raises(TableError, match="the shipped ones are templates_coordination"):
        load_coordinations("templates")
