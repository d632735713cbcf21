"""Slices of texts: together they are the text, whatever their size; each can be read alone."""

from __future__ import annotations

import json
import tracemalloc

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import TableError
from probes.words import long_lines, text_slices
from probes.words.long_lines import read_long_line
from probes.words.text_slices import PASSAGE, TextSlice, cut_texts, list_texts, read_slice

TEXT = st.text(st.sampled_from("ab \n\tßü語😀"), min_size=0, max_size=300)


@settings(max_examples=60, deadline=None)
@given(text=TEXT, size=st.integers(1, 200), passage=st.integers(1, 60))
def test_slices_of_a_plain_text_are_the_text(text, size, passage, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_slices, "PASSAGE", passage)
        shards = cut_texts([path], size=size, most=1000)
        parts = [list(read_slice(part)) for shard in shards for part in shard]
    assert "".join(passage for part in parts for _, passage in part) == text
    assert {number for part in parts for number, _ in part} <= {0}


@pytest.mark.parametrize("size", [1, 7, 40, 10_000])
def test_no_word_is_cut(tmp_path, size):
    words = [f"word{n}" for n in range(50)]
    (tmp_path / "a.txt").write_text(" ".join(words))
    shards = cut_texts([tmp_path / "a.txt"], size=size, most=1000)
    parts = ["".join(text for _, text in read_slice(part)) for s in shards for part in s]
    assert [word for part in parts for word in part.split()] == words


def test_without_spaces_a_text_is_cut_between_characters(tmp_path, monkeypatch):
    monkeypatch.setattr(text_slices, "_FARTHEST", 8)
    text = "語" * 100
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    shards = cut_texts([tmp_path / "a.txt"], size=50)
    assert len(shards) == 6
    parts = ["".join(text for _, text in read_slice(shard[0])) for shard in shards]
    assert "".join(parts) == text
    assert min(len(part) for part in parts) > 10


DOCUMENTS = ["one", "", "two\nlines", "ü" * 30, "four", "five and more", "six"]


def write(path, documents):
    if path.suffix == ".jsonl":
        lines = [json.dumps({"n": n, "text": text}) for n, text in enumerate(documents)]
        path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    else:
        frame = pd.DataFrame({"n": range(len(documents)), "text": documents})
        frame.to_parquet(path, row_group_size=3)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("size", [1, 20, 45, 60, 150, 100_000])
def test_documents_are_read_once_each(tmp_path, suffix, size):
    path = write(tmp_path / f"a{suffix}", DOCUMENTS)
    shards = cut_texts([path], size=size, most=1000)
    found = [list(read_slice(part)) for shard in shards for part in shard]
    assert [text for part in found for _, text in part] == DOCUMENTS
    for part in found:
        assert [number for number, _ in part] == list(range(len(part)))
    assert (len(shards) > 1) if size <= 60 else (size < 1000 or len(shards) == 1)


