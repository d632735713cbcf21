"""What was captured, on disk: safetensors shards, parquet indices, a manifest, done-markers.

A folder holds ``manifest.json`` (the settings that identify the capture, and the hashes of its
tables and constants), ``occurrences.parquet``, ``queries.parquet``, ``losses.parquet``,
``constants.safetensors`` and ``shards/00000.safetensors`` beside ``shards/00000.json``, which holds
the shard's name and hash and is written last: a shard without its marker (or with that of another
shard or other settings) does not count. Every file is written aside and renamed, and none is read
before its hash was compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from probes.capture.kept_rows import read_rows
from probes.errors import NoMatrixError, StoreError, StoreMismatchError
from probes.files import hash_json, parse_json, sweep, write_parquet, write_tensors
from probes.sealed import hash_once, is_marked, mark, unseal, write_sealed

FORMAT = 5
CONSTANTS = "constants.safetensors"
TABLES = ("occurrences", "queries", "losses", "pairs", "templates")


class _Constants(dict[str, Tensor]):
    """Constants by name; one that is missing was no matrix in the model."""

    def __missing__(self, name: str) -> Tensor:
        raise NoMatrixError(
            f"the capture holds no {name}: layers of its model compute what no matrix does, and "
            "this measure needs their weights. Take another space (raw or centred), or "
            "unquantised weights."
        )


@dataclass(frozen=True)
class Store:
    """A capture folder. Rows follow ``occurrences`` and ``queries``; tensors are read lazily."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def n_shards(self) -> int:
        """How many shards the finished capture has."""
        return int(self.manifest["n_shards"])

    @property
    def identity_hash(self) -> str:
        """The hash of the settings, which names this capture in later manifests."""
        return hash_json(self.manifest["identity"])

    def table(self, name: str) -> pd.DataFrame:
        """Read one of `TABLES`."""
        path = self.folder / f"{name}.parquet"
        try:
            self._refuse_other(path)
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise _damaged(path, error) from error

    def shard_path(self, shard: int) -> Path:
        """Where a shard's tensors are."""
        return self.folder / "shards" / f"{shard:05d}.safetensors"

    def missing_shards(self) -> list[int]:
        """List the shards not yet captured, or damaged since (by their hash)."""
        return [n for n in range(self.n_shards) if not self._is_whole(n)]

    def write_shard(self, shard: int, tensors: dict[str, Tensor]) -> None:
        """Write one shard whole, then its marker."""
        path = self.shard_path(shard)
        write_tensors(path, tensors)
        mark(path, identity=self.identity_hash)

    def read(self, name: str, layer: int) -> Float[Tensor, "row *shape"]:
        """Read one layer of ``k``, ``v``, ``x``, ``attention`` or ``x_query``, float32."""
        name = f"{name}.{layer}"
        return torch.cat([read_rows(shard, name) for shard in self.open_shards(name)])

    def number(self, name: str, layer: int) -> Any:
        """Return a number of the attention geometry, such as ``n_kv_heads``, in one layer."""
        value = self.manifest["geometry"][name]
        return value[layer] if isinstance(value, list) else value

    @property
    def n_layers(self) -> int:
        """How many attention layers were captured."""
        return int(self.manifest["geometry"]["n_layers"])

    def read_sum(self, name: str) -> Float[Tensor, "*shape"]:
        """Add up a moment over the shards, in their order, float64: ``query_moment.LAYER``."""
        total: Tensor | None = None
        for shard in self.open_shards(name):
            part = shard.get_tensor(name)
            total = part if total is None else total + part
        if total is None:
            raise StoreError(f"{self.folder} holds no shards")
        return total

    def read_constants(self) -> dict[str, Tensor]:
        """Read what belongs to the model and not to any row.

        ``value_metric.LAYER``, and ``spectrum.PART.LAYER``: the singular values of the weights.

        Raises
        ------
        NoMatrixError
            When one is asked for that a model whose weights are no matrices does not have.
        """
        path = self.folder / CONSTANTS
        try:
            self._refuse_other(path)
            return _Constants(load_file(path))
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def open_shards(self, name: str) -> Iterator[Any]:
        """Open the shards in order, as safetensors files, each of which must hold `name`."""
        for shard in range(self.n_shards):
            path = self.shard_path(shard)
            if not self._is_whole(shard):
                raise _damaged(path, ValueError("it is not the shard that was captured"))
            try:
                with safe_open(path, framework="pt") as tensors:
                    if name not in tensors.keys():  # noqa: SIM118 - not a mapping
                        raise StoreError(f"{path} holds no {name!r}, but {sorted(tensors.keys())}")
                    yield tensors
            except (SafetensorError, OSError) as error:
                raise _damaged(path, error) from error

    def _is_whole(self, shard: int) -> bool:
        return is_marked(self.shard_path(shard), identity=self.identity_hash)

    def _refuse_other(self, path: Path) -> None:
        """Raise a ValueError if a file is not the one that the manifest names."""
        if hash_once(path) != self.manifest["files"].get(path.name):
            raise ValueError("its hash is not that in the manifest")


