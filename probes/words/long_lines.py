"""A long text in one line of JSON, piece by piece: it is never whole in memory but as its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from probes.files import parse_json

PIECE = 1 << 20
"""Bytes of a line that are decoded at a time."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL)
_COLON = re.compile(rb"\s*:")
_FARTHEST = 4096  # bytes in which a space is looked for
_LONGEST_SIGN = 12  # bytes: two escapes, \ud83d\ude00


def read_long_line(line: bytes, column: str) -> Iterator[tuple[int, int, str]]:
    """Yield the text under a name of a JSON object in pieces, each with its first and last byte.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the line is no JSON object with a text of that name.
    """
    start, end = _find_text(line, column)
    if parse_json(line[:start] + line[end:])[column] != "":
        raise ValueError("it holds the name twice")
    while start < end:
        stop, text = _cut(line, start, end)
        yield start, stop, text
        start = stop


def _find_text(line: bytes, column: str) -> tuple[int, int]:
    """Return where the text begins and ends, without its quotes."""
    depth, wanted, found = 0, False, None
    for token in _TOKEN.finditer(line):
        start, end = token.span()
        sign = line[start : start + 1]
        if sign != b'"':
            depth += 1 if sign in b"{[" else -1
        elif depth == 1 and _COLON.match(line, end):
            wanted = parse_json(line[start:end]) == column
        elif depth == 1 and wanted:
            found, wanted = (start + 1, end - 1), False
    if found is None:
        raise KeyError(column)
    return found


def _cut(line: bytes, start: int, end: int) -> tuple[int, str]:
    """Return where the next piece ends and what it says: before a space, or between two signs."""
    stop = min(start + PIECE, end)
    if stop < end:
        space = line.find(b" ", stop, min(stop + _FARTHEST, end))
        stop = space if space >= 0 else stop
    for last in range(stop, max(start, stop - _LONGEST_SIGN), -1):
        try:
            text = str(parse_json(b'"%b"' % line[start:last]))
        except ValueError:  # within an escape, or within the bytes of a letter
            if stop == end:
                raise
            continue
        if last == end or not "\ud800" <= text[-1:] <= "\udbff":  # the first half of a sign
            return last, text
    raise ValueError("it holds an escape that is none")
