"""The identity of a model's weights."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import nn


def hash_weights(model: nn.Module) -> str:
    """Return the hex sha256 of the sorted (name, dtype, shape, bytes) of the parameters.

    Tied parameters count once; device and attention implementation do not matter.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        head = [name, str(parameter.dtype), list(parameter.shape)]
        digest.update(json.dumps(head).encode())
        flat = parameter.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
