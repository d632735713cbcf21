"""Where fetched and converted models are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "KVPROBES_CACHE"


def cache_folder() -> Path:
    """Return the folder of cached models: ``$KVPROBES_CACHE``, else the system's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("kvprobes", appauthor=False)
