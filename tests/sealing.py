"""Captures whose tables a test writes by hand, sealed again so that they are believed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from probes.capture.store import Store, open_store
from probes.files import hash_file, write_parquet
from probes.sealed import read_sealed, write_sealed


def replace_table(folder: Path, name: str, table: pd.DataFrame) -> Store:
    """Put another table into a capture, and name it in the manifest."""
    path = folder / f"{name}.parquet"
    write_parquet(path, table)
    manifest = read_sealed(folder / "manifest.json")
    manifest["files"][path.name] = hash_file(path)
    write_sealed(folder / "manifest.json", manifest)
    return open_store(folder)
