"""The identity of a model's weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from probes.errors import StoreError
from probes.files import hash_json, write_json


def hash_weights(model: nn.Module) -> str:
    """Return the hex sha256 of the sorted (name, dtype, shape, bytes) of the parameters.

    Tied parameters count once; device and attention implementation do not matter.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        head = [name, str(parameter.dtype), list(parameter.shape)]
        digest.update(json.dumps(head).encode())
        flat = parameter.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_weights_cached(model: nn.Module, files: Iterable[Path], folder: Path) -> str:
    """Return `hash_weights`, remembered in `folder` for as long as `files` stay untouched.

    The key holds every file's path, size and time of change, and the class and dtype that the
    weights were loaded into. A folder that cannot be written costs time, nothing else.
    """
    stats = [(str(file.resolve()), file.stat()) for file in sorted(files)]
    key = hash_json(
        {
            "files": [[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats],
            "class": type(model).__name__,
            "dtypes": sorted({str(parameter.dtype) for parameter in model.parameters()}),
        }
    )
    remembered = folder / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(remembered.read_text(encoding="utf-8"))["weights_hash"])
    found = hash_weights(model)
    with contextlib.suppress(StoreError):
        write_json(remembered, {"files": [path for path, _ in stats], "weights_hash": found})
    return found
