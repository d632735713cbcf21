"""Only named, plain files leave an archive, and only into the folder that was given."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from probes.errors import IntegrityError
from probes.models.conversion.archives import unpack_members
from tests.models.packages import write_tarball


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("write", [write_zip, write_tarball])
def test_named_files_come_in_the_order_asked(write, tmp_path, folder):
    write(tmp_path / "a", {"x/one": b"1", "x/two": b"2", "x/three": b"3"})
    places = unpack_members(tmp_path / "a", ["x/three", "x/one"], folder)
    assert [place.read_bytes() for place in places] == [b"3", b"1"]
    assert {place.name for place in folder.iterdir()} == {"three", "one"}


def test_a_zip_in_a_tarball(tmp_path, folder):
    write_zip(tmp_path / "inner", {"y/one": b"1", "y/two": b"2"})
    write_tarball(tmp_path / "a", {"x/inner.zip": (tmp_path / "inner").read_bytes()})
    places = unpack_members(tmp_path / "a", ["x/inner.zip!y/two", "x/inner.zip!y/one"], folder)
    assert [place.read_bytes() for place in places] == [b"2", b"1"]
    assert all(place.parent == folder for place in places)


@pytest.mark.parametrize("write", [write_zip, write_tarball])
@pytest.mark.parametrize("hostile", ["../../escaped", "/tmp/kvprobes-escaped"])  # noqa: S108
def test_a_path_never_leads_out_of_the_folder(write, hostile, tmp_path, folder):
    write(tmp_path / "a", {hostile: b"hostile", "x/one": b"1"})
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    unpack_members(tmp_path / "a", ["x/one"], folder)
    (place,) = unpack_members(tmp_path / "a", [hostile], folder)
    assert place.parent == folder
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert after - before == {folder / "one", place}


@pytest.mark.parametrize("write", [write_zip, write_tarball])
def test_a_missing_file_is_named(write, tmp_path, folder):
    write(tmp_path / "a", {"x/one": b"1"})
    with pytest.raises(IntegrityError, match="no plain file x/two"):
        unpack_members(tmp_path / "a", ["x/two"], folder)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_not_followed(kind, tmp_path, folder):
    with tarfile.open(tmp_path / "a", "w:gz") as tarball:
        plain = tarfile.TarInfo("x/secret")
        plain.size = 3
        tarball.addfile(plain, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("x/link")
        link.type, link.linkname = kind, "x/secret"
        tarball.addfile(link)
    with pytest.raises(IntegrityError, match="no plain file x/link"):
        unpack_members(tmp_path / "a", ["x/link"], folder)
