"""Is what kvprobes reads what the model uses? Every site and stage against HF's own tensors.

No check takes its reference from the code it checks: keys and values are compared with the model's
own cache, and queries, keys, values, masks and scales together with what the model hands to W_O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from probes.errors import UnsupportedModelError
from probes.models.geometry import AttentionGeometry, Site
from probes.models.layer import AttentionLayer
from probes.models.observe import Observation, observe
from probes.models.padding import Padded, pad

TOLERANCE = 1e-4
"""Largest accepted difference in float32, relative to the largest number of what is compared.

What is the same computation differs by less than 1e-5 (the tests' bound); a padded batch adds up in
another order, layer after layer, and a machine with other kernels in yet another."""

COARSE_TOLERANCE = 0.05
"""The same for models that compute in half precision."""

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Finding:
    check: str
    stage: str
    ours: Tensor
    reference: Tensor


@torch.inference_mode()
def examine(
    hf: nn.Module,
    sites: Mapping[Site, AttentionGeometry],
    rows: Sequence[Inputs],
    *,
    pad_token_id: int = 0,
) -> pd.DataFrame:
    """Compare what is read at every site with the model's own tensors.

    Parameters
    ----------
    rows
        Single inputs of the model (batch of one), of different lengths if they hold tokens.

    Returns
    -------
    A row per site, check and stage: ``site, check, stage, layer`` (the place of the largest
    difference), ``difference`` (relative to the largest number), ``tolerance``, ``passed``,
    ``note`` (why a check does not apply; it counts as passed).
    """
    table: list[dict[str, Any]] = []
    for site, geometry in sites.items():
        seen = [observe(hf, geometry, row) for row in rows]
        layers = [layers for layers, _ in seen]
        table += _judge(site, _check_stages(hf, geometry, rows, layers), hf)
        table += _judge(site, _check_logits(hf, rows, [out for _, out in seen]), hf)
        for side in ("right", "left"):
            table += _check_padded(hf, site, geometry, rows, layers, side, pad_token_id)
    return pd.DataFrame(table)


def refuse_unfaithful(name: str, table: pd.DataFrame) -> None:
    """Raise if any check of an examination failed.

    Raises
    ------
    UnsupportedModelError
        With every failed check and its figures.
    """
    failed = table[~table["passed"]]
    if len(failed):
        figures = "; ".join(
            f"{row.site}, {row.check} ({row.stage}): {row.difference:.2g} in layer {row.layer}"
            for row in failed.itertuples()
        )
        raise UnsupportedModelError(
            f"{name} is refused, because what kvprobes reads is not what the model uses: {figures} "
            f"(at most {failed['tolerance'].iloc[0]:.0e}). Its architecture may compute keys or "
            "values in a way that kvprobes does not know; please report it with this message."
        )


def _judge(site: str, findings: Iterator[list[_Finding]], hf: nn.Module) -> list[dict[str, Any]]:
    """Keep the worst layer of every check."""
    tolerance = accepted_difference(hf)
    worst: dict[tuple[str, str], tuple[float, int]] = {}
    for layer, found in enumerate(findings):
        for finding in found:
            name = (finding.check, finding.stage)
            difference = relative_difference(finding.ours, finding.reference)
            if name not in worst or not difference <= worst[name][0]:
                worst[name] = (difference, layer)
    return [
        _tell(site, check, stage, layer, difference, tolerance)
        for (check, stage), (difference, layer) in worst.items()
    ]


def _tell(
    site: str,
    check: str,
    stage: str,
    layer: int,
    difference: float,
    tolerance: float,
    note: str = "",
) -> dict[str, Any]:
    """Make a row of the table; a check with a note does not apply, else a NaN does not pass."""
    return {
        "site": site,
        "check": check,
        "stage": stage,
        "layer": layer,
        "difference": difference,
        "tolerance": tolerance,
        "passed": bool(note) or difference <= tolerance,
        "note": note,
    }


def accepted_difference(hf: nn.Module) -> float:
    """Return the largest accepted difference for a model, by its precision."""
    dtype = next(hf.parameters()).dtype
    return TOLERANCE if dtype == torch.float32 else COARSE_TOLERANCE


def relative_difference(ours: Tensor, reference: Tensor) -> float:
    """Return the largest difference over the largest number; infinite where shapes differ."""
    if ours.shape != reference.shape:
        return float("inf")
    gap = (ours.float() - reference.float()).abs().max()
    return float(gap / reference.float().abs().max().clamp_min(torch.finfo(torch.float32).tiny))


def _check_stages(
    hf: nn.Module,
    geometry: AttentionGeometry,
    rows: Sequence[Inputs],
    seen: Sequence[Sequence[Observation]],
) -> Iterator[list[_Finding]]:
    caches = [read_cache(hf, geometry, row) for row in rows]
    for place, layer in enumerate(geometry.layers):
        found: list[_Finding] = []
        for observed, cache in zip(seen, caches, strict=True):
            found += _check_layer(geometry, layer, observed[place])
            if cache is not None:
                found += _check_cache(layer, observed[place], cache[place])
        yield found


def _check_layer(
    geometry: AttentionGeometry, layer: AttentionLayer, seen: Observation
) -> Iterator[_Finding]:
    """Check one layer of one input: weights, stages, logits and what is written."""
    attended = seen.attended
    if attended is None or seen.x is None or seen.heads_output is None:
        nothing = torch.zeros(1)
        yield _Finding("the layer was heard", "all", nothing, torch.ones(1))
        return
    assert seen.query_x is not None  # noqa: S101 - for the type checker
    assert seen.query_output is not None  # noqa: S101
    assert seen.written is not None  # noqa: S101
    query, key, value = (
        part.transpose(1, 2) for part in (attended.query, attended.key, attended.value)
    )
    made = layer.key.project(seen.x)
    projected = made if seen.key_output is None else layer.key.split(seen.key_output)
    yield _Finding("W_K x + b_K = k", "projected", made, projected)
    made_q, own_q = layer.query.project(seen.query_x), layer.query.split(seen.query_output)
    yield _Finding("W_Q x + b_Q = q", "projected", made_q, own_q)
    made_v = layer.norm("value", layer.value.project(seen.x))
    yield _Finding("W_V x + b_V = v", "value", made_v, value)
    normed = layer.norm("key", projected)
    if layer.key_norm is not None and seen.normed_key is not None:
        own = layer.key_norm.read(seen.normed_key, layer.n_kv_heads)
        yield _Finding("the norm's own output", "normed", normed, own)
    length = query.shape[1]
    positions = torch.arange(key.shape[1], device=key.device)
    yield _Finding("k as attended", "rotated", layer.rotate(normed, positions), key)
    scaled = layer.rotate(layer.norm("query", own_q), positions[:length])
    scaled = scaled * (layer.logit_scale / attended.scaling)
    yield _Finding("q as attended", "rotated", scaled, query)
    flat = torch.arange(query.shape[0] * length, device=key.device)
    weights = attended.weigh(flat // length, flat % length, causal=geometry.causal)
    grouped = torch.unflatten(torch.unflatten(weights, 0, (-1, length)), 2, (layer.n_kv_heads, -1))
    mixed = torch.einsum("bpkgc,bckd->bpkgd", grouped.to(value.dtype), value)
    heads = torch.unflatten(seen.heads_output, -1, (layer.n_heads, layer.d_value))
    yield _Finding("softmax(q k) v = what W_O reads", "rotated", mixed.flatten(2, 3), heads)
    blocks = layer.output_weights().to(heads.dtype)
    written = torch.einsum("bphd,hdm->bpm", heads, blocks)
    bias = getattr(layer.output_module, "bias", None)
    written = written if bias is None else written + bias
    yield _Finding("sum of W_O v = what is written", "output", written, seen.written)


def _check_cache(
    layer: AttentionLayer, seen: Observation, cached: tuple[Tensor, Tensor]
) -> Iterator[_Finding]:
    if seen.attended is not None:
        yield _Finding("k = HF's own cache", "rotated", seen.attended.key, cached[0])
        yield _Finding("v = HF's own cache", "value", seen.attended.value, cached[1])


@torch.inference_mode()
def read_cache(
    hf: nn.Module, geometry: AttentionGeometry, row: Inputs
) -> list[tuple[Tensor, Tensor]] | None:
    """Run without any hook and return the model's own k and v per layer, if it keeps a cache."""
    if geometry.site == "encoder":
        return None
    output = hf(**row, use_cache=True, past_key_values=_make_cache(hf))
    cache = getattr(output, "past_key_values", None)
    if cache is None:
        return None
    if hasattr(cache, "cross_attention_cache"):
        cross = geometry.site == "cross"
        cache = cache.cross_attention_cache if cross else cache.self_attention_cache
    found = []
    for layer in geometry.layers:
        index = layer.index if layer.source is None else geometry.layers[layer.source].index
        kept = cache.layers[index]
        keys, values = kept.keys, kept.values
        if layer.latent_modules is not None:
            expanded: Any = layer.module
            keys, values = expanded.expand_kv(keys, values)
        found.append((keys, values))
    return found


def _make_cache(hf: nn.Module) -> DynamicCache | None:
    """Return a cache that forgets nothing, or None where only the model can make its own."""
    config: Any = hf.config
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    if config.is_encoder_decoder or any("attention" not in kind for kind in kinds):
        return None
    return DynamicCache()


def _check_logits(
    hf: nn.Module, rows: Sequence[Inputs], outputs: Sequence[Any]
) -> Iterator[list[_Finding]]:
    with torch.inference_mode():
        plain = [hf(**row)[0] for row in rows]
    yield [
        _Finding("logits with hooks = logits without", "all", ours[0], reference)
        for ours, reference in zip(outputs, plain, strict=True)
    ]


def _check_padded(
    hf: nn.Module,
    site: Site,
    geometry: AttentionGeometry,
    rows: Sequence[Inputs],
    alone: Sequence[Sequence[Observation]],
    side: str,
    pad_token_id: int,
) -> list[dict[str, Any]]:
    """Run all rows in one padded batch; k, v and what W_O reads must be those of each row alone."""
    with torch.inference_mode():
        outputs = [hf(**row)[0][0] for row in rows]
    check = f"in a {side}-padded batch = alone"
    for padded in pad(hf, rows, side=side, pad_token_id=pad_token_id):
        batched, output = observe(hf, geometry, padded.inputs)
        ours = [padded.cut_output(output[0], row) for row in range(len(rows))]
        if (
            max(map(relative_difference, ours, outputs)) <= accepted_difference(hf)
            or side == "right"
        ):
            return _judge(site, _check_rows(geometry, batched, alone, padded, check), hf)
    note = "the model counts positions from the row's start: pad on the right"
    return [_tell(site, check, "all", 0, float("nan"), accepted_difference(hf), note)]


def _check_rows(
    geometry: AttentionGeometry,
    batched: Sequence[Observation],
    alone: Sequence[Sequence[Observation]],
    padded: Padded,
    check: str,
) -> Iterator[list[_Finding]]:
    for place in range(geometry.n_layers):
        together = batched[place]
        found = []
        for row, layers in enumerate(alone):
            single = layers[place]
            if together.attended is None or single.attended is None:
                continue
            for name, stage in (("key", "rotated"), ("value", "value")):
                ours = getattr(together.attended, name).transpose(1, 2)
                ours = padded.cut_keys(ours, row, site=geometry.site)
                own = getattr(single.attended, name).transpose(1, 2)[0]
                found.append(_Finding(check, stage, ours, own))
            if together.heads_output is not None and single.heads_output is not None:
                ours = padded.cut_queries(together.heads_output, row, site=geometry.site)
                found.append(_Finding(check, "output", ours, single.heads_output[0]))
        yield found
