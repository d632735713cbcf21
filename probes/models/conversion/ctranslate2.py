"""Reading the weights of a CTranslate2 model, float or int8, by their names.

The file (``model.bin``, little-endian) is a version, the model's kind and its revision, then for
each variable its name, shape, type and bytes, then pairs of an alias and the name it stands for.
An int8 weight has one scale a row: the weight is ``int8 / scale``. Source: CTranslate2's
``python/ctranslate2/specs/model_spec.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.errors import UnsupportedModelError

_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
_FIRST_VERSION, _LAST_VERSION = 5, 6  # those with this layout


def read_ctranslate2_weights(file: Path) -> dict[str, Tensor]:
    """Return every variable of a CTranslate2 file as float32, its aliases under their own names.

    Raises
    ------
    UnsupportedModelError
        If the file is of a version with another layout.
    """
    variables = _read_variables(_Reader(file.read_bytes()), file.name)
    return {
        name: torch.from_numpy(_to_float(variables, name))
        for name in variables
        if not name.endswith("_scale")
    }


class _Reader:
    """A position in a run of bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    def number(self, kind: str) -> int:
        """Read one unsigned number of the struct kind B, H or I."""
        (value,) = struct.unpack_from(f"<{kind}", self.content, self.position)
        self.position += struct.calcsize(kind)
        return int(value)

    def text(self) -> str:
        """Read a text that ends with a zero byte, after its length."""
        return self.take(self.number("H"))[:-1].decode("utf-8")

    def take(self, length: int) -> bytes:
        """Read that many bytes."""
        start = self.position
        self.position += length
        return self.content[start : self.position]


def _read_variables(reader: _Reader, shown: str) -> dict[str, NDArray[Any]]:
    version = reader.number("I")
    if not _FIRST_VERSION <= version <= _LAST_VERSION:
        raise UnsupportedModelError(
            f"{shown} is a CTranslate2 file of version {version}; kvprobes reads versions "
            f"{_FIRST_VERSION} to {_LAST_VERSION}."
        )
    reader.text()  # the kind of model
    reader.number("I")  # its revision
    variables = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = np.dtype(_TYPES[reader.number("B")]).newbyteorder("<")
        variables[name] = np.frombuffer(reader.take(reader.number("I")), kind).reshape(shape)
    for _ in range(reader.number("I")):
        alias, name = reader.text(), reader.text()
        variables[alias] = variables[name]
        if f"{name}_scale" in variables:
            variables[f"{alias}_scale"] = variables[f"{name}_scale"]
    return variables


def _to_float(variables: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    values = np.array(variables[name], dtype=np.float32)
    scale = variables.get(f"{name}_scale")
    return values if scale is None else values / scale[:, None]
