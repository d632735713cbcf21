"""One run at a time: a lock that the system takes back when its holder dies, and that says who."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from probes.errors import StoreError
from probes.files import sweep, write_text

LOCK, HOLDER = ".lock", ".holder"


@contextmanager
def holding(folder: Path, name: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold a folder while the block runs; a killed run holds nothing any more.

    What killed runs left aside in the folder is removed (`probes.files.sweep`). On a file system
    that several machines share it works if that has locks (NFS 4, Lustre with ``flock``).

    Parameters
    ----------
    name
        Holds only what is written under this name (``name.*``), and not the whole folder.
    wait
        Wait until another run lets go, and do not refuse.

    Raises
    ------
    StoreError
        If another run holds it, or the folder cannot be written.
    """
    start = f".{name}" if name else ""
    holder = folder / f"{start}{HOLDER}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{start}{LOCK}")
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        what = f"{name} in {folder}" if name else f"{folder}"
        raise StoreError(
            f"{what} is in use by {_read_holder(holder)}. Wait until that run is done, or give "
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
        write_text(holder, who)  # a link in its place is replaced, not followed
        sweep(folder, name or "*")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read_holder(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8") or "another run"
    except OSError:
        return "another run"