@given(n_bytes=st.lists(st.integers(0, 5000), min_size=1, max_size=20), most=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_shards_hold_every_byte_once_in_order(n_bytes, most, tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for number, size in enumerate(n_bytes):
        (folder / f"{number:02d}.txt").write_bytes(b"a" * size)
    files = list_texts(folder)
    shards = cut_texts(files, size=700, most=most)
    covered = [(part.path, part.start, part.end) for shard in shards for part in shard]
    expected = [(str(file), size) for file, size in zip(files, n_bytes, strict=True) if size]
    seen: dict[str, int] = {}
    for path, start, end in covered:
        assert seen.get(path, 0) == start < end
        seen[path] = end
    assert list(seen.items()) == expected
    assert len(shards) <= most
    assert all(sum(part.end - part.start for part in shard) >= 690 for shard in shards[:-1])


def test_a_folder_is_searched_below(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/z.jsonl", "a.txt", "notes.md", "c.parquet"):
        (tmp_path / name).write_text("x")
    assert [str(path.relative_to(tmp_path)) for path in list_texts(tmp_path)] == [
        *("a.txt", "b/z.jsonl", "c.parquet")
    ]
    assert list_texts(tmp_path / "a.txt") == [tmp_path / "a.txt"]


def test_refusals(tmp_path):
    with pytest.raises(TableError, match="there is no text at"):
        list_texts(tmp_path / "missing")
    (tmp_path / "a.txt").write_bytes(b"abc \xff def")
    with pytest.raises(TableError, match=r"a\.txt is not UTF-8"):
        list(read_slice(TextSlice(str(tmp_path / "a.txt"), 0, 9)))
    with pytest.raises(TableError, match="cannot be read"):
        list(read_slice(TextSlice(str(tmp_path / "gone.txt"), 0, 9)))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(TableError, match="cannot be read as parquet"):
        cut_texts([tmp_path / "a.parquet"], size=1)
    path = write(tmp_path / "b.parquet", DOCUMENTS)
    with pytest.raises(TableError, match="has no column 'body', but n, text"):
        cut_texts([path], size=1, column="body")
    for line in ('{"body": 1}', '{"text": 1}', "[1]", '{"text"'):
        (tmp_path / "c.jsonl").write_text('{"text": "a"}\n' + line)
        with pytest.raises(TableError, match=r"the line at byte 14 of .*c\.jsonl is no JSON"):
            list(read_slice(TextSlice(str(tmp_path / "c.jsonl"), 0, 99)))


SIGNS = ("word ", "語", "ü", "😀", '"', "\\", "\n", "\\u0041", "x" * 30)


@given(signs=st.lists(st.sampled_from(SIGNS), max_size=60), escaped=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_long_line_is_decoded_in_pieces(signs, escaped):
    """Whatever is escaped, and wherever a piece ends."""
    text = "".join(signs)
    record = {"a": {"text": "no"}, "b": ["text"], "text": text, "c": "text", "d": None}
    line = json.dumps(record, ensure_ascii=escaped).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_lines, "PIECE", 40)
        patch.setattr(long_lines, "_FARTHEST", 8)
        pieces = list(read_long_line(line, "text"))
    assert "".join(piece for *_, piece in pieces) == text
    for start, end, piece in pieces:
        assert json.loads(b'"' + line[start:end] + b'"') == piece
        assert end - start <= 48
        piece.encode()  # no half of a sign


@pytest.mark.parametrize(
    "line",
    ['{"text": 1}', "[1]", '{"text"', '{"a": "text"}', '{"text": "a\\q"}', '{"text": "a"} 1'],
)
def test_a_long_line_that_is_no_record(line, tmp_path, monkeypatch):
    monkeypatch.setattr(text_slices, "PIECE", 2)
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(TableError, match="is no JSON object with a text under 'text'"):
        list(read_slice(TextSlice(str(tmp_path / "a.jsonl"), 0, 99)))


def test_a_long_line_costs_little_more_than_its_bytes(tmp_path, monkeypatch):
    for module in (long_lines, text_slices):
        monkeypatch.setattr(module, "PIECE", 1 << 15)
    text = "word " * 200_000 + "😀"  # as one string four bytes a letter
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False))
    shards = cut_texts([tmp_path / "a.jsonl"], size=400_000)
    tracemalloc.start()
    found = [[len(passage) for _, passage in read_slice(shard[0])] for shard in shards]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(map(sum, found)) == len(text)
    assert min(map(sum, found)) > 0.9 * 400_000
    assert peak < 2.5 * len(text)


def test_a_long_line_is_shared_out_and_read_in_passages(tmp_path):
    long = " ".join(f"word{n}" for n in range(20_000))
    records = ["one", long, "", "two words", "x" * 40_000, "three"]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in records) + "\n")
    shards = cut_texts([path], size=20_000)
    assert len(shards) > 8
    found = [list(read_slice(part)) for shard in shards for part in shard]
    assert all(found)  # no shard is empty
    passages = [text for part in found for _, text in part]
    assert max(map(len, passages)) <= PASSAGE + 4096
    assert "".join(passages) == "".join(records)
    assert [number for number, _ in found[0]] == [0] + [1] * (len(found[0]) - 1)
    whole = list(read_slice(TextSlice(str(path), 0, path.stat().st_size)))
    assert "".join(text for number, text in whole if number == 1) == long
    assert {number for number, _ in whole} == set(range(6))
