"""How much room a capture takes, told and checked before it begins."""

from __future__ import annotations

import shutil
from pathlib import Path

from probes.errors import StoreError
from probes.models.geometry import AttentionGeometry

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Of a coordinate, by the precision in which rows are stored."""


def estimate_size(geometry: AttentionGeometry, rows: int, *, dtype: str, x: bool) -> int:
    """Estimate the bytes of keys, values and x of occurrences; the rest of a shard is small.

    Parameters
    ----------
    rows
        How many occurrences are stored.
    dtype
        In which precision.
    x
        Whether what the layers read is stored too.
    """
    width = sum(
        layer.n_kv_heads * (layer.d_head + layer.d_value) + x * layer.d_input
        for layer in geometry.layers
    )
    return rows * width * BYTES[dtype]


def require_room(folder: Path, size: int) -> None:
    """Refuse to begin what the disk has no room for.

    Raises
    ------
    StoreError
        If less is free than `size`.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise StoreError(
            f"{folder} needs about {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there. "
            "Make room, give another folder with --out, or capture fewer words with --limit."
        )
