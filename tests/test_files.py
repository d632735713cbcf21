"""Writing whole or not at all, and hashing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import StoreError
from probes.files import hash_file, hash_json, hash_list, replacing, write_json, write_text
from probes.sealed import read_if_whole, write_sealed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_in_a_new_folder(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "naïve\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "naïve\n".encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_others_may_read_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path, failure):
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            assert temporary.parent == path.parent
            raise failure

    with pytest.raises(failure):
        fail()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.write_text"])
def test_a_full_disk_is_told(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(step, full)
    with pytest.raises(StoreError, match=r"the disk is full: could not write .*a\.txt"):
        write_text(path, "after")
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_really_full_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        write_text(place / "a", "before")
        with pytest.raises(StoreError, match="the disk is full"):
            write_text(place / "a", "x" * 100_000)
        assert (place / "a").read_text() == "before"
        assert names(place) == ["a"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"could not write .*Check that the folder is writable"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_json_is_sorted_and_readable(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1], "a": "ü"})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "a": "ü",\n  "b": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 7])
def test_hash_of_a_file(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    digest = hash_file(tmp_path / "a")
    assert digest == hashlib.sha256(content).hexdigest()


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON, min_size=2))
def test_hash_of_json_knows_content_and_not_order(content):
    turned = dict(reversed(content.items()))
    assert hash_json(turned) == hash_json(content) == hash_json(json.loads(json.dumps(content)))
    assert hash_json({**content, "another key": 1}) != hash_json(content)
    assert hash_list(iter(content.values())) == hash_json(list(content.values()))


def test_a_manifest_is_read_if_it_says_what_is_expected_and_its_files_are_whole(tmp_path):
    write_text(tmp_path / "a.txt", "one")
    path, identity = tmp_path / "manifest.json", {"seeds": (0, 1)}
    assert read_if_whole(path, identity=identity) is None
    files = {"a.txt": hash_file(tmp_path / "a.txt")}
    write_sealed(path, {"identity": identity, "files": files, "seconds": 3})
    assert read_if_whole(path, identity=identity)["seconds"] == 3
    assert read_if_whole(path, identity={"seeds": (0, 2)}) is None
    assert read_if_whole(path, versions={}) is None
    write_text(tmp_path / "a.txt", "two")
    assert read_if_whole(path, identity=identity) is None
    (tmp_path / "a.txt").unlink()
    assert read_if_whole(path, identity=identity) is None
    for damaged in ("", "[]", '{"identity": null}', json.dumps({"identity": identity, "files": 1})):
        write_text(path, damaged)
        assert read_if_whole(path, identity=identity) is None
