"""What a user asks to be captured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kvprobes.results import ResultFolder
from probes.errors import UsageError
from probes.files import parse_json

if TYPE_CHECKING:
    from probes.cluster import Cluster

DEFAULT_TEMPLATES = "3"
KeyStage = Literal["projected", "normed", "rotated", "attended"]
DEFAULT_STAGE: KeyStage = "normed"
DTYPES = ("float32", "bfloat16", "float16")
"""Precisions that a model can be loaded in."""

WINDOW = 128
"""Tokens of a running text that are read together."""


@dataclass(frozen=True)
class Loading:
    """How a model is loaded, in words; what is None is left to `load_model`, or to the capture."""

    revision: str | None = None
    dtype: str | None = None
    device_map: str | None = None
    attn: str | None = None

    def after(self, manifest: Mapping[str, Any]) -> Loading:
        """Fill in the revision and precision that a capture was made with."""
        origin, identity = manifest.get("origin", {}), manifest.get("identity", {})
        of_hub = origin.get("revision") if origin.get("source") == "hub" else None
        return replace(
            self,
            revision=self.revision or of_hub,
            dtype=self.dtype or identity.get("compute_dtype"),
        )

    def spell_out(self) -> dict[str, Any]:
        """Return the options of `load_model`.

        Raises
        ------
        UsageError
            If the precision is unknown, or the map of devices is neither a word nor JSON.
        """
        import torch

        given: dict[str, Any] = {
            name: value for name, value in asdict(self).items() if value is not None
        }
        if self.dtype is not None:
            if self.dtype not in DTYPES:
                raise UsageError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}.")
            given["dtype"] = getattr(torch, self.dtype)
        if self.device_map is not None and self.device_map.startswith("{"):
            try:
                given["device_map"] = parse_json(self.device_map)
            except ValueError as error:
                raise UsageError(
                    f"device_map {self.device_map!r} is not JSON ({error}). Give a word such as "
                    'auto, or {"": 0}.'
                ) from error
        return given


@dataclass(frozen=True)
class CaptureOptions:
    """What is captured, of which model, and where; without `pairs` and `templates`, the usual.

    `sentences` (a table of marked words) or `treebank` (a file, or a folder with its splits) are
    in the place of word pairs; `limit` then counts sentences. With `full`, no capture beside the
    main one is a sample.
    """

    model: str
    pairs: str | None = None
    templates: str | None = None
    out: Path | None = None
    device: str = "cpu"
    batch_size: int = 128
    seed: int = 0
    limit: int | None = None
    overwrite: bool = False
    key_stage: KeyStage = DEFAULT_STAGE
    human: tuple[Path, ...] = ()
    scheduler: str | None = None
    workers: int = 2
    loading: Loading = Loading()
    skip_bad_rows: bool = False
    sentences: Path | None = None
    treebank: Path | None = None
    full: bool = False

    @property
    def folder(self) -> ResultFolder:
        """Where the results go: `out`, or ``results/`` and the model's name (and key stage)."""
        if self.out is not None:
            return ResultFolder(self.out)
        name = re.sub(r"[^\w.-]+", "--", self.model.strip("/"))
        stage = "" if self.key_stage == DEFAULT_STAGE else f"-{self.key_stage}"
        return ResultFolder(Path("results") / f"{name}{stage}")

    def open_cluster(self) -> AbstractContextManager[Cluster]:
        """Give what captures run on; what is started ends with the block."""
        from probes.cluster import open_cluster

        logs = self.folder.path / "logs"
        return open_cluster(self.scheduler, workers=self.workers, logs=logs)


@dataclass(frozen=True)
class TextOptions:
    """What is captured of a running text; see `probes.capture.text_shard.TextSettings`."""

    source: Path
    column: str = "text"
    window: int = WINDOW
    rows: int = 0
    without_x: bool = False
    shard_bytes: int | None = None
