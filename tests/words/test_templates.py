"""Templates: spans are right for all words, articles agree, the schema tells every fault."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import TableError, UsageError
from probes.words.fields import is_unspaced
from probes.words.pairs import find_fault
from probes.words.templates import (
    choose_templates,
    fill_template,
    find_template_fault,
    indefinite_article,
    load_templates,
)

WORDS = st.text(
    st.characters(categories=["Lu", "Ll", "Lo", "Mn"], include_characters="-' "),
    min_size=1,
    max_size=12,
).filter(lambda word: find_fault(word) is None)
HAN = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=4)
SPACED = st.text(
    st.characters(categories=["Lu", "Ll", "Nd"], include_characters="_한글नकאب"),
    min_size=1,
    max_size=4,
)
JOINED = [
    *load_templates("templates_zh")["text"],
    "{modifier}{head}很多。",
    "他说{head}{modifier}。",
]
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


@given(text=st.sampled_from(JOINED), modifier=HAN, head=HAN)
def test_spans_cut_out_words_that_join_without_spaces(text: str, modifier: str, head: str) -> None:
    sentence = fill_template(text, modifier, head)
    assert sentence.text == text.replace("{modifier}", modifier).replace("{head}", head)
    assert sentence.text[slice(*sentence.modifier_span)] == modifier
    assert sentence.text[slice(*sentence.head_span)] == head
    assert sentence.modifier_span[1] == sentence.head_span[0] or "{head}{modifier}" in text


def test_the_founding_sentence_in_chinese() -> None:
    row = load_templates("templates_zh").iloc[0]
    sentence = fill_template(row["text"], "神经", "网络", row["template_id"])
    assert sentence.text == "他们讨论了神经网络的问题。"
    assert (sentence.modifier_span, sentence.head_span) == ((5, 7), (7, 9))


@given(text=st.sampled_from(JOINED), words=st.tuples(WORDS, WORDS))
def test_words_join_only_if_one_of_them_needs_no_space(text: str, words: tuple[str, str]) -> None:
    needs_space = [not any(map(is_unspaced, word)) for word in words]
    if all(needs_space):
        with pytest.raises(TableError, match="need a space between them"):
            fill_template(text, *words)


def test_english_words_in_chinese_templates() -> None:
    text = "他们讨论了{modifier}{head}的问题。"
    with pytest.raises(TableError, match="joins 'neural' and 'network', which need a space"):
        fill_template(text, "neural", "network")
    assert fill_template(text, "AI", "网络").text == "他们讨论了AI网络的问题。"
    assert fill_template("他说{modifier}的{head}。", "AI", "net").text == "他说AI的net。"


@given(letters=SPACED, after=st.booleans())
def test_letters_of_spaced_scripts_and_digits_never_join_a_field(letters: str, after: bool) -> None:
    for pair in ("{modifier} {head}", "{modifier}{head}"):
        text = f"我们的{pair}{letters}。" if after else f"我们的{letters}{pair}。"
        assert find_template_fault(text) == "joins a field to a letter or to another field"
        apart = text.replace(pair, " {modifier} {head} ")
        assert find_template_fault(apart) is None


@given(before=HAN, after=HAN)
def test_letters_of_unspaced_scripts_may_join_a_field(before: str, after: str) -> None:
    for fields in ("{modifier}{head}", "{head}{modifier}", "{modifier}的{head}"):
        for text in (before + fields + after, before + fields, fields + after):
            assert find_template_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "彼らは{modifier}{head}について話した。",
        "コーヒー{modifier}{head}の問題",
        "เขาพูดถึง{modifier}{head}แล้ว",
        "เพื่อนที่{modifier}{head}แล้ว",  # a mark before the field belongs to the letter under it
        "他用Python讨论了{modifier}{head}。",
        "Python 的{modifier}{head}。",
        "他说「{modifier}{head}」。",
        "그들은 {modifier} {head} 이야기를 했다.",
    ],
)
def test_templates_of_many_scripts(text: str) -> None:
    assert find_template_fault(text) is None


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
        ("{modifier}{head}.", "joins"),
        ("The {modifier}{head}.", "joins"),
        ("{modifier}{head} is rare.", "joins"),
        ("The {modifier} {head}s.", "joins"),
        ("The {modifier}-{head}3", "joins"),
        ("The 3{modifier} {head}", "joins"),
        ("The _{modifier} {head}", "joins"),
        ("网络 the {modifier}{head}.", "joins"),  # the nearest letters count
        ("the {modifier}{head}网络", "joins"),
        ("Die e\u0301{modifier} {head}", "joins"),  # an accent is no gap
        ("The {modifier}\u0301 {head}", "joins"),  # nor may it change the word
        ("我们{modifier}{head}\u0301", "joins"),
        ("그들은 {modifier} {head}에 대해", "joins"),  # Hangul has spaces
        ("我们{a} {modifier} {head}", "joins"),  # {a} is English
        ("{a} {modifier}{head}的", "joins"),
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


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ("templates_zh", ["z00", "z01", "z02", "z03", "z04", "z05"]),
        ("templates_zh:2", ["z00", "z01"]),
        ("templates_zh:z05,z01", ["z05", "z01"]),
        ("t01,t00", ["t01", "t00"]),
        ("2", ["t00", "t01"]),
    ],
)
def test_templates_by_table_number_and_id(source, ids):
    assert choose_templates(source)["template_id"].tolist() == ids
