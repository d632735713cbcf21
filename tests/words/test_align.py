"""Words to tokens, by character offsets: spaces, pieces, straddling tokens, special tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CanineTokenizer, PreTrainedTokenizerFast

from probes.errors import AlignmentError
from probes.words.align import Tokens, TokenSpan, align, tokenise
from probes.words.pairs import find_fault
from tests.tiny import KNOWN_WORDS, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
WORDS = st.one_of(
    st.sampled_from(KNOWN_WORDS),
    st.text(
        st.characters(categories=["Lu", "Ll", "Lo", "Mn"], include_characters="-' "),
        min_size=1,
        max_size=8,
    ).filter(lambda word: find_fault(word) is None),
)


def find(text: str, word: str) -> tuple[Tokens, TokenSpan]:
    [tokens] = tokenise(TOKENIZER, [text])
    start = text.index(word)
    return tokens, align(tokens, (start, start + len(word)))


def test_the_leading_space_belongs_to_the_first_token():
    tokens, span = find("The black fox ran", "black")
    assert TOKENIZER.convert_ids_to_tokens(list(tokens.ids)) == [
        "<s>",
        *("The", "Ġblack", "Ġfox", "Ġran"),
    ]
    assert span == TokenSpan(2, 2)


def test_a_word_at_the_start_is_not_the_special_token():
    assert find("The fox", "The")[1] == TokenSpan(1, 1)


def test_a_word_of_several_pieces():
    tokens, span = find("The zxq fox", "zxq")
    pieces = TOKENIZER.convert_ids_to_tokens(list(tokens.ids[span.first : span.last + 1]))
    assert pieces == ["z", "x", "q"]  # the space is a token of its own, and no part of the word
    assert tokens.ids[span.last + 1] == TOKENIZER.convert_tokens_to_ids("Ġfox")


def test_a_space_token_inside_a_word_of_two_is_part_of_it():
    tokens, span = find("The zx qz fox", "zx qz")
    pieces = TOKENIZER.convert_ids_to_tokens(list(tokens.ids[span.first : span.last + 1]))
    assert pieces == ["z", "x", "Ġ", "q", "z"]


def test_the_second_of_two_equal_words():
    [tokens] = tokenise(TOKENIZER, ["The fox saw the fox"])
    assert align(tokens, (16, 19)) == TokenSpan(5, 5)


@given(before=st.lists(WORDS, max_size=3), word=WORDS, after=st.lists(WORDS, max_size=3))
def test_the_pieces_spell_the_word(before, word, after):
    text = " ".join([*before, word, *after]) + "."
    start = len(" ".join([*before, ""]))
    [tokens] = tokenise(TOKENIZER, [text])
    span = align(tokens, (start, start + len(word)))
    assert TOKENIZER.decode(list(tokens.ids[span.first : span.last + 1])).strip() == word
    kept = [index for index, special in enumerate(tokens.special) if not special]
    assert TOKENIZER.decode([tokens.ids[index] for index in kept]) == text


def test_a_token_of_two_words_is_refused():
    """A token that holds "black" and the "f" of the next word belongs to neither."""
    backend = Tokenizer(models.WordLevel({"[u]": 0, "the": 1, "blackfox": 2}, unk_token="[u]"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    [tokens] = tokenise(PreTrainedTokenizerFast(tokenizer_object=backend), ["the blackfox"])
    for span, other in (((4, 9), "fox"), ((9, 12), "black")):
        with pytest.raises(AlignmentError, match=f"also hold '{other}'"):
            align(tokens, span)
    assert align(tokens, (4, 12)) == TokenSpan(1, 1)


def test_a_token_that_ends_in_the_next_space_is_not_straddling():
    tokens = Tokens("ab cd", (1, 2), ((0, 3), (3, 5)), (False, False))
    assert align(tokens, (0, 2)) == TokenSpan(0, 0)
    assert align(tokens, (3, 5)) == TokenSpan(1, 1)


@pytest.mark.parametrize("span", [(3, 3), (5, 4), (-1, 2), (2, 99)])
def test_a_span_outside_the_text(span):
    [tokens] = tokenise(TOKENIZER, ["The fox"])
    with pytest.raises(AlignmentError, match="outside the text of 7 characters"):
        align(tokens, span)


def test_a_special_token_is_no_piece_even_where_it_has_characters():
    tokens = Tokens("ab", (1, 5), ((0, 2), (0, 2)), (True, False))
    assert align(tokens, (0, 2)) == TokenSpan(1, 1)


def test_a_word_that_no_token_covers():
    tokens = Tokens("ab cd", (1, 9), ((0, 2), (0, 0)), (False, True))
    with pytest.raises(AlignmentError, match="no token covers 'cd'"):
        align(tokens, (3, 5))


def test_a_slow_tokenizer_is_refused():
    with pytest.raises(AlignmentError, match="CanineTokenizer keeps no character offsets"):
        tokenise(CanineTokenizer(), ["The fox"])


def test_a_sentence_that_is_too_long_for_the_model_is_lost_with_a_reason(monkeypatch):
    monkeypatch.setattr(TOKENIZER, "model_max_length", 4)
    assert find("The fox", "fox")[1] == TokenSpan(2, 2)
    with pytest.raises(AlignmentError, match="has 5 tokens, and the model takes 4"):
        find("The black fox ran", "black")


def test_long_texts_bring_no_word_on_their_length():
    """They are cut into windows before they run."""
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 4
    [tokens] = tokenise(tokenizer, ["The dog saw a fox"])
    assert len(tokens.ids) > 4
    assert tokenizer.deprecation_warnings == {}
