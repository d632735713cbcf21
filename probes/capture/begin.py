"""Opening a folder for a capture: a new one, or one that was interrupted, or one that is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from probes.capture.store import Store, clear_store, create_store
from probes.cluster import Cluster
from probes.models.cache import note_folder

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from probes.models.geometry import AttentionGeometry
    from probes.models.model import Model


@dataclass(frozen=True)
class Pace:
    """How many sequences run together, on how many threads: what changes the last digits.

    A sum of other terms at a time is rounded in other places, so a capture is made with one pace
    from its first shard to its last, by every worker.
    """

    batch_size: int
    threads: int

    @classmethod
    def of(cls, batch_size: int, cluster: Cluster) -> Pace:
        """Return the pace of a new capture: workers, which share a machine, have one thread."""
        return cls(batch_size, torch.get_num_threads() if cluster.is_here else 1)

    def tell_apart(self, other: Pace) -> str:
        """Say in what this pace, with which a capture was begun, differs from a wanted one."""
        wanted = asdict(other)
        told = [
            f"{name.replace('_', ' ')} {value} (not {wanted[name]})"
            for name, value in asdict(self).items()
            if value != wanted[name]
        ]
        return f", as it was begun: {', '.join(told)}; --overwrite starts again" if told else ""


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
    batch_size: int,
    cluster: Cluster,
    context: Mapping[str, Any] | None = None,
    overwrite: bool,
    say: Callable[[str], None],
) -> tuple[Store, list[int], Pace]:
    """Open a capture's store, and say what is reused and what is done.

    Parameters
    ----------
    folder
        Held by this run (`probes.locks.holding`).
    identity
        What the capture follows from; a capture of another is refused, or deleted by `overwrite`.
    tables, constants, n_shards
        As `create_store` takes them.
    batch_size, cluster
        How the shards are to be made. A capture of which some shards are there resumes with the
        batch size and threads that it was begun with, so that its bytes are those of an
        undisturbed run.
    context
        What the manifest says beside the model and the versions.

    Returns
    -------
    tuple of Store, list of int and Pace
        The store, the shards that are still to be made, and how to make them.

    Raises
    ------
    StoreError
        If the folder cannot be written, or holds a capture of other settings.
    """
    pace = Pace.of(batch_size, cluster)
    if "path" in model.origin:
        note_folder(model.weights_hash, model.origin["path"])
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
            "origin": {name: told for name, told in model.origin.items() if name != "path"},
            "geometry": geometry.describe(),
            "versions": {name: version(name) for name in PACKAGES},
            "pace": asdict(pace),
            "device": model.device.type,
            **(context or {}),
        },
    )
    missing = store.missing_shards()
    begun = Pace(**store.manifest.get("pace", asdict(pace)))
    if not missing:
        say(f"Reusing the finished capture in {folder}")
    elif len(missing) == store.n_shards:
        say(f"Capturing into {folder}")
    else:
        say(f"Going on with the capture in {folder}{begun.tell_apart(pace)}")
    return store, missing, begun
