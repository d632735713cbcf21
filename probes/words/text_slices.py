"""A corpus as slices of files that can be read alone, each passage by passage: never as a whole.

Where slices begin depends on the files and on the wanted size, never on who reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from probes.errors import TableError
from probes.files import hash_file, parse_json
from probes.words.long_lines import PIECE, read_long_line

SUFFIXES = (".txt", ".jsonl", ".parquet")
PASSAGE = 16 << 10
"""Bytes of a plain text that are read, and tokenised, at a time."""

_SPACES = b" \n\t\r"
_SPACE = re.compile(r"\s")
_FARTHEST = 4096  # bytes in which a space is looked for; scripts without spaces are cut anywhere


@dataclass(frozen=True)
class TextSlice:
    """A part of one file: bytes `start` to `end` of txt and jsonl, rows of parquet.

    What begins inside belongs to it: a passage of a line of jsonl, or a word of plain text.
    """

    path: str
    start: int
    end: int


def list_texts(source: str | Path) -> list[Path]:
    """List the files of a text: itself, or all ``.txt``, ``.jsonl``, ``.parquet`` below a folder.

    Raises
    ------
    TableError
        If there is none.
    """
    path = Path(source).expanduser()
    if path.is_file() and path.suffix in SUFFIXES:
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise TableError(
            f"there is no text at {str(source)!r}. Give a file or a folder of files ending in "
            f"{', '.join(SUFFIXES)}."
        )
    return found


def hash_texts(files: Sequence[Path]) -> list[str]:
    """Return the sha256 of every file; with their order, all that the slices depend on."""
    return [hash_file(file) for file in files]


def cut_texts(
    files: Sequence[Path], *, size: int, column: str = "text", most: int = 64
) -> list[tuple[TextSlice, ...]]:
    """Share files out to shards of neighbouring slices, each of `size` bytes or somewhat more.

    Parameters
    ----------
    size
        Least bytes of text per shard; more where there would be over `most` shards.
    column
        Which column of parquet files holds the text.

    Raises
    ------
    TableError
        If a file cannot be read.
    """
    measured = [_measure(file, column) for file in files]
    size = max(size, -(-sum(n_bytes for n_bytes, _ in measured) // most))
    shards: list[tuple[TextSlice, ...]] = []
    open_shard: list[TextSlice] = []
    held = 0
    for file, (n_bytes, units) in zip(files, measured, strict=True):
        pieces = max(1, n_bytes // size) if n_bytes else 0
        bounds = [units * piece // pieces for piece in range(pieces + 1)] if pieces else []
        for start, end in pairwise(bounds):
            open_shard.append(TextSlice(str(file), start, end))
            held += n_bytes // pieces
            if held >= size:
                shards.append(tuple(open_shard))
                open_shard, held = [], 0
    if open_shard:
        shards.append(tuple(open_shard))
    return shards


def read_slice(part: TextSlice, *, column: str = "text") -> Iterator[tuple[int, str]]:
    """Yield the passages of a slice, each with the number of its document within the slice.

    A plain text file is one document, read `PASSAGE` bytes at a time and cut before a space; a line
    of jsonl and a row of parquet are a document each, of passages of about as many characters.

    Raises
    ------
    TableError
        If the file is damaged, not UTF-8 or lacks the column.
    """
    read = {".txt": _read_plain, ".jsonl": _read_lines, ".parquet": _read_rows}
    path = Path(part.path)
    try:
        yield from read[path.suffix](path, part, column)
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8 text: {error}.") from error
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error}.") from error


def _measure(file: Path, column: str) -> tuple[int, int]:
    """Return a file's bytes of text, and how many units (bytes or rows) its slices count in."""
    if file.suffix != ".parquet":
        return file.stat().st_size, file.stat().st_size
    table = _open_parquet(file, column).metadata
    place = table.schema.names.index(column)
    groups = [table.row_group(n) for n in range(table.num_row_groups)]
    return sum(group.column(place).total_uncompressed_size for group in groups), table.num_rows


