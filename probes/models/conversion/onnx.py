"""Reading the weights of an ONNX graph, float or quantised by onnxruntime, under their own names.

onnxruntime's dynamic quantisation (``quantize_dynamic``) stores a weight ``X`` as ``X_quantized``
with ``X_scale`` and ``X_zero_point``, each for the whole tensor or one a column. A linear layer's
weight loses its name in the export (``onnx::MatMul_12``), but the node that multiplies by it keeps
the module's path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper
from torch import Tensor

from probes.errors import UnsupportedModelError

_PRODUCTS = ("MatMul", "MatMulInteger")
_QUANTIZED, _SCALE, _ZERO_POINT = "_quantized", "_scale", "_zero_point"


def read_onnx_weights(file: Path) -> dict[str, Tensor]:
    """Return the float32 weights of an ONNX graph as a state dict of the exported module.

    A linear layer's weight is turned from ONNX's ``[input, output]`` to torch's
    ``[output, input]``; embeddings and norms stay as they are.

    Raises
    ------
    UnsupportedModelError
        If weights are in another file: only what was hashed with the archive is read.
    """
    graph = onnx.load(str(file), load_external_data=False).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    outside = [name for name, tensor in stored.items() if _is_outside(tensor)]
    if outside:
        raise UnsupportedModelError(
            f"{file.name} keeps {len(outside)} of its weights in another file ({outside[0]} is "
            "one); kvprobes reads ONNX files that hold their weights themselves."
        )
    products = [
        node for node in graph.node if node.op_type in _PRODUCTS and node.input[1] in stored
    ]
    weights = {
        f"{_module_path(node)}.weight": _to_torch(_read(stored, node.input[1]).T)
        for node in products
    }
    multiplied = {node.input[1] for node in products}
    for name in stored.keys() - multiplied:
        plain = name.removesuffix(_QUANTIZED)
        if _is_parameter(plain):
            weights[plain] = _to_torch(_read(stored, name))
    return weights


def _is_outside(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def _is_parameter(name: str) -> bool:
    """Return whether a tensor carries a module's path, and is not part of a quantised one."""
    is_anonymous = name.startswith(("/", "onnx::")) or "." not in name
    return not is_anonymous and not name.endswith((_SCALE, _ZERO_POINT))


def _module_path(node: NodeProto) -> str:
    """Return ``layers.0.q_proj`` for a node called ``/layers.0/q_proj/MatMul_quant``."""
    path, _, _ = node.name.rpartition("/")
    return path.strip("/").replace("/", ".")


def _read(stored: Mapping[str, TensorProto], name: str) -> NDArray[np.float32]:
    """Return a stored tensor as float32: ``(quantised - zero point) * scale`` where it is that."""
    values = numpy_helper.to_array(stored[name]).astype(np.float32)
    if not name.endswith(_QUANTIZED):
        return values
    plain = name.removesuffix(_QUANTIZED)
    zero_point = numpy_helper.to_array(stored[plain + _ZERO_POINT]).astype(np.float32)
    scale = numpy_helper.to_array(stored[plain + _SCALE]).astype(np.float32)
    return (values - zero_point) * scale  # one a column: numpy lines the last axes up


def _to_torch(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32, order="C"))
