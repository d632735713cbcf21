"""Is what kvprobes reads what the model uses? Every site and stage against HF's own tensors.

No check takes its reference from the code it checks: keys and values are compared with the model's
own cache, and queries, keys, values, masks and scales together with what the model hands to W_O.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from probes.errors import UnsupportedModelError
from probes.models.checks import Check, tabulate_checks
from probes.models.families import ATTENDING
from probes.models.geometry import AttentionGeometry, Site
from probes.models.layer import AttentionLayer
from probes.models.observe import Observation, observe
from probes.models.padding import Padded, pad
from probes.models.tap import Attended
from probes.models.weights import check_finite

TOLERANCE = 1e-4
"""Largest accepted difference in float32, relative to the largest number of what is compared.

What is the same computation differs by less than 1e-5 (the tests' bound); a padded batch adds up in
another order, layer after layer, and a machine with other kernels in yet another."""

COARSE_TOLERANCE = 0.05
"""The same for models that compute in half precision."""

ROUNDING = 4 * torch.finfo(torch.float32).eps
"""How much of the largest logit rounding may take from it, and so from what its softmax gives."""

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Finding:
    """Two tensors that should be the same; ``after_softmax`` if logits are rounded on the way."""

    check: str
    stage: str
    ours: Tensor
    reference: Tensor
    after_softmax: bool = False
    note: str = ""


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
    A row per site, check and stage: ``part`` ("attention"), ``site, check, stage, layer`` (the
    place of the largest difference), ``difference`` (relative to the largest number),
    ``tolerance``, ``passed``, ``note`` (why a check does not apply; it counts as passed). If the
    model's own numbers are not finite, a single row of ``part`` "checkpoint" says so.
    """
    keeps = set(sites) != {"encoder"}
    plain = [hf(**row, **(_caching(hf) if keeps else {})) for row in rows]
    outputs = [output[0] for output in plain]
    if not all(bool(output.isfinite().all()) for output in outputs):
        return tabulate_checks([_blame_numbers(hf)])
    table: list[dict[str, Any]] = []
    for site, geometry in sites.items():
        seen = [observe(hf, geometry, row) for row in rows]
        layers = [layers for layers, _ in seen]
        caches = [_find_cache(geometry, output) for output in plain]
        largest = max(map(_bound_logits, layers))
        same = [
            _Finding("logits with hooks = logits without", "all", ours[0], output, True)
            for (_, ours), output in zip(seen, outputs, strict=True)
        ]
        table += _judge(site, _check_stages(geometry, layers, caches), hf, largest)
        table += _judge(site, [same], hf, largest)
        for side in ("right", "left"):
            found = _check_padded(hf, site, geometry, rows, layers, side, pad_token_id, outputs)
            table += _judge(site, found, hf, largest)
    return pd.DataFrame(table)


def refuse_unfaithful(name: str, table: pd.DataFrame) -> None:
    """Raise if any check of an examination failed.

    Raises
    ------
    UnsupportedModelError
        With every failed check: what to do about the tokenizer and the checkpoint, and the figures
        of the attention.
    """
    failed = table[~table["passed"]]
    of_files = failed[failed["part"] != "attention"]
    if len(of_files):
        raise UnsupportedModelError(f"{name} is refused: {' '.join(of_files['note'])}")
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


def _blame_numbers(hf: nn.Module) -> Check:
    """Say that a model by itself gives NaN or infinite numbers, and what may help."""
    dtype = str(next(hf.parameters()).dtype).removeprefix("torch.")
    told = f"without any hook it gives NaN or infinite numbers in {dtype}. "
    found = check_finite(hf)
    if not found.passed:
        told += found.told
    elif dtype == "float16":
        told += "They overflow: load it with --dtype bfloat16 or float32."
    else:
        told += "Its weights do not suit its config: check both, or fetch them again."
    return Check("checkpoint", "its own numbers are finite", passed=False, told=told)


def _bound_logits(layers: Sequence[Observation]) -> float:
    """Return what no logit of these layers exceeds: the largest |q| |k| times the scale."""
    seen = [layer.attended for layer in layers if layer.attended is not None]
    return max(
        (
            float(
                own.scaling
                * own.query.float().norm(dim=-1).max()
                * own.key.float().norm(dim=-1).max()
            )
            for own in seen
        ),
        default=0.0,
    )


def _judge(
    site: str, findings: Iterable[list[_Finding]], hf: nn.Module, largest_logit: float
) -> list[dict[str, Any]]:
    """Keep the worst layer of every check; one with a note does not apply, and a NaN fails."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    for layer, found in enumerate(findings):
        for finding in found:
            name = (finding.check, finding.stage)
            difference = relative_difference(finding.ours, finding.reference)
            if name in worst and difference <= worst[name]["difference"]:
                continue
            tolerance = accepted_difference(hf, largest_logit if finding.after_softmax else 0.0)
            worst[name] = {
                "part": "attention",
                "site": site,
                "check": finding.check,
                "stage": finding.stage,
                "layer": layer,
                "difference": difference,
                "tolerance": tolerance,
                "passed": bool(finding.note) or difference <= tolerance,
                "note": finding.note,
            }
    return list(worst.values())


def accepted_difference(hf: nn.Module, largest_logit: float = 0.0) -> float:
    """Return the largest accepted difference for a model, by its precision.

    Parameters
    ----------
    largest_logit
        What is rounded off a large logit changes its softmax by as much.
    """
    dtype = next(hf.parameters()).dtype
    least = TOLERANCE if dtype == torch.float32 else COARSE_TOLERANCE
    return max(least, ROUNDING * largest_logit)


def relative_difference(ours: Tensor, reference: Tensor) -> float:
    """Return the largest difference over the largest number; infinite where shapes differ."""
    if ours.shape != reference.shape:
        return float("inf")
    gap = (ours.float() - reference.float()).abs().max()
    return float(gap / reference.float().abs().max().clamp_min(torch.finfo(torch.float32).tiny))


def _check_stages(
    geometry: AttentionGeometry,
    seen: Sequence[Sequence[Observation]],
    caches: Sequence[list[tuple[Tensor, Tensor]] | None],
) -> Iterator[list[_Finding]]:
    for place, layer in enumerate(geometry.layers):
        found: list[_Finding] = []
        for observed, cache in zip(seen, caches, strict=True):
            found += check_layer(geometry, layer, observed[place])
            if cache is not None:
                found += _check_cache(layer, observed[place], cache[place])
        yield found


def check_layer(
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
    positions = torch.arange(key.shape[1], device=key.device)
    if layer.key_norm is not None and seen.normed_key is not None:
        own = layer.key_norm.read(seen.normed_key, layer.n_kv_heads)
        there = layer.rotate(normed, positions) if layer.late_norm else normed
        yield _Finding("the norm's own output", "normed", there, own)
    length = query.shape[1]
    yield _Finding("k as attended", "rotated", layer.rotate(normed, positions), key)
    scaled = layer.rotate(layer.norm("query", own_q), positions[:length])
    scaled = scaled * (layer.logit_scale / attended.scaling)
    yield _Finding("q as attended", "rotated", scaled, query)
    flat = torch.arange(query.shape[0] * length, device=key.device)
    if geometry.causal:
        yield _Finding("who is visible", "mask", *_compare_visible(layer, attended, length))
    weights = attended.weigh(flat // length, flat % length, causal=geometry.causal)
    grouped = torch.unflatten(torch.unflatten(weights, 0, (-1, length)), 2, (layer.n_kv_heads, -1))
    mixed = torch.einsum("bpkgc,bckd->bpkgd", grouped.to(value.dtype), value)
    heads = torch.unflatten(seen.heads_output, -1, (layer.n_heads, layer.d_value))
    yield _Finding("softmax(q k) v = what W_O reads", "rotated", mixed.flatten(2, 3), heads, True)
    blocks = layer.output_weights().to(heads.dtype)
    written = torch.einsum("bphd,hdm->bpm", heads, blocks)
    bias = getattr(layer.output_module, "bias", None)
    written = written if bias is None else written + bias
    yield _Finding("sum of W_O v = what is written", "output", written, seen.written)


def _compare_visible(
    layer: AttentionLayer, attended: Attended, length: int
) -> tuple[Tensor, Tensor]:
    """Return who sees whom in the first row, by the layer's window and by the model's own mask."""
    places = torch.arange(attended.key.shape[2], device=attended.key.device)
    back = places[:length, None] - places
    ours = (back >= 0) & (back < (layer.window or len(places)))
    own = attended.allow(torch.zeros_like(places[:length]), places[:length], causal=True)[:, 0]
    return ours.float(), (own > torch.finfo(own.dtype).min / 2).float()


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
    return _find_cache(geometry, hf(**row, **_caching(hf)))


def _caching(hf: nn.Module) -> dict[str, Any]:
    """Return what lets a model keep a cache, if it is one that can."""
    if "use_cache" not in inspect.signature(hf.forward).parameters:
        return {}
    return {"use_cache": True, "past_key_values": _make_cache(hf)}


def _find_cache(geometry: AttentionGeometry, output: Any) -> list[tuple[Tensor, Tensor]] | None:
    """Take a site's k and v per layer from a model's output, if it kept a cache."""
    if geometry.site == "encoder":
        return None
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
    if config.is_encoder_decoder or not kinds.issubset(ATTENDING - {"hybrid"}):
        return None
    return DynamicCache()


def _check_padded(
    hf: nn.Module,
    site: Site,
    geometry: AttentionGeometry,
    rows: Sequence[Inputs],
    alone: Sequence[Sequence[Observation]],
    side: str,
    pad_token_id: int,
    outputs: Sequence[Tensor],
) -> Iterator[list[_Finding]]:
    """Run all rows in one padded batch; k, v and what W_O reads must be those of each row alone."""
    check = f"in a {side}-padded batch = alone"
    tolerance = accepted_difference(hf, max(map(_bound_logits, alone)))
    for padded in pad(hf, rows, side=side, pad_token_id=pad_token_id):
        batched, output = observe(hf, geometry, padded.inputs)
        ours = [padded.cut_output(output[0], row) for row in range(len(rows))]
        pairs = zip(ours, outputs, strict=True)
        far = max(relative_difference(own, output[0]) for own, output in pairs)
        if far <= tolerance or side == "right":
            yield from _check_rows(geometry, batched, alone, padded, check)
            return
    note = "the model counts positions from the row's start: pad on the right"
    nothing = torch.full((1,), float("nan"))
    yield [_Finding(check, "all", nothing, nothing, note=note)]


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
                found.append(_Finding(check, stage, ours, own, True))
            if together.heads_output is not None and single.heads_output is not None:
                ours = padded.cut_queries(together.heads_output, row, site=geometry.site)
                found.append(_Finding(check, "output", ours, single.heads_output[0], True))
        yield found
