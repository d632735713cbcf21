"""An encoder-decoder's own translations, and which source tokens each of their steps looks at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.capture.batch import join_rows
from probes.errors import UnsupportedModelError
from probes.files import hash_json
from probes.models.model import Model
from probes.models.tap import Attended, Listener, listening
from probes.progress import progress_bar
from probes.sealed import read_sealed, write_sealed

PART_LENGTH = 256
"""Sentences per part: a kill costs a few seconds of work."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Translation:
    """What the decoder is given to say its own translation again, and where it looks.

    ``ids`` begin with the decoder's start token and leave out the final one. ``attention`` is the
    cross-attention of each step, averaged over heads: the step at position p reads the token
    ``ids[p]`` and writes the token at position p + 1.
    """

    ids: Ids
    attention: Float[Tensor, "layer step token"]


def translate(
    model: Model,
    sources: Sequence[Ids],
    *,
    folder: Path | None = None,
    batch_size: int = 64,
    longest: int = 48,
) -> list[Translation]:
    """Translate token sequences greedily with the model itself.

    Parameters
    ----------
    folder
        Where finished parts are kept, so that a killed run resumes from them.
    longest
        At most this many tokens per translation.

    Raises
    ------
    UnsupportedModelError
        If the model has no decoder that attends to an encoder.
    """
    if not model.has_encoder_and_decoder:
        raise UnsupportedModelError(
            f"{model.name} has no decoder that reads an encoder, so it cannot translate. Give an "
            "encoder-decoder, such as opus-mt-zh-en."
        )
    targets: list[Ids] = []
    parts = range(0, len(sources), PART_LENGTH)
    with progress_bar("Translating", total=len(sources), unit="sentences") as advance:
        for number, start in enumerate(parts):
            part = sources[start : start + PART_LENGTH]
            targets += _translate_part(model, part, folder, number, batch_size, longest)
            advance(len(part))
    attention = []
    with progress_bar("Aligning", total=len(sources), unit="sentences") as advance:
        for start in range(0, len(sources), batch_size):
            stop = start + batch_size
            attention += _read_attention(model, sources[start:stop], targets[start:stop])
            advance(len(targets[start:stop]))
    return [Translation(*both) for both in zip(targets, attention, strict=True)]


def _translate_part(
    model: Model,
    sources: Sequence[Ids],
    folder: Path | None,
    number: int,
    batch_size: int,
    longest: int,
) -> list[Ids]:
    """Translate one part, or read it if it is there from the same model and sentences."""
    identity = hash_json([model.weights_hash, model.origin.get("config_hash"), sources, longest])
    path = None if folder is None else folder / f"{number:05d}.json"
    if path is not None:
        with suppress(OSError, ValueError):  # not there or damaged: it is made again
            kept = read_sealed(path)
            if kept["identity"] == identity:
                return [tuple(ids) for ids in kept["ids"]]
    targets: list[Ids] = []
    for start in range(0, len(sources), batch_size):
        targets += _generate(model, sources[start : start + batch_size], longest)
    if path is not None:
        write_sealed(path, {"identity": identity, "ids": targets})
    return targets


@torch.inference_mode()
def _generate(model: Model, sources: Sequence[Ids], longest: int) -> list[Ids]:
    ids, mask = join_rows(sources)
    hf: Any = model.hf
    out = hf.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        num_beams=1,
        do_sample=False,
        max_new_tokens=longest,
        max_length=None,
    )
    ends = hf.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    found = []
    for row in out.tolist():
        stop = next((place for place, token in enumerate(row[1:], 1) if token in ends), len(row))
        found.append(tuple(row[:stop]))
    return found


class _CrossAttention(Listener):
    """A listener that keeps the cross-attention of every step, averaged over heads."""

    def __init__(self) -> None:
        self.layers: list[Tensor] = []

    def on_attention(self, layer: int, attended: Attended) -> None:
        n_rows, _, n_steps, _ = attended.query.shape
        flat = torch.arange(n_rows * n_steps, device=attended.query.device)
        weights = attended.weigh(flat // n_steps, flat % n_steps, causal=False).mean(dim=1)
        self.layers.append(weights.reshape(n_rows, n_steps, -1).half().cpu())


@torch.inference_mode()
def _read_attention(model: Model, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[Tensor]:
    geometry = model.at("cross")
    listener = _CrossAttention()
    ids, mask = join_rows(sources)
    target, target_mask = join_rows(targets)
    runs: Any = model.trunk
    with listening(model.hf, geometry, listener):
        runs(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            decoder_input_ids=target.to(model.device),
            decoder_attention_mask=target_mask.to(model.device),
            use_cache=False,
        )
    if not listener.layers:
        raise UnsupportedModelError(f"{model.name} showed no cross-attention. Please report it.")
    total = torch.stack(listener.layers, dim=1)
    return [
        total[row, :, : len(targets[row]), : len(source)].float().clone()
        for row, source in enumerate(sources)
    ]
