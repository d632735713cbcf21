"""One layer against the model's own tensors: weights, stages, masks, logits and what is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from probes.errors import NoMatrixError
from probes.models.geometry import AttentionGeometry
from probes.models.layer import AttentionLayer
from probes.models.matrices import ROUNDED_INPUT, is_plain, read_bias, rounds_input
from probes.models.observe import Observation
from probes.models.tap import Attended

TOLERANCE = 1e-4
"""Largest accepted difference in float32, relative to the largest number of what is compared.

What is the same computation differs by less than 1e-5 (the tests' bound); a padded batch adds up in
another order, layer after layer, and a machine with other kernels in yet another."""

COARSE_TOLERANCE = 0.05
"""The same for models that compute in half precision, or round what their layers read."""

ROUNDING = 4 * torch.finfo(torch.float32).eps
"""How much of the largest logit rounding may take from it, and so from what its softmax gives."""


@dataclass(frozen=True)
class Finding:
    """Two tensors that should be the same; ``after_softmax`` if logits are rounded on the way."""

    check: str
    stage: str
    ours: Tensor
    reference: Tensor
    after_softmax: bool = False
    note: str = ""


def accepted_difference(hf: nn.Module, largest_logit: float = 0.0) -> float:
    """Return the largest accepted difference for a model, by its precision.

    Parameters
    ----------
    largest_logit
        What is rounded off a large logit changes its softmax by as much.
    """
    dtype = next(hf.parameters()).dtype
    is_fine = dtype == torch.float32 and not rounds_input(hf)
    least = TOLERANCE if is_fine else COARSE_TOLERANCE
    return max(least, ROUNDING * largest_logit)


def relative_difference(ours: Tensor, reference: Tensor) -> float:
    """Return the largest difference over the largest number; infinite where shapes differ."""
    if ours.shape != reference.shape:
        return float("inf")
    gap = (ours.float() - reference.float()).abs().max()
    return float(gap / reference.float().abs().max().clamp_min(torch.finfo(torch.float32).tiny))


def check_layer(
    geometry: AttentionGeometry, layer: AttentionLayer, seen: Observation
) -> Iterator[Finding]:
    """Check one layer of one input: weights, stages, logits and what is written."""
    attended = seen.attended
    if attended is None or seen.x is None or seen.heads_output is None:
        nothing = torch.zeros(1)
        yield Finding("the layer was heard", "all", nothing, torch.ones(1))
        return
    assert seen.query_x is not None  # noqa: S101 - for the type checker
    assert seen.query_output is not None  # noqa: S101
    assert seen.written is not None  # noqa: S101
    query, key, value = (
        part.transpose(1, 2) for part in (attended.query, attended.key, attended.value)
    )
    x, query_x = seen.x, seen.query_x
    if seen.key_output is None:
        projected = layer.key.project(x)
    else:
        projected = layer.key.split(seen.key_output)
    own_q = layer.query.split(seen.query_output)
    made = partial(layer.key.project, x), partial(layer.query.project, query_x)
    yield _weigh(layer.key.module, "W_K x + b_K = k", "projected", made[0], projected)
    yield _weigh(layer.query.module, "W_Q x + b_Q = q", "projected", made[1], own_q)

    def make_values() -> Tensor:
        return layer.norm("value", layer.value.project(x))

    yield _weigh(layer.value.module, "W_V x + b_V = v", "value", make_values, value)
    normed = layer.norm("key", projected)
    positions = torch.arange(key.shape[1], device=key.device)
    if layer.key_norm is not None and seen.normed_key is not None:
        own = layer.key_norm.read(seen.normed_key, layer.n_kv_heads)
        there = layer.attend("key", normed, positions) if layer.late_norm else normed
        yield Finding("the norm's own output", "normed", there, own)
    length = query.shape[1]
    yield Finding("k as attended", "attended", layer.attend("key", normed, positions), key)
    scaled = layer.attend("query", layer.norm("query", own_q), positions[:length])
    scaled = scaled * (layer.logit_scale / attended.scaling)
    yield Finding("q as attended", "attended", scaled, query)
    flat = torch.arange(query.shape[0] * length, device=key.device)
    if geometry.causal:
        yield Finding("who is visible", "mask", *_compare_visible(layer, attended, length))
    weights = attended.weigh(flat // length, flat % length, causal=geometry.causal)
    grouped = torch.unflatten(torch.unflatten(weights, 0, (-1, length)), 2, (layer.n_kv_heads, -1))
    mixed = torch.einsum("bpkgc,bckd->bpkgd", grouped.to(value.dtype), value)
    heads = torch.unflatten(seen.heads_output, -1, (layer.n_heads, layer.d_value))
    yield Finding("softmax(q k) v = what W_O reads", "attended", mixed.flatten(2, 3), heads, True)

    def write() -> Tensor:
        blocks = layer.output_weights().to(heads.dtype)
        written = torch.einsum("bphd,hdm->bpm", heads, blocks)
        bias = read_bias(layer.output_module)
        return written if bias is None else written + bias.to(written.dtype)

    check = "sum of W_O v = what is written"
    yield _weigh(layer.output_module, check, "output", write, seen.written)


def _weigh(
    module: nn.Module, check: str, stage: str, make: Callable[[], Tensor], own: Tensor
) -> Finding:
    """Compare what weights make with what their module made; a note where they are no matrix."""
    try:
        made = make()
    except NoMatrixError as error:
        return Finding(check, stage, own, own, note=f"{error} What needs them is left out.")
    rounds = not is_plain(module) and relative_difference(made, own) > COARSE_TOLERANCE / 50
    if rounds and (far := relative_difference(made, own)) <= ROUNDED_INPUT:
        note = f"a {type(module).__name__} rounds its input: its matrix is right to {far:.1%}"
        return Finding(check, stage, made, own, note=note)
    return Finding(check, stage, made, own)


def _compare_visible(
    layer: AttentionLayer, attended: Attended, length: int
) -> tuple[Tensor, Tensor]:
    """Return who sees whom in the first row, by the layer's window and by the model's own mask."""
    places = torch.arange(attended.key.shape[2], device=attended.key.device)
    back = places[:length, None] - places
    chunks = places // (layer.chunk or len(places))
    ours = (back >= 0) & (back < (layer.window or len(places)))
    ours &= chunks[:length, None] == chunks
    own = attended.allow(torch.zeros_like(places[:length]), places[:length], causal=True)[:, 0]
    return ours.float(), (own > torch.finfo(own.dtype).min / 2).float()
