"""The model of a worker: loaded once, by name, and refused if it is not the expected one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from probes.cluster import Cluster
from probes.errors import StoreMismatchError, UsageError
from probes.models.load import load_model
from probes.models.model import Model


@dataclass(frozen=True)
class ModelReference:
    """All that a worker needs to have the same model; `revision` is that of a name on the hub."""

    name: str
    revision: str | None
    weights_hash: str
    config_hash: str | None
    dtype: str
    device: str


_loaded: dict[ModelReference, Model] = {}


def refer_to(model: Model, cluster: Cluster) -> ModelReference:
    """Return how the workers of a cluster ask for a model.

    Raises
    ------
    UsageError
        If they are other processes, and the model is nowhere to be loaded from.
    """
    origin = model.origin
    if origin["source"] == "memory" and not cluster.is_here:
        raise UsageError(
            f"{model.name!r} was built in memory, where the workers of a cluster cannot load it "
            "from. Save it (model.hf.save_pretrained(folder), model.tokenizer.save_pretrained("
            "folder)) and capture load_model(folder), or capture in this process."
        )
    return ModelReference(
        name=origin["path"] if origin["source"] == "folder" else model.name,
        revision=origin["revision"] if origin["source"] == "hub" else None,
        weights_hash=model.weights_hash,
        config_hash=origin.get("config_hash"),
        dtype=str(next(model.hf.parameters()).dtype).removeprefix("torch."),
        device=str(model.device),
    )


def load_referred(reference: ModelReference) -> Model:
    """Return the model that is meant: the one that was loaded last if that is it.

    Raises
    ------
    StoreMismatchError
        If the name stands for another model here than where the work was given out.
    """
    if reference not in _loaded:
        model = load_model(
            reference.name,
            revision=reference.revision,
            device=reference.device,
            dtype=getattr(torch, reference.dtype),
            check=False,  # the one who gave the work out has examined it
        )
        _refuse_other("weights", model.weights_hash, reference.weights_hash, reference.name)
        config_hash = model.origin.get("config_hash")
        _refuse_other("settings in its config", config_hash, reference.config_hash, reference.name)
        _loaded.clear()
        _loaded[reference] = model
    return _loaded[reference]


def _refuse_other(what: str, here: str | None, there: str | None, name: str) -> None:
    if here != there:
        raise StoreMismatchError(
            f"{name} has other {what} on this worker than where the run was started "
            f"({str(here)[:12]} and {str(there)[:12]}). Give all machines the same files, then run "
            "the same command again."
        )
