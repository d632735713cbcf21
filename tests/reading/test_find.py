import pandas as pd
import pytest

from probes.errors import AlignmentError, TableError, UsageError
from probes.reading import find_words
from probes.reading.find import find_tokens
from tests.tiny import tiny_tokenizer


def test_a_template_is_filled_with_every_word_and_is_a_group():
    found = find_words(["{word} is red", "a {word} ran"], ["fox", "dog", "fox"])
    assert found["sentence"].tolist() == ["Fox is red", "Dog is red", "a fox ran", "a dog ran"]
    assert found["group"].tolist() == ["{word} is red"] * 2 + ["a {word} ran"] * 2
    for row in found.itertuples():
        assert row.sentence[row.start : row.end].lower() == row.word


def test_words_are_found_in_sentences_as_whole_words_and_every_time():
    found = find_words("The art of the cartoon art.", ["art", "of"])
    assert list(zip(found["word"], found["start"], strict=True)) == [
        ("art", 4),
        ("of", 8),
        ("art", 23),
    ]
    assert set(found["group"]) == {"sentences"}


def test_a_table_says_where_its_words_stand():
    table = pd.DataFrame(
        {
            "sentence": ["a dog saw a dog", "the fox"],
            "word": ["dog", "fox"],
            "start": [12, 4],
            "end": [15, 7],
            "label": ["x", "y"],
        }
    )
    found = find_words(table)
    assert found["start"].tolist() == [12, 4]
    assert found["label"].tolist() == ["x", "y"]
    with pytest.raises(TableError, match=r"occurs 2 times as a whole word.*start and end"):
        find_words(table[["sentence", "word"]])


@pytest.mark.parametrize(
    ("sentences", "words", "error", "message"),
    [
        ("The fox", ["dog"], TableError, "none of the 1 words is in 'The fox'"),
        (["The fox", "A dog"], ["fox", "dog", "cat"], TableError, "'cat' is in none of the 2"),
        ("The {word} and {word}", ["fox"], TableError, "not exactly one"),
        ("The {word} {head}", ["fox"], TableError, "unknown field"),
        ("The fox", None, UsageError, "texts that are not empty, and there is none"),
        (["The fox", ""], ["fox"], UsageError, "'' is none"),
        (pd.DataFrame({"word": ["a"]}), None, TableError, "sentence"),
        (pd.DataFrame({"word": ["a"], "sentence": ["a"]}), ["a"], UsageError, "leave words out"),
    ],
)
def test_what_cannot_be_found_is_refused(sentences, words, error, message):
    with pytest.raises(error, match=message):
        find_words(sentences, words)


def test_a_word_that_shares_a_token_is_lost_with_its_reason():
    tokenizer = tiny_tokenizer()
    table = pd.DataFrame(
        {
            "word": ["black", "bla"],
            "group": ["g", "g"],
            "sentence": ["The black fox", "The black fox"],
            "start": [4, 4],
            "end": [9, 7],
        }
    )
    found, tokens, spans, losses = find_tokens(tokenizer, table)
    assert found["word"].tolist() == ["black"]
    assert len(tokens) == len(spans) == 1
    assert losses["word"].tolist() == ["bla"]
    assert "also hold 'ck'" in losses["reason"][0]
    with pytest.raises(AlignmentError, match=r"none of the 1 words"):
        find_tokens(tokenizer, table[1:].reset_index(drop=True))
