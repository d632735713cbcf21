"""The identity of a model's weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


def list_parts(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Return tensors by name; one that is made of others (quantised) by its plain parts."""
    for name, tensor in tensors:
        whole = tensor.detach()
        if type(whole) is Tensor or not hasattr(whole, "__tensor_flatten__"):
            yield name, whole
        else:
            names, _ = whole.__tensor_flatten__()
            yield from list_parts((f"{name}.{part}", getattr(whole, part)) for part in names)


def hash_weights(model: nn.Module) -> str:
    """Return the hex sha256 of the sorted (name, dtype, shape, bytes) of the parameters.

    Tied parameters count once; device and attention implementation do not matter.
    """
    digest = hashlib.sha256()
    for name, parameter in list_parts(sorted(model.named_parameters())):
        head = [name, str(parameter.dtype), list(parameter.shape)]
        digest.update(json.dumps(head).encode())
        flat = parameter.cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
