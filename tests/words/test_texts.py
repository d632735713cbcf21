"""Running text: the shipped one, folders, files, and what is refused."""

import pytest

from probes.errors import TableError
from probes.words.texts import DOCUMENT_LENGTH, load_corpus


def test_the_shipped_text_is_split_by_document():
    corpus = load_corpus()
    assert (len(corpus.train), len(corpus.held_out)) == (39, 37)
    names = {document.name for document in corpus.train}
    assert not names & {document.name for document in corpus.held_out}
    texts = [document.text for part in (corpus.train, corpus.held_out) for document in part]
    assert len(set(texts)) == 76
    assert any(text.startswith("Call me Ishmael.") for text in texts)


def test_a_folder_of_documents(tmp_path):
    for number in range(7):
        (tmp_path / f"d{number}.txt").write_text(f"text {number}\n", encoding="utf-8")
    corpus = load_corpus(tmp_path)
    assert [d.text for d in corpus.held_out] == ["text 2", "text 5"]
    assert [d.name for d in corpus.train] == ["d0", "d1", "d3", "d4", "d6"]
    again = load_corpus(tmp_path)
    assert corpus.hash == again.hash
    (tmp_path / "d0.txt").write_text("other")
    assert load_corpus(tmp_path).hash != corpus.hash


def test_a_folder_with_a_split_of_its_own(tmp_path):
    for split, count in (("train", 2), ("held_out", 3)):
        (tmp_path / split).mkdir()
        for number in range(count):
            (tmp_path / split / f"{number}.txt").write_text(f"{split} {number}")
    corpus = load_corpus(str(tmp_path))
    assert [d.text for d in corpus.held_out] == ["held_out 0", "held_out 1", "held_out 2"]


def test_a_file_is_cut_between_paragraphs(tmp_path):
    paragraphs = [f"paragraph {number} " + "word " * 150 for number in range(20)]
    path = tmp_path / "mine.txt"
    path.write_text("\n\n".join(paragraphs))
    corpus = load_corpus(path)
    documents = [*corpus.train, *corpus.held_out]
    assert all(len(document.text) >= DOCUMENT_LENGTH for document in documents)
    told = "\n\n".join(d.text for d in sorted(documents, key=lambda d: d.name))
    assert told == "\n\n".join(paragraph.strip() for paragraph in paragraphs)


def test_what_is_refused(tmp_path):
    with pytest.raises(TableError, match="there is no text"):
        load_corpus("nowhere")
    (tmp_path / "one.txt").write_text("short")
    with pytest.raises(TableError, match="1 documents to fit on and 0 to test on"):
        load_corpus(tmp_path)
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TableError, match=r"bad\.txt is not UTF-8: byte 0xff"):
        load_corpus(tmp_path)
