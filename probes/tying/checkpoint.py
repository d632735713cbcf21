"""Checkpoints: weights, optimiser and log in one safetensors file, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from probes.errors import StoreMismatchError
from probes.files import parse_json, replacing

if TYPE_CHECKING:
    from probes.tying.transformer import Transformer

MOMENTS = ("exp_avg", "exp_avg_sq")
DIGEST = "sha256"
"""Name of the checkpoint's own hash: of its tensors and all else that it says."""


@dataclass
class Progress:
    """How far a run has come.

    Attributes
    ----------
    step
        Steps done.
    log
        One row per evaluation; numbers that follow from the settings alone.
    seconds, processor_seconds
        Spent on the steps up to the last checkpoint and their evaluation.
    """

    step: int = 0
    log: list[dict[str, int | float]] = field(default_factory=list)
    seconds: float = 0.0
    processor_seconds: float = 0.0


def save_checkpoint(
    path: Path,
    model: Transformer,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    *,
    identity: str,
) -> None:
    """Write a run's state aside, then rename it into place.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach().contiguous()
        for moment in MOMENTS:
            tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment].contiguous()
    content = {"identity": identity, "progress": json.dumps(asdict(progress))}
    content[DIGEST] = _hash(tensors, content)
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=content))


def load_checkpoint(
    path: Path, model: Transformer, optimiser: torch.optim.Optimizer, *, identity: str
) -> Progress | None:
    """Put weights and optimiser back where a run was.

    Returns
    -------
    None if the checkpoint is damaged: then nothing is changed, and the run starts again.

    Raises
    ------
    StoreMismatchError
        If the checkpoint is of another run.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            content = dict(stored.metadata() or {})
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if content.pop(DIGEST, None) != _hash(tensors, content):
            return None
    except (SafetensorError, OSError, ValueError):
        return None
    if content["identity"] != identity:
        raise StoreMismatchError(
            f"{path} is the checkpoint of another run. Give another folder, or delete it."
        )
    progress = Progress(**parse_json(content["progress"]))
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.copy_(tensors[f"weight.{name}"])
        optimiser.state[parameter] = {
            "step": torch.tensor(float(progress.step), device=parameter.device),
            **{moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in MOMENTS},
        }
    return progress


def _hash(tensors: Mapping[str, torch.Tensor], content: Mapping[str, str]) -> str:
    """Hash everything that a checkpoint holds."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
