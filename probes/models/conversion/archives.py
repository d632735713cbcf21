"""Taking the named files out of a wheel, a tarball, or a zip inside either."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from probes.errors import IntegrityError

INSIDE = "!"  # between a zip's path in the archive and a file's path in the zip


def unpack_members(archive: Path, members: Sequence[str], folder: Path) -> list[Path]:
    """Copy the named files out of an archive into `folder`, and return their paths in that order.

    Every file gets its bare name: an archive never chooses where something is written, and what is
    not named is not read. ``outer.zip!inner`` names a file of a zip that is in the archive; the
    zip is copied out once.

    Parameters
    ----------
    archive
        A zip (``.whl``, ``.zip``) or a tarball (``.tar.gz``, ``.tgz``).
    members
        Paths inside the archive; no two may have the same bare name.
    folder
        Where the files go; it must be there.

    Raises
    ------
    IntegrityError
        If the archive lacks one of them, or it is not a plain file (a link, a folder).
    """
    places = []
    for member in members:
        outer, _, inner = member.partition(INSIDE)
        place = folder / PurePosixPath(outer).name
        if not place.is_file():
            _copy_out(archive, outer, place)
        places.append(unpack_members(place, [inner], folder)[0] if inner else place)
    return places


def _copy_out(archive: Path, member: str, place: Path) -> None:
    with _open_member(archive, member) as source, place.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one plain file of a zip or a tarball; nothing else of it is unpacked."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            if member not in packed.namelist() or member.endswith("/"):
                raise _lacks(archive, member)
            with packed.open(member) as stream:
                yield stream
        return
    with tarfile.open(archive) as tarball:
        entry = next((entry for entry in tarball if entry.name == member), None)
        # extractfile would follow a link to another entry: only plain files are read.
        stream_or_none = tarball.extractfile(entry) if entry and entry.isreg() else None
        if stream_or_none is None:
            raise _lacks(archive, member)
        with stream_or_none as stream:
            yield stream


def _lacks(archive: Path, member: str) -> IntegrityError:
    return IntegrityError(
        f"{archive.name} holds no plain file {member}, which it had when kvprobes was released. "
        f"Delete {archive} if it is still there and try again."
    )
