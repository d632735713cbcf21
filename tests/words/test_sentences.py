"""A user's marked sentences: spans are found or given, and every fault is told with its row."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import TableError
from probes.words import load_sentences, mark_treebank
from probes.words.sentences import find_word
from probes.words.treebank import read_treebank

TEXT = "The art of the fox and the art of the dog."
FOXES = "A red fox saw a black dog."
ROWS = [
    {"sentence": FOXES, "word": "fox", "label": "A"},
    {"sentence": FOXES, "word": "dog", "label": "B"},
    {"sentence": FOXES, "word": "red", "query": "fox"},
    {"sentence": FOXES, "word": "black", "query": "fox"},
    {"sentence": TEXT, "word": "art", "start": 4, "end": 7},
    {"sentence": TEXT, "word": "art", "start": 27, "end": 30},
]
TREES = """# text = the big red fox saw a dog
1\tthe\tthe\tDET\t_\t_\t4\tdet\t_\t_
2\tbig\tbig\tADJ\t_\t_\t4\tamod\t_\t_
3\tred\tred\tADJ\t_\t_\t4\tamod\t_\t_
4\tfox\tfox\tNOUN\t_\t_\t5\tnsubj\t_\t_
5\tsaw\tsee\tVERB\t_\t_\t0\troot\t_\t_
6\ta\ta\tDET\t_\t_\t7\tdet\t_\t_
7\tdog\tdog\tNOUN\t_\t_\t5\tobj\t_\t_

