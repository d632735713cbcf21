"""Packing: what is scored, how often, and that the order of the data is the seed's alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import TableError
from probes.tying.packing import PackedText, encode_bytes
from probes.words.texts import Corpus, Document

TEXTS = st.lists(st.text("abcdeé", min_size=1, max_size=30), min_size=2, max_size=6)


def make_corpus(train, held_out):
    return Corpus(
        *(
            tuple(Document(f"{part}-{number}", text) for number, text in enumerate(texts))
            for part, texts in (("train", train), ("held_out", held_out))
        )
    )


def stream(documents):
    return [token for d in documents for token in (*d.text.encode(), 256)]


@settings(deadline=None, max_examples=60)
@given(train=TEXTS, held_out=TEXTS, length=st.integers(1, 20), seed=st.integers(0, 5))
def test_an_epoch_scores_every_window_once_and_no_padding(train, held_out, length, seed):
    corpus = make_corpus(train, held_out)
    tokens = stream(corpus.train)
    if len(tokens) <= length:
        with pytest.raises(TableError, match="shorter windows"):
            PackedText(corpus, length=length)
        return
    packed = PackedText(corpus, length=length)
    n_windows = (len(tokens) - 1) // length
    assert packed.n_windows == n_windows
    batches = [packed.batch(step, size=1, seed=seed) for step in range(n_windows)]
    # The windows tile a stream of whole documents: each is the beginning of the one after it.
    pieces = {tuple(b.tokens[0].tolist()): b.targets[0].tolist() for b in batches}
    for piece, targets in pieces.items():
        assert list(piece[1:]) == targets[:-1]
    counted = Counter(token for b in batches for token in b.targets[0].tolist())
    assert not counted - Counter(tokens)
    assert sum(counted.values()) == n_windows * length


@settings(deadline=None, max_examples=60)
@given(held_out=TEXTS, length=st.integers(1, 20))
def test_unseen_text_is_scored_token_by_token_exactly_once(held_out, length):
    corpus = make_corpus(["abc" * 20, "d" * 20], held_out)
    packed = PackedText(corpus, length=length)
    for part, documents in (
        ("validation", corpus.held_out[::2]),
        ("test", corpus.held_out[1::2]),
    ):
        tokens = stream(documents)
        batches = list(packed.unseen(part))
        assert [t for b in batches for t in b.targets.flatten().tolist()] == tokens[1:]
        assert [t for b in batches for t in b.tokens.flatten().tolist()] == tokens[:-1]
        assert all(b.tokens.shape[1] == length for b in batches[:-1])
    test = "".join(document.text for document in corpus.held_out[1::2])
    assert packed.bytes_per_token == len(test.encode()) / (len(stream(corpus.held_out[1::2])) - 1)


def test_two_parts_share_no_document():
    corpus = make_corpus(["a" * 50, "b" * 50], ["c" * 9, "d" * 9, "e" * 9])
    packed = PackedText(corpus, length=8)
    seen = {
        part: {t for b in packed.unseen(part) for t in b.tokens.flatten().tolist()} - {256}
        for part in ("validation", "test")
    }
    assert seen == {"validation": {ord("c"), ord("e")}, "test": {ord("d")}}


def test_the_order_follows_from_seed_and_epoch_alone():
    corpus = make_corpus(["abcdef" * 9, "ghij" * 9, "klmno" * 9], ["p" * 9, "q" * 9])

    def read(seed, steps):
        packed = PackedText(corpus, length=5)
        return [packed.batch(step, size=3, seed=seed).tokens for step in steps]

    per_epoch = PackedText(corpus, length=5).n_windows // 3
    forwards = read(0, range(2 * per_epoch))
    backwards = read(0, reversed(range(2 * per_epoch)))[::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    other = read(1, range(2 * per_epoch))
    assert not all(torch.equal(a, b) for a, b in zip(forwards, other, strict=True))
    first, second = torch.cat(forwards[:per_epoch]), torch.cat(forwards[per_epoch:])
    assert not torch.equal(first, second)


def test_tokens_of_another_tokenizer():
    corpus = make_corpus(["ab" * 30, "ba" * 30], ["ab" * 5, "ba" * 5])
    packed = PackedText(
        corpus, length=4, encode=lambda text: [ord(letter) - 97 for letter in text], vocabulary=2
    )
    assert packed.vocabulary == 3
    assert set(packed.batch(0, size=5, seed=0).tokens.flatten().tolist()) <= {0, 1, 2}
    with pytest.raises(TableError, match="0 to 0"):
        PackedText(corpus, length=4, encode=encode_bytes, vocabulary=1)


def test_a_batch_larger_than_the_text_is_refused():
    packed = PackedText(make_corpus(["ab" * 30, "ba"], ["a", "b"]), length=8)
    with pytest.raises(TableError, match="smaller batches"):
        packed.batch(0, size=9, seed=0)
