"""Templates: spans are right for all words, articles agree, the schema tells every fault."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import TableError, UsageError
from probes.words.pairs import find_fault
from probes.words.templates import fill_template, indefinite_article, load_templates

WORDS = st.text(
    st.characters(categories=["Lu", "Ll", "Lo", "Mn"], include_characters="-' "),
    min_size=1,
    max_size=12,
).filter(lambda word: find_fault(word) is None)
TEXTS = st.sampled_from([*load_templates()["text"], "We saw {head} and {modifier}."])


@given(text=TEXTS, modifier=WORDS, head=WORDS)
def test_spans_cut_out_the_words(text: str, modifier: str, head: str) -> None:
    sentence = fill_template(text, modifier, head, "t")
    assert sentence.text[slice(*sentence.modifier_span)] == modifier == sentence.modifier
    assert sentence.text[slice(*sentence.head_span)] == head == sentence.head
    spans = sorted([(sentence.modifier_span, "{modifier}"), (sentence.head_span, "{head}")])
    back = sentence.text
    for (start, end), field in reversed(spans):
        back = back[:start] + field + back[end:]
    assert back == text.replace("{a}", indefinite_article(modifier))


@given(modifier=WORDS, head=WORDS)
def test_a_compound_that_begins_the_sentence_gets_a_capital(modifier: str, head: str) -> None:
    sentence = fill_template("{modifier} {head} is rare.", modifier, head)
    capital = modifier[0].upper() + modifier[1:]  # "ß" gives two letters: the spans must follow
    assert sentence.text[slice(*sentence.modifier_span)] == capital
    assert sentence.text[slice(*sentence.head_span)] == head
    assert sentence.modifier == modifier


def test_an_article_that_begins_the_sentence_takes_the_capital() -> None:
    sentence = fill_template("{a} {modifier} {head} is rare.", "artistic", "ability", "t9")
    assert sentence.text == "An artistic ability is rare."
    assert sentence.modifier_span == (3, 11)
    assert sentence.head_span == (12, 19)
    assert sentence.template_id == "t9"


def test_the_founding_sentence() -> None:
    row = load_templates().iloc[0]
    text = fill_template(row["text"], "neural", "network").text
    assert text == "They talked about the neural network for a while."


AN = "hour honest honor honorary heir heirloom artistic urban ugly umbrella uninsured unimportant "
AN += "unidentified onerous onion x-ray upper élite utter underwater unpleasant L-shaped"
A = "unique union unit unified university universal use used usual useful utility uranium european "
A += "euro one once one-time unanimous house herb hot social unilateral ubiquitous u-turn Ukrainian"


@pytest.mark.parametrize("word", AN.split())
def test_words_that_take_an(word: str) -> None:
    assert indefinite_article(word) == "an"


@pytest.mark.parametrize("word", A.split())
def test_words_that_take_a(word: str) -> None:
    assert indefinite_article(word) == "a"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The {head}.", r"has 0 \{modifier\}"),
        ("The {modifier}.", r"has 0 \{head\}"),
        ("{modifier} {head} {head}", r"has 2 \{head\}"),
        ("{} {modifier} {head}", "unknown field"),
        ("{modifier!r} {head}", r"has 0 \{modifier\}"),
        ("{word} {modifier} {head}", r"unknown field \{word\}"),
        ("{{modifier} {head}", "brace"),
        ("{modifier} {head} }", "brace"),
        ("{a} big {modifier} {head}", "directly before"),
        ("{modifier} {a} {head}", "directly before"),
        ("{a} {a} {modifier} {head}", "elsewhere than once"),
        ("pre{modifier} {head}", "joins"),
        ("{modifier}{head}", "joins"),
    ],
)
def test_faults_of_templates(text: str, told: str) -> None:
    good = "The {modifier} {head}."
    table = pd.DataFrame({"template_id": ["x", "y"], "text": [good, text]})
    with pytest.raises(TableError, match=f"row 3, column text: .*{told}"):
        load_templates(table)
    with pytest.raises(TableError, match=told):
        fill_template(text, "a", "b")


def test_faults_of_tables() -> None:
    text = "The {modifier} {head}."
    with pytest.raises(TableError, match=r"lacks the column text: it has template_id"):
        load_templates(pd.DataFrame({"template_id": ["x"]}))
    with pytest.raises(TableError, match="row 3, column template_id: 'x' repeats row 2"):
        load_templates(pd.DataFrame({"template_id": ["x", "x"], "text": text}))
    with pytest.raises(TableError, match="row 2, column position: 'end' is none of"):
        load_templates(pd.DataFrame({"template_id": ["x"], "text": text, "position": "end"}))


def test_choosing_by_name_and_count() -> None:
    everything = load_templates()
    assert list(load_templates(names=["t02", "t00"])["template_id"]) == ["t02", "t00"]
    pd.testing.assert_frame_equal(load_templates(count=3), everything.head(3))
    assert len(load_templates(count=len(everything))) == len(everything)
    for wrong in ({"names": ["t00", "t99"]}, {"names": []}, {"names": ["t00", "t00"]}):
        with pytest.raises(UsageError, match="out of t00, t01"):
            load_templates(names=wrong["names"])
    for count in (0, -1, len(everything) + 1):
        with pytest.raises(UsageError, match=f"count is {count}"):
            load_templates(count=count)
    with pytest.raises(UsageError, match="both"):
        load_templates(names=["t00"], count=1)