def create_store(
    folder: Path,
    identity: dict[str, Any],
    *,
    tables: dict[str, pd.DataFrame],
    constants: dict[str, Tensor],
    n_shards: int,
    context: dict[str, Any],
) -> Store:
    """Start a capture in `folder`, or go on with the one that is there.

    Parameters
    ----------
    identity
        The settings that decide the numbers; device and batch size are not among them.
    tables
        ``occurrences``, ``queries``, ``losses``.
    constants
        Tensors that belong to the model and not to any row.
    context
        What the manifest also records (versions, origin of the weights). A capture that has shards
        keeps what it was begun with.

    Raises
    ------
    StoreMismatchError
        If the folder holds a capture of other settings; nothing is changed then.
    """
    identity = json.loads(json.dumps({"format": FORMAT, **identity}))
    manifest = {"identity": identity, "n_shards": n_shards, **context}
    if (folder / "manifest.json").exists():
        store = open_store(folder)
        if store.manifest["identity"] != identity:
            raise StoreMismatchError(
                f"{folder} holds a capture of other settings: "
                f"{describe_differences(store.manifest['identity'], identity)}. "
                "Give another folder with --out, or --overwrite to start again."
            )
        if len(store.missing_shards()) < store.n_shards:
            manifest = store.manifest
    # These are small and always the same, so writing them again also repairs them.
    for name, table in tables.items():
        write_parquet(folder / f"{name}.parquet", table)
    write_tensors(folder / CONSTANTS, constants)
    names = [*(f"{name}.parquet" for name in tables), CONSTANTS]
    manifest = {**manifest, "files": {name: hash_once(folder / name) for name in names}}
    write_sealed(folder / "manifest.json", manifest)
    return open_store(folder)


def clear_store(folder: Path) -> None:
    """Remove the capture in `folder`, if there is one, and nothing else.

    Raises
    ------
    StoreError
        If a file cannot be removed.
    """
    if not (folder / "manifest.json").exists():
        return
    sweep(folder)
    indices = [folder / f"{name}.parquet" for name in TABLES]
    # The manifest goes last: killed before, the folder still says whose shards it holds.
    last = [folder / CONSTANTS, folder / "manifest.json"]
    try:
        for path in [*(folder / "shards").glob("[0-9]*.*"), *indices, *last]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror}") from error


def open_store(folder: Path) -> Store:
    """Open the capture in `folder`, finished or not.

    Raises
    ------
    StoreError
        If there is none, or its manifest cannot be read.
    """
    path = folder / "manifest.json"
    try:
        manifest = parse_json(path.read_text(encoding="utf-8"))
        written = manifest["identity"]["format"]
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder} holds no capture (no manifest.json). Run `kvprobes capture` first."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}). Delete the folder to start again."
        ) from error
    if written != FORMAT:
        raise StoreMismatchError(
            f"{folder} was written in store format {written}; this version reads {FORMAT}. Give "
            "another folder with --out, or --overwrite."
        )
    try:
        return Store(folder, unseal(manifest))
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged ({error}). Delete the folder to start again, or give --overwrite."
        ) from error


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} is damaged or missing ({error}). Run `kvprobes capture` with the same settings "
        "again: it repairs what is damaged and keeps the rest."
    )


def describe_differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Name the settings that differ, with both values where they are not mere hashes."""
    told = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        hashes = all(isinstance(value, str) and len(value) == 64 for value in (was, now))
        told.append(f"other {key}" if hashes else f"{key} was {_short(was)}, now {_short(now)}")
    return "; ".join(told)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
