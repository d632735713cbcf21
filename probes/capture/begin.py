"""Opening a folder for a capture: a new one, or one that was interrupted, or one that is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.capture.store import Store, clear_store, create_store

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from probes.models.geometry import AttentionGeometry
    from probes.models.model import Model

PACKAGES = ("kvprobes", "torch", "transformers")
"""Those whose versions a capture's manifest names."""


def begin_capture(
    folder: Path,
    model: Model,
    geometry: AttentionGeometry,
    identity: dict[str, Any],
    *,
    tables: Mapping[str, pd.DataFrame],
    constants: Mapping[str, Tensor],
    n_shards: int,
    context: Mapping[str, Any] | None = None,
    overwrite: bool,
    say: Callable[[str], None],
) -> tuple[Store, list[int]]:
    """Open a capture's store, and say what is reused and what is done.

    Parameters
    ----------
    folder
        Held by this run (`probes.locks.holding`).
    identity
        What the capture follows from; a capture of another is refused, or deleted by `overwrite`.
    tables, constants, n_shards
        As `create_store` takes them.
    context
        What the manifest says beside the model and the versions.

    Returns
    -------
    tuple of Store and list of int
        The store, and the shards that are still to be made.

    Raises
    ------
    StoreError
        If the folder cannot be written, or holds a capture of other settings.
    """
    if overwrite:
        clear_store(folder)
    store = create_store(
        folder,
        identity,
        tables=dict(tables),
        constants=dict(constants),
        n_shards=n_shards,
        context={
            "model": model.name,
            "origin": model.origin,
            "geometry": geometry.describe(),
            "versions": {name: version(name) for name in PACKAGES},
            **(context or {}),
        },
    )
    missing = store.missing_shards()
    if not missing:
        say(f"Reusing the finished capture in {folder}")
    else:
        going_on = len(missing) < store.n_shards
        say(f"Going on with the capture in {folder}" if going_on else f"Capturing into {folder}")
    return store, missing
