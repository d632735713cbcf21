"""One bit of a file turned over, as a disk or a copy does it, and the file's times kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from probes.sealed import SEAL, write_sealed


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Turn one bit over; a negative place counts from the end."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def flips(path: Path, count: int) -> Iterator[bytes]:
    """Flip bits all over a file, one at a time; yields what the file held, and restores it."""
    before = path.read_bytes()
    for number in range(count):
        flip(path, number * (len(before) - 1) // (count - 1), bit=number % 8)
        yield before
        path.write_bytes(before)


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Let `change` change what a sealed manifest says, and seal it again."""
    content = json.loads(path.read_text(encoding="utf-8"))
    del content[SEAL]
    change(content)
    write_sealed(path, content)
