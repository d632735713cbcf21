"""Finished parts of a long analysis, kept on disk, so that a killed run resumes from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from analyses.shared.given import Given
from probes.files import hash_json, write_parquet, write_tensors
from probes.sealed import is_marked, mark


@dataclass(frozen=True)
class FinishedParts:
    """A folder of finished parts of one computation.

    Parameters
    ----------
    folder
        None keeps nothing.
    identity
        Everything the parts follow from. Parts of another identity are elsewhere in the folder
        and are never mixed with these.
    """

    folder: Path | None
    identity: Any

    @classmethod
    def of(
        cls,
        given: Given,
        settings: Any,
        *,
        leaving_out: tuple[str, ...] = (),
        beside: Mapping[str, Any] | None = None,
    ) -> FinishedParts:
        """Return the finished parts of a question with these settings.

        Parameters
        ----------
        leaving_out
            Settings that no part follows from, only the tables that are made of the parts. The
            measures of single heads (``given.heads``) are always left out.
        beside
            What the parts follow from besides what is given, such as a question's ``identify``.
        """
        own = {name: value for name, value in asdict(settings).items() if name not in leaving_out}
        identity = replace(given, heads=None).identify() | dict(beside or {})
        # A sum over more threads has other last digits; parts of one computation have one kind.
        return cls(given.parts, identity | {"settings": own, "threads": torch.get_num_threads()})

    @property
    def place(self) -> Path | None:
        """Where this computation's parts are."""
        return None if self.folder is None else self.folder / hash_json(self.identity)[:16]

    def table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return a part that is a table: from disk, or made now and kept."""
        found = self.find_table(name)
        if found is not None:
            return found
        made = make()
        if self.place is not None:
            path = self.place / f"{name}.parquet"
            write_parquet(path, made)
            self._mark(path)
        return made

    def find_table(self, name: str) -> pd.DataFrame | None:
        """Return a finished table, or None if it is not there, damaged or of another name."""
        path = self._find(f"{name}.parquet")
        return None if path is None else pd.read_parquet(path)

    def tensors(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return a part that is a set of tensors: from disk, or made now and kept."""
        found = self.find_tensors(name)
        if found is None:
            found = make()
            self.keep_tensors(name, found)
        return found

    def find_tensors(self, name: str) -> dict[str, Tensor] | None:
        """Return finished tensors, or None if they are not there, damaged or of another name."""
        path = self._find(f"{name}.safetensors")
        return None if path is None else load_file(path)

    def keep_tensors(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Keep a finished set of tensors, to be found again by its name."""
        if self.place is not None:
            path = self.place / f"{name}.safetensors"
            write_tensors(path, tensors)
            self._mark(path)

    def _mark(self, path: Path) -> None:
        mark(path, identity=hash_json(self.identity))

    def _find(self, name: str) -> Path | None:
        """Return where a part is if it is whole and of this computation."""
        if self.place is None or not is_marked(
            path := self.place / name, identity=hash_json(self.identity)
        ):
            return None
        return path
