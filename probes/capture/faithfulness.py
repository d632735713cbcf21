"""Is what the hooks read what the model uses? Asked before every capture, answered with figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from probes.capture.batch import BatchRunner
from probes.capture.plan import TokenSequence
from probes.capture.read import KeyStage, Reading
from probes.errors import FaithfulnessError, NonFiniteError, UnsupportedModelError
from probes.models.model import Model
from probes.words.align import TokenSpan

TOLERANCE = 1e-4
"""Largest accepted difference, relative to the root mean square of what is compared (float32)."""

COARSE_TOLERANCE = 0.05
"""The same for models that compute in half precision."""


def check_faithfulness(
    model: Model,
    sequences: Sequence[TokenSequence],
    *,
    key_stage: KeyStage = "normed",
    n_sequences: int = 6,
) -> pd.DataFrame:
    """Compare captured keys and values with the model's own, and batches with single sequences.

    Returns
    -------
    A row per check: ``check``, ``layer`` of the largest ``difference`` (relative to the root mean
    square), ``tolerance``, ``passed``.

    Raises
    ------
    FaithfulnessError
        If any check fails; the message holds the figures.
    NonFiniteError
        If the model itself, without any hook, gives NaN or infinite numbers.
    UnsupportedModelError
        If a sequence outgrows a sliding window of the model's attention.
    """
    window = getattr(model.hf.config, "sliding_window", None)
    longest = max(len(sequence.ids) for sequence in sequences)
    if window is not None and longest >= window:
        raise UnsupportedModelError(
            f"{model.name} sees {window} tokens back, and the longest sequence has {longest}. "
            "Leave out the templates that are so long."
        )
    table = measure_faithfulness(model, sequences, key_stage=key_stage, n_sequences=n_sequences)
    failed = table[~table["passed"]]
    if len(failed):
        figures = "; ".join(
            f"{row.check}: {row.difference:.2g} in layer {row.layer} (at most {row.tolerance:.0e})"
            for row in failed.itertuples()
        )
        raise FaithfulnessError(
            f"{model.name} was refused, because what the hooks read is not what the model uses: "
            f"{figures}. Its architecture ({type(model.hf).__name__}) may compute keys or values "
            "in a way that kvprobes does not know yet; please report it with this message."
        )
    return table


def measure_faithfulness(
    model: Model, sequences: Sequence[TokenSequence], *, key_stage: KeyStage, n_sequences: int
) -> pd.DataFrame:
    """Return the table of `check_faithfulness` without judging it."""
    chosen = [_read_attended_token(s) for s in _spread(sequences, n_sequences)]
    whole = BatchRunner(model, key_stage=key_stage, share_prefix=False)
    with whole.attached():
        alone = [whole.run([sequence]) for sequence in chosen]
        together = whole.run(chosen)  # padded to the longest
    split = BatchRunner(model, key_stage=key_stage)
    with split.attached():
        shared = [split.run([sequence]) for sequence in chosen]
    k, v, x = (torch.cat([getattr(r, name) for r in alone]) for name in ("k", "v", "x"))
    own_k, own_v = _read_own(model, chosen)
    positions = torch.tensor([s.occurrences[0][1].last for s in chosen], device=k.device)
    checks = {
        "keys equal the model's own": (_rotate(model, k, positions, key_stage), own_k),
        "values equal the model's own": (v, own_v),
        "keys in a padded batch equal those alone": (together.k, k),
        "values in a padded batch equal those alone": (together.v, v),
        "attention in a padded batch equals that alone": (together.attention, _cat(alone)),
        "keys after a shared prefix equal those alone": (_cat(shared, "k"), k),
        "values after a shared prefix equal those alone": (_cat(shared, "v"), v),
        "attention after a shared prefix equals that alone": (_cat(shared), _cat(alone)),
        "W_V x + b_V equals the values": (_project(model, x, "value"), v),
    }
    if key_stage == "projected":
        checks["W_K x + b_K equals the keys"] = (_project(model, x, "key"), k)
    tolerance = TOLERANCE if v.dtype == torch.float32 else COARSE_TOLERANCE
    return pd.DataFrame(
        [_compare(name, *pair, tolerance=tolerance) for name, pair in checks.items()]
    )


def _spread(sequences: Sequence[TokenSequence], count: int) -> list[TokenSequence]:
    """Pick sequences evenly from first to last, among them the shortest and the longest."""
    step = max(1, (len(sequences) - 1) // max(1, count - 1))
    picked = list(sequences[::step][:count])
    ordered = sorted(sequences, key=lambda s: len(s.ids))
    return [*picked, ordered[0], ordered[-1]]


def _read_attended_token(sequence: TokenSequence) -> TokenSequence:
    """Read the attended token of the sequence's query, whether or not its own plan reads it."""
    attended = sequence.queries[0][2]
    return TokenSequence(
        ids=sequence.ids,
        prefix_length=sequence.prefix_length,
        occurrences=((0, TokenSpan(attended, attended)),),
        queries=sequence.queries[:1],
    )