"""


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl", "parquet"])
def test_every_format_says_the_same(tmp_path: Path, suffix: str):
    frame, path = pd.DataFrame(ROWS), tmp_path / f"mine.{suffix}"
    if suffix == "jsonl":
        path.write_text("\n\n".join(map(json.dumps, ROWS)) + "\n", encoding="utf-8")
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    found = load_sentences(path)
    spans = list(zip(found["start"], found["end"], strict=True))
    assert spans == [(6, 9), (22, 25), (2, 5), (16, 21), (4, 7), (27, 30)]
    assert list(found["query_start"]) == [-1, -1, 6, 6, -1, -1]
    assert list(found["query"]) == ["", "", "fox", "fox", "", ""]
    assert list(found["label"]) == ["A", "B", "", "", "", ""]
    for text, word, span in zip(found["sentence"], found["word"], spans, strict=True):
        assert text[slice(*span)] == word


def test_spans_alone_and_columns_of_ones_own():
    rows = [(FOXES, 2, 5, "x"), (FOXES, 22, 25, "y")]
    found = load_sentences(pd.DataFrame(rows, columns=["sentence", "start", "end", "mine"]))
    assert list(found["word"]) == ["red", "dog"]
    assert list(found["mine"]) == ["x", "y"]


def fault(*changed, **more):
    """Return the rows with the last two changed."""
    rows = [dict(row) for row in ROWS]
    for row, change in zip(rows[-len(changed) :], changed, strict=True):
        row.update(change)
    return pd.DataFrame(rows).assign(**more)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (
            fault({"word": "zebra", "start": None, "end": None}),
            "row 7, column word: 'zebra' is",
        ),
        (fault({"word": "do", "start": None, "end": None}), "only inside another word of its"),
        (
            fault({"start": None, "end": None}),
            "'art' occurs 2 times in its sentence: give start and end, such as 4 and 7 or 27",
        ),
        (fault({"start": 26}), "is not what is at the characters 26 to 30: ' art'"),
        (fault({"word": "", "start": 26}), "begin or end with white space: ' art'"),
        (fault({"word": "", "end": None}), "has only one of start and end"),
        (
            fault({"word": "", "start": 5, "end": 4}),
            "characters 5 to 4, and its sentence 42",
        ),
        (fault({"word": "", "start": 5, "end": 99}), "has the characters 5 to 99"),
        (fault({"word": "", "start": 4.5}), "which are not whole numbers"),
        (fault({"word": "", "start": None, "end": None}), "row 7, column word: '' is empty"),
        (fault({"start": 4, "end": 7}), "repeats row 6"),
        (fault({"sentence": FOXES[:-1], "word": "fox", "start": 6, "end": 9}), "one marked word"),
        (fault({"query": "fox"}, {"query": "the"}), "'the' occurs 3 times in its sentence"),
        (fault({"query": "fox"}, {"query": "fish"}), "row 7, column query: 'fish' is not in"),
        (fault({"query": "fox"}, {"query": "fox"}, {"query": "art"}), "'art' occurs 2 times"),
        (fault({}, {"query_start": 27, "query_end": 30}), "is the marked word itself"),
        (fault({"sentence": "  "}), "belongs to an empty sentence"),
        (pd.DataFrame(ROWS).drop(columns="sentence"), "lacks the column sentence"),
        (pd.DataFrame(ROWS)[["sentence", "start"]], "neither a column 'word' nor"),
        (pd.DataFrame(ROWS).head(0), "no rows"),
    ],
)
def test_faults_are_told_with_their_rows(frame, told):
    with pytest.raises(TableError, match=re.escape(told)):
        load_sentences(frame)


def test_a_word_has_one_label():
    rows = [*ROWS[:4], {"sentence": FOXES, "word": "dog", "query": "saw", "label": "C"}]
    rows.append({"sentence": FOXES, "word": "red", "query": "saw"})
    with pytest.raises(TableError, match=r"'C' is 'B' in row 3, for the same word"):
        load_sentences(pd.DataFrame(rows))


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "mine.jsonl"
    with pytest.raises(TableError, match="there is no file"):
        load_sentences(path)
    path.write_text("")
    with pytest.raises(TableError, match="is empty"):
        load_sentences(path)
    path.write_text('{"sentence": "x"}\n[1]')
    with pytest.raises(TableError, match="line 2, holds a list"):
        load_sentences(path)
    path.write_text('{"sentence": "x"}\n{"')
    with pytest.raises(TableError, match="line 2, is not JSON"):
        load_sentences(path)
    for suffix in ("jsonl", "tsv"):
        other = tmp_path / f"latin.{suffix}"
        other.write_bytes('{"sentence": "é"}'.encode("latin-1"))
        with pytest.raises(TableError, match=r"UTF-8"):
            load_sentences(other)
    with pytest.raises(TableError, match=r"ends in .txt"):
        load_sentences(tmp_path / "mine.txt")


LETTERS = st.text(st.sampled_from("ab网 .-é"), max_size=12)


@settings(deadline=None, max_examples=50)
@given(text=LETTERS, word=st.text(st.sampled_from("ab网é"), min_size=1, max_size=3))
def test_whole_words_are_those_with_no_letter_beside_them(text, word):
    found = find_word(text, word)
    for start in range(len(text)):
        end = start + len(word)
        beside = text[start - 1 : start] if start else ""
        clashes = [
            one in tuple("abé") and other in tuple("abé")
            for one, other in ((beside, word[0]), (text[end : end + 1], word[-1]))
        ]
        expected = text[start:end] == word and not any(clashes)
        assert ((start, end) in found) == expected


def test_a_treebank_becomes_marked_words(tmp_path):
    path = tmp_path / "trees.conllu"
    path.write_text(TREES + TREES)  # the same sentence twice counts once
    found = mark_treebank(read_treebank(path))
    assert list(found["word"]) == ["big", "red"]
    assert list(found["query"]) == ["fox", "fox"]
    assert list(found["label"]) == ["ADJ", "ADJ"]
    both = mark_treebank(read_treebank(path), before_head=False)
    assert sorted(zip(both["word"], both["query"], strict=True)) == [
        ("big", "fox"),
        ("dog", "saw"),
        ("fox", "saw"),
        ("red", "fox"),
    ]
    path.write_text("1\tfox\tfox\tNOUN\t_\t_\t0\troot\t_\t_\n\n")
    with pytest.raises(TableError, match="no head on which two content words depend"):
        mark_treebank(read_treebank(path))


def test_composed_and_decomposed_letters_are_one_word():
    apart, composed = "cafe\u0301", "caf\u00e9"
    text = f"The {apart} and the tea {composed}s shop"
    found = load_sentences(pd.DataFrame({"sentence": [text] * 2, "word": [composed, "tea"]}))
    assert found["word"].tolist() == [composed, "tea"]
    assert found["start"].tolist() == [4, 18]
    assert find_word(f"the {apart}", "cafe") == []  # its mark makes it another word
