"""The same architecture before training: a null for everything that learning could have done."""

from __future__ import annotations

import copy
from itertools import chain

import torch

from probes.models.load import build_model
from probes.models.model import Model


def untrain(model: Model, *, seed: int = 0) -> Model:
    """Return a model of the same class and config, with weights as its own code initialises them.

    Tokenizer, device and precision are those of `model`; the same seed gives the same weights. What
    the config leaves to the checkpoint (a scale that training found) is not carried over.

    Parameters
    ----------
    seed
        Of the weights; the random state of the caller is left alone.
    """
    config = copy.deepcopy(model.hf.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hf = type(model.hf)(config)
    hf = hf.to(device=model.device)
    own = dict(chain(model.hf.named_parameters(), model.hf.named_buffers()))
    for name, tensor in chain(hf.named_parameters(), hf.named_buffers()):
        tensor.data = tensor.data.to(
            own.get(name, tensor).dtype
        )  # rotary frequencies stay in float32
    return build_model(hf, model.tokenizer, name=f"{model.name}, untrained (seed {seed})")
