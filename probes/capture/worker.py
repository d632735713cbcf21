"""The model of a worker: loaded once, by name, and refused if its weights are not the expected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from probes.errors import StoreMismatchError
from probes.models.load import load_model
from probes.models.model import Model


@dataclass(frozen=True)
class ModelReference:
    """All that a worker needs to have the same model."""

    name: str
    weights_hash: str
    dtype: str
    device: str


_held: dict[ModelReference, Model] = {}


def hold_model(model: Model) -> ModelReference:
    """Let work in this process use a model that is loaded; returns how other processes ask for it.

    Only the model held last is kept.
    """
    name = str(Path(model.name).resolve()) if Path(model.name).is_dir() else model.name
    dtype = str(next(model.hf.parameters()).dtype).removeprefix("torch.")
    reference = ModelReference(name, model.weights_hash, dtype, str(model.device))
    _held.clear()
    _held[reference] = model
    return reference


def borrow_model(reference: ModelReference) -> Model:
    """Return the model, loaded by the first call in each process.

    Raises
    ------
    StoreMismatchError
        If the name stands for other weights here than where the work was given out.
    """
    if reference not in _held:
        model = load_model(
            reference.name,
            device=reference.device,
            dtype=getattr(torch, reference.dtype),
            check=False,  # the one who gave the work out has examined it
        )
        if model.weights_hash != reference.weights_hash:
            raise StoreMismatchError(
                f"{reference.name} has other weights on this worker than where the run was started "
                f"({model.weights_hash[:12]} and {reference.weights_hash[:12]}). Give all machines "
                "the same files, then run the same command again."
            )
        _held.clear()
        _held[reference] = model
    return _held[reference]
