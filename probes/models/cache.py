"""Where fetched and converted models are kept."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from probes.errors import StoreError
from probes.sealed import read_sealed, write_sealed

CACHE_VARIABLE = "KVPROBES_CACHE"
FOLDERS = "folders.json"


def cache_folder() -> Path:
    """Return the folder of cached models: ``$KVPROBES_CACHE``, else the system's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("kvprobes", appauthor=False)


def note_folder(weights: str, folder: str) -> None:
    """Remember where a model's folder stands: a result, which others read, says only its name.

    Parameters
    ----------
    weights
        The hash of its weights.
    """
    with suppress(StoreError):  # a cache that cannot be written is no error
        if read_folders().get(weights) != folder:
            write_sealed(cache_folder() / FOLDERS, read_folders() | {weights: folder})


def read_folders() -> dict[str, str]:
    """Return the hash of the weights -> the folder, of all that this machine remembers."""
    try:
        return {str(key): str(path) for key, path in read_sealed(cache_folder() / FOLDERS).items()}
    except (OSError, ValueError):
        return {}
