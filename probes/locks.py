"""One run a folder: a lock that the system takes back when its holder dies, and that says who."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from probes.errors import StoreError
from probes.files import write_text

LOCK, HOLDER = ".lock", ".holder"


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a folder while the block runs; a killed run holds nothing any more.

    On a file system that several machines share it works if that has locks (NFS 4, Lustre with
    ``flock``).

    Raises
    ------
    StoreError
        If another run holds the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreError(
            f"{folder} is in use by {_read_holder(folder)}. Wait until that run is done, or give "
            "another folder with --out."
        ) from error
    except OSError as error:
        raise StoreError(
            f"could not write {folder}: {error.strerror or error}. Check that the folder is "
            "writable."
        ) from error
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        who = f"process {os.getpid()} on {socket.gethostname()}, since {since}"
        write_text(folder / HOLDER, who)  # a link in its place is replaced, not followed
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _read_holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text(encoding="utf-8") or "another run"
    except OSError:
        return "another run"
