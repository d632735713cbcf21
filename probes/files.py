"""Writing results: aside, flushed, then renamed, so that no reader ever sees half a file."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


ASIDE = ".aside-"
"""What the name of every temporary file and folder of ours holds, after the name it is to get."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it into place.

    On any failure (an interrupt too) the temporary file is removed and `path` keeps what it held.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}{ASIDE}", suffix=path.suffix
        )
    except OSError as error:
        raise _explain(error, path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _explain(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what killed processes left aside in a folder, and what safetensors left there.

    Only who holds the folder (`probes.locks.holding`) may call it: nobody else is writing then.

    Parameters
    ----------
    name
        How the names begin of the files that were to be written; a dot must follow. By default all
        files, those in folders below too.
    """
    everything = name == "*"
    found = (
        folder.rglob(f".*{ASIDE}*") if everything else folder.glob(f".{glob.escape(name)}.*aside-*")
    )
    for path in [*found, *(folder.rglob(".tmp??????") if everything else ())]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        # A path may hold bytes that are no UTF-8; they are written as escapes.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as sorted, indented JSON, whole or not at all."""
    write_text(path, spell_json(content))


def spell_json(content: Any) -> str:
    """Return `content` as sorted, indented JSON."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet, whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all, with no second copy of them in memory."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:  # of an error of the system it keeps only the text
            found = re.search(r"os error (\d+)", str(error))
            if found is None:
                raise
            number = int(found[1])
            raise OSError(number, os.strerror(number)) from error


def hash_file(path: Path) -> str:
    """Return the hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; whatever is wrong with it is a ValueError.

    Raises
    ------
    ValueError
        If it is no JSON, or nested more deeply than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def hash_json(content: Any) -> str:
    """Return the hex sha256 of `content` as canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(_spell_canonical(content)).hexdigest()


def hash_list(items: Iterable[Any]) -> str:
    """Return `hash_json` of a list of the items, of which only one is spelled at a time."""
    digest = hashlib.sha256(b"[")
    for number, item in enumerate(items):
        digest.update(b"," * (number > 0) + _spell_canonical(item))
    digest.update(b"]")
    return digest.hexdigest()


def _spell_canonical(content: Any) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="backslashreplace")


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries, where the system allows a folder to be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _explain(error: OSError, path: Path) -> StoreError:
    if error.errno == errno.ENOSPC:
        return StoreError(
            f"the disk is full: could not write {path}. What was there before is untouched. "
            "Free some space (or choose another folder with --out) and run the same command again."
        )
    return StoreError(
        f"could not write {path}: {error.strerror or error}. Check that the folder is writable."
    )


def measure_size(folder: Path) -> int:
    """Add up the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