def _read_plain(path: Path, part: TextSlice, _: str) -> Iterator[tuple[int, str]]:
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        at, end = _find_cut(stream, part.start, size), _find_cut(stream, part.end, size)
        while at < end:
            until = min(_find_cut(stream, at + PASSAGE, size), end)
            stream.seek(at)
            yield 0, stream.read(until - at).decode()
            at = until


def _find_cut(stream: BinaryIO, at: int, size: int) -> int:
    """Return where the text may be cut at `at` or next: before a space, or between characters."""
    if at <= 0 or at >= size:
        return max(0, min(at, size))
    stream.seek(at)
    ahead = stream.read(_FARTHEST)
    places = [place for space in _SPACES if (place := ahead.find(space)) >= 0]
    if places:
        return at + min(places)
    if len(ahead) < _FARTHEST:
        return size  # the last word
    within = (place for place, byte in enumerate(ahead) if byte & 0xC0 != 0x80)
    return at + next(within, len(ahead))


def _read_lines(path: Path, part: TextSlice, column: str) -> Iterator[tuple[int, str]]:
    with path.open("rb") as stream:
        stream.seek(_find_line(stream, part.start))
        number = 0
        while (at := stream.tell()) < part.end and (line := stream.readline()):
            if not line.strip():
                continue
            is_mine = False
            for begin, end, text in _read_record(path, at, line, column):
                for start, passage in _cut_passages(text):
                    if part.start <= begin + start * (end - begin) // max(1, len(text)) < part.end:
                        yield number, passage
                        is_mine = True
            number += is_mine


def _find_line(stream: BinaryIO, at: int) -> int:
    """Return where the line begins that byte `at` is in."""
    while at > 0:
        before = max(0, at - PASSAGE)
        stream.seek(before)
        place = stream.read(at - before).rfind(b"\n")
        if place >= 0:
            return before + place + 1
        at = before
    return 0


def _cut_passages(text: str) -> Iterator[tuple[int, str]]:
    """Cut a long text before white space; yield where each passage begins, and the passage."""
    start = 0
    while len(text) - start > PASSAGE:
        space = _SPACE.search(text, start + PASSAGE, start + PASSAGE + _FARTHEST)
        end = space.start() if space else start + PASSAGE
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def _read_record(path: Path, at: int, line: bytes, column: str) -> Iterator[tuple[int, int, str]]:
    """Yield the text of a line, in pieces if it is long, each with its first and last byte."""
    try:
        if len(line) > PIECE:
            for start, end, text in read_long_line(line, column):
                yield at + start, at + end, text
            return
        text = parse_json(line)[column]
        if isinstance(text, str):
            yield at, at + len(line), text
            return
    except (ValueError, KeyError, TypeError):
        pass
    raise TableError(
        f"the line at byte {at} of {path} is no JSON object with a text under {column!r}: "
        f"{line[:60]!r}. Name another column with --column."
    )


def _read_rows(path: Path, part: TextSlice, column: str) -> Iterator[tuple[int, str]]:
    table = _open_parquet(path, column)
    first, number = 0, 0
    for group in range(table.metadata.num_row_groups):
        n_rows = table.metadata.row_group(group).num_rows
        if first < part.end and first + n_rows > part.start:
            row = first
            for batch in table.iter_batches(64, row_groups=[group], columns=[column]):
                for text in batch.column(0).to_pylist():
                    if part.start <= row < part.end and text is not None:
                        yield from ((number, passage) for _, passage in _cut_passages(str(text)))
                        number += 1
                    row += 1
        first += n_rows


def _open_parquet(path: Path, column: str):  # type: ignore[no-untyped-def]  # pyarrow has no types
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{path} cannot be read as parquet: {error}.") from error
    if column not in table.schema_arrow.names:
        raise TableError(
            f"{path} has no column {column!r}, but {', '.join(table.schema_arrow.names)}. Name the "
            "one with the text with --column."
        )
    return table
