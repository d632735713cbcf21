"""Files that are read again: hashed when they are written, and not believed if the hash differs.

A manifest holds a hash of itself (its seal) and those of the files that it names. A file that
is alone has a marker beside it: a small manifest that names the file and what it follows from.
This finds damage and mixtures; it does not protect from somebody who wants to deceive.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probes.files import hash_file, hash_json, parse_json, write_json

SEAL = "seal"

_SETTLED = 50_000_000
"""Nanoseconds: a file that was changed later than so long ago may change again unnoticed."""

_hashes: dict[tuple[int, ...], str] = {}


def hash_once(path: Path) -> str:
    """Return `hash_file`, remembered within this process for as long as the file is untouched.

    Untouched is what has the same inode, size and times.
    """
    stat = path.stat()
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if key not in _hashes:
        settled = time.time_ns() - stat.st_ctime_ns > _SETTLED
        digest = hash_file(path)
        if not settled:
            return digest
        _hashes[key] = digest
    return _hashes[key]


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest with a hash of its content, whole or not at all."""
    write_json(path, seal(content))


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content as JSON gives it back, with its hash."""
    plain = json.loads(json.dumps(content))
    return {**plain, SEAL: hash_json(plain)}


def unseal(content: Any) -> dict[str, Any]:
    """Return a manifest's content without its hash.

    Raises
    ------
    ValueError
        If the content is not what was written.
    """
    if not isinstance(content, dict):
        raise ValueError("it is no manifest")
    plain = {name: part for name, part in content.items() if name != SEAL}
    if content.get(SEAL) != hash_json(plain):
        raise ValueError("its content is not what was written: its hash differs")
    return plain


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote.

    Raises
    ------
    OSError
        If the file is not there.
    ValueError
        If it is damaged.
    """
    return unseal(parse_json(path.read_text(encoding="utf-8")))


def read_if_whole(path: Path, **expected: Any) -> dict[str, Any] | None:
    """Read a manifest whose ``files`` are the names and hashes of files beside it.

    Parameters
    ----------
    expected
        What it must say, such as ``identity``: everything that the files follow from.

    Returns
    -------
    None if there is none, it says something else, or it or a file is missing or damaged.
    """
    try:
        manifest = read_sealed(path)
        whole = all(
            manifest[name] == json.loads(json.dumps(content)) for name, content in expected.items()
        ) and all(
            hash_once(path.parent / name) == digest for name, digest in manifest["files"].items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def mark(path: Path, **says: Any) -> None:
    """Write the marker of a file that has been written: its name, its hash, and what it is of."""
    write_sealed(find_marker(path), {"files": {path.name: hash_once(path)}, **says})


def is_marked(path: Path, **says: Any) -> bool:
    """Whether a file is the one that was marked so, whole and under its own name."""
    marker = read_if_whole(find_marker(path), **says)
    return marker is not None and path.name in marker["files"]


def find_marker(path: Path) -> Path:
    """Return where the marker of a file is."""
    return path.with_suffix(".json")
