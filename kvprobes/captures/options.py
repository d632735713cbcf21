"""What a user asks to be captured."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kvprobes.results import ResultFolder

if TYPE_CHECKING:
    from probes.cluster import Cluster

DEFAULT_TEMPLATES = "3"
KeyStage = Literal["projected", "normed", "rotated"]
DEFAULT_STAGE: KeyStage = "normed"
WINDOW = 128
"""Tokens of a running text that are read together."""


@dataclass(frozen=True)
class CaptureOptions:
    """What is captured, of which model, and where; without `pairs` and `templates`, the usual.

    `sentences` (a table of marked words) or `treebank` (a file, or a folder with its splits) stand
    in the place of word pairs; `limit` then counts sentences.
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
    sentences: Path | None = None
    treebank: Path | None = None

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
