"""Which tokens of a text make pairs, and with which others each compares."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.capture.text_pairs import (
    DISTANCES,
    POPULATIONS,
    cross_classes,
    mark_documents,
)
from probes.errors import TableError, UsageError
from probes.words.texts import Document
from tests.tiny import KNOWN_WORDS, tiny_tokenizer


def write(seed, *, words=120):
    draw = random.Random(seed)
    return " ".join(draw.choices([*KNOWN_WORDS, ",", "xylophones"], k=words))


@pytest.fixture(scope="module")
def documents():
    return [Document(f"d{seed}", write(seed)) for seed in range(3)]


@pytest.mark.parametrize("bos", [True, False])
def test_windows_are_cut_as_streams_are(documents, bos):
    tokenizer = tiny_tokenizer(bos=bos)
    marked = mark_documents(tokenizer, documents, length=40, windows=2)
    assert [document.name for document in marked] == ["d0", "d1", "d2"]
    for document, text in zip(marked, documents, strict=True):
        ids = tokenizer(text.text)["input_ids"]
        plain = ids[1:] if bos else ids
        room = 39 if bos else 40
        for number, one in enumerate(document.windows):
            expected = plain[number * room : (number + 1) * room]
            assert list(one.window.ids) == [*([ids[0]] if bos else []), *expected]
            assert one.window.first == 1


def test_a_pair_is_of_two_kinds_of_words(documents):
    tokenizer = tiny_tokenizer()
    [document, *_] = mark_documents(tokenizer, documents, length=60)
    [one] = document.windows
    names = [tokenizer.decode([token]).strip().lower() for token in one.window.ids]
    pairs = one.pairs["all tokens"]
    counted = [
        place
        for place, name in enumerate(names)
        if place >= 1 and any(map(str.isalnum, name)) and name != "<s>"
    ]
    assert pairs.token.nonzero()[:, 0].tolist() == counted
    found = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    expected = {(i, j) for i in counted for j in counted if i < j and names[i] != names[j]}
    assert found <= expected
    assert len(found) > 0.9 * len(expected)
    [repeated, *_] = mark_documents(tokenizer, documents, length=60, repeats=True)
    again = repeated.windows[0].pairs["all tokens"]
    assert len(again.left) > len(pairs.left)


def test_content_words_are_the_first_tokens_of_known_words():
    tokenizer = tiny_tokenizer()
    text = "The black dog saw a white xylophones and the houses of the red cat ran " * 4
    [document] = mark_documents(tokenizer, [Document("d", text)], length=100)
    [one] = document.windows
    content, all_tokens = (one.pairs[name].token for name in reversed(POPULATIONS))
    assert not (content & ~all_tokens).any()
    names = [tokenizer.decode([token]) for token in one.window.ids]
    chosen = {names[place].strip() for place in content.nonzero()[:, 0].tolist()}
    assert {"black", "dog", "white", "house", "red", "cat"} <= chosen
    assert not {"the", "a", "of", "s", "."} & chosen


def test_pairs_of_a_stratum_are_of_one_distance(documents):
    marked = mark_documents(tiny_tokenizer(), documents, length=100)
    pairs = marked[0].windows[0].pairs["all tokens"]
    sizes = torch.bincount(pairs.stratum)
    assert int(sizes.min()) >= 20
    distance = torch.from_numpy(np.searchsorted(DISTANCES, (pairs.right - pairs.left).numpy()))
    mixed = sum(
        len(set(distance[pairs.stratum == stratum].tolist())) > 1
        for stratum in range(int(pairs.stratum.max()) + 1)
    )
    assert mixed <= 1  # what is left over of several distances


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), fewest=st.sampled_from([1, 5, 20, 60]))
def test_small_strata_go_up_a_class(seed, fewest):
    draw = np.random.default_rng(seed)
    first, second = draw.integers(3, size=(2, 50))
    strata = cross_classes([first, second], fewest=fewest)
    both = first * 3 + second
    counts = np.bincount(both, minlength=9)
    for stratum in set(strata[strata >= 0].tolist()):
        inside = strata == stratum
        assert inside.sum() >= fewest
        if len(set(both[inside])) > 1:  # merged: each part was too small by itself
            assert all(counts[code] < fewest for code in set(both[inside]))
        elif counts[both[inside][0]] >= fewest:
            assert inside.sum() == counts[both[inside][0]]
    left_out = strata < 0
    assert left_out.sum() < fewest
    if fewest > 50:
        assert left_out.all()
    if fewest == 1:
        assert len(set(strata.tolist())) == len(set(both.tolist()))


def test_what_cannot_be_marked_is_refused(documents):
    tokenizer = tiny_tokenizer()
    with pytest.raises(UsageError, match="at least 1 of at least 8"):
        mark_documents(tokenizer, documents, length=7)
    with pytest.raises(UsageError):
        mark_documents(tokenizer, documents, length=20, windows=0)
    with pytest.raises(TableError, match="longer text"):
        mark_documents(tokenizer, [Document("short", "the dog")], length=20)
    with pytest.raises(UsageError, match="classes"):
        cross_classes([])
