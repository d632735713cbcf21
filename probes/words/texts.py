"""Running text, document by document: what maps are fitted on, and what they are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from probes.errors import TableError
from probes.files import hash_json
from probes.words.tables import data_folder, read_text

SHIPPED_TEXT = "text"
SPLITS = ("train", "held_out")
HELD_OUT_EVERY = 3
"""Of documents that come without a split, every third is held out."""

DOCUMENT_LENGTH = 2000
"""A single file is cut, between paragraphs, into documents of at least this many characters."""


@dataclass(frozen=True)
class Document:
    """One text with its name; intervals over documents resample these."""

    name: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """Documents to fit on and documents to test on; no document is both.

    ``source`` is what `load_corpus` was given.
    """

    train: tuple[Document, ...]
    held_out: tuple[Document, ...]
    source: str = field(default="", compare=False)

    @property
    def hash(self) -> str:
        """sha256 of all names and texts."""
        return hash_json([[[d.name, d.text] for d in part] for part in (self.train, self.held_out)])


def load_corpus(source: str | Path = SHIPPED_TEXT) -> Corpus:
    """Load running text.

    Parameters
    ----------
    source
        ``text``, the shipped one (State of the Union addresses and Moby Dick); a folder with
        ``train`` and ``held_out``, each of ``*.txt``; a folder of ``*.txt``, one document each, of
        which every third is held out; or one ``.txt`` file, which is cut between paragraphs.

    Raises
    ------
    TableError
        If there is no such text, it is not UTF-8, or it has fewer than two documents of each part.
    """
    path = data_folder() / SHIPPED_TEXT if source == SHIPPED_TEXT else Path(source).expanduser()
    if path.is_file():
        corpus = _split(_cut(Document(path.stem, read_text(path).strip())))
    elif all((path / split).is_dir() for split in SPLITS):
        train, held_out = (tuple(_read_folder(path / split)) for split in SPLITS)
        corpus = Corpus(train, held_out)
    elif path.is_dir():
        corpus = _split(_read_folder(path))
    else:
        raise TableError(
            f"there is no text {str(source)!r}. Give {SHIPPED_TEXT!r} (the shipped one), a .txt "
            "file, a folder of .txt files, or a folder with train and held_out."
        )
    if min(len(corpus.train), len(corpus.held_out)) < 2:
        raise TableError(
            f"{path} has {len(corpus.train)} documents to fit on and {len(corpus.held_out)} to "
            "test on; at least two of each are needed. Give more or longer text."
        )
    return replace(corpus, source=str(source))


def _read_folder(folder: Path) -> list[Document]:
    found = [Document(path.stem, read_text(path).strip()) for path in sorted(folder.glob("*.txt"))]
    return [document for document in found if document.text]


def _cut(document: Document) -> list[Document]:
    parts: list[str] = []
    current = ""
    for paragraph in document.text.split("\n\n"):
        current = f"{current}\n\n{paragraph.strip()}".strip()
        if len(current) >= DOCUMENT_LENGTH:
            parts.append(current)
            current = ""
    if current and parts:
        parts[-1] = f"{parts[-1]}\n\n{current}"
    elif current:
        parts = [current]
    return [Document(f"{document.name}-{number:03d}", part) for number, part in enumerate(parts)]


def _split(documents: Sequence[Document]) -> Corpus:
    held_out = [number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 for number in range(len(documents))]
    pairs = list(zip(documents, held_out, strict=True))
    return Corpus(
        train=tuple(document for document, out in pairs if not out),
        held_out=tuple(document for document, out in pairs if out),
    )