def _read_own(model: Model, sequences: Sequence[TokenSequence]) -> tuple[Tensor, Tensor]:
    """Run each sequence alone, without any hook, and take k and v from the model's own cache.

    An encoder keeps no cache. Its keys and values are projected anew from its hidden states, which
    in the one encoder family that is known (BERT, normed after each block) are what W_K reads.
    """
    keys, values = [], []
    for sequence in sequences:
        position = sequence.occurrences[0][1].last
        ids = torch.tensor([sequence.ids], device=model.device)
        with torch.inference_mode():
            cache = getattr(model.trunk(input_ids=ids, use_cache=True), "past_key_values", None)
        if cache is None:
            with torch.inference_mode():
                states = model.trunk(input_ids=ids, output_hidden_states=True).hidden_states
            x = torch.stack([state[0, position] for state in states[:-1]])
            keys.append(_project(model, x[None], "key")[0])
            values.append(_project(model, x[None], "value")[0])
        else:
            keys.append(torch.stack([layer.keys[0, :, position] for layer in cache.layers]))
            values.append(torch.stack([layer.values[0, :, position] for layer in cache.layers]))
    k, v = torch.stack(keys), torch.stack(values)
    if not (torch.isfinite(k).all() and torch.isfinite(v).all()):
        raise NonFiniteError(
            f"{model.name} gives NaN or infinite keys or values, without any hook. Check the "
            "weights, or run in float32."
        )
    return k, v


def _rotate(
    model: Model,
    k: Float[Tensor, "occurrence layer kv_head d_head"],
    positions: Tensor,
    key_stage: KeyStage,
) -> Tensor:
    """Bring captured keys to the stage in which the cache holds them."""
    if key_stage == "projected" and model.geometry.has_qk_norm:
        norms = [projections.key_norm for projections in model.geometry.projections]
        with torch.inference_mode():
            normed = [
                norm(k[:, layer]) if norm else k[:, layer] for layer, norm in enumerate(norms)
            ]
        k = torch.stack(normed, dim=1)
    rotation = model.geometry.rotation
    if rotation is None or key_stage == "rotated":
        return k
    return rotation.rotate(k, positions[:, None, None])


def _project(model: Model, x: Float[Tensor, "occurrence layer d_model"], kind: str) -> Tensor:
    weights: Callable[[int], Tensor] = getattr(model.geometry, f"{kind}_weights")
    biases: Callable[[int], Tensor | None] = getattr(model.geometry, f"{kind}_bias")
    made = []
    for layer in range(model.geometry.n_layers):
        out = torch.einsum("om,hdm->ohd", x[:, layer].float(), weights(layer).float())
        bias = biases(layer)
        made.append(out if bias is None else out + bias)
    return torch.stack(made, dim=1)


def _cat(readings: Sequence[Reading], name: str = "attention") -> Tensor:
    return torch.cat([getattr(reading, name) for reading in readings])


def _compare(check: str, ours: Tensor, reference: Tensor, *, tolerance: float) -> dict[str, Any]:
    """Find the largest absolute difference over the root mean square, and its layer."""
    gap = (ours.float() - reference.float()).abs().transpose(0, 1).flatten(1).amax(dim=1)
    scale = reference.float().square().transpose(0, 1).flatten(1).mean(dim=1).sqrt()
    relative = gap / scale.clamp_min(torch.finfo(torch.float32).tiny)
    worst = int(torch.nan_to_num(relative, nan=float("inf")).argmax())
    difference = float(relative[worst])
    return {
        "check": check,
        "layer": worst,
        "difference": difference,
        "tolerance": tolerance,
        "passed": difference <= tolerance,  # a NaN does not pass
    }
