"""Is what kvprobes reads what the model uses? Every site and stage against HF's own tensors.

No check takes its reference from the code it checks: keys and values are compared with the model's
own cache, and queries, keys, values, masks and scales together with what the model hands to W_O.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from probes.errors import UnsupportedModelError
from probes.models.checks import Check, tabulate_checks
from probes.models.compare import Finding, accepted_difference, check_layer, relative_difference
from probes.models.families import ATTENDING
from probes.models.geometry import AttentionGeometry, Site
from probes.models.layer import AttentionLayer
from probes.models.matrices import remembering
from probes.models.observe import Observation, observe
from probes.models.padding import Padded, pad
from probes.models.weights import check_finite

Inputs = Mapping[str, Tensor]


@torch.inference_mode()
@remembering()
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
            Finding("logits with hooks = logits without", "all", ours[0], output, True)
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
    site: str, findings: Iterable[list[Finding]], hf: nn.Module, largest_logit: float
) -> list[dict[str, Any]]:
    """Keep the worst layer of every check; one with a note does not apply, and a NaN fails."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    plain, rounded = accepted_difference(hf), accepted_difference(hf, largest_logit)
    for layer, found in enumerate(findings):
        for finding in found:
            name = (finding.check, finding.stage)
            difference = relative_difference(finding.ours, finding.reference)
            if name in worst and difference <= worst[name]["difference"]:
                continue
            tolerance = rounded if finding.after_softmax else plain
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


def _check_stages(
    geometry: AttentionGeometry,
    seen: Sequence[Sequence[Observation]],
    caches: Sequence[list[tuple[Tensor, Tensor]] | None],
) -> Iterator[list[Finding]]:
    for place, layer in enumerate(geometry.layers):
        found: list[Finding] = []
        for observed, cache in zip(seen, caches, strict=True):
            found += check_layer(geometry, layer, observed[place])
            if cache is not None:
                found += _check_cache(layer, observed[place], cache[place])
        yield found


def _check_cache(
    layer: AttentionLayer, seen: Observation, cached: tuple[Tensor, Tensor]
) -> Iterator[Finding]:
    if seen.attended is not None:
        yield Finding("k = HF's own cache", "attended", seen.attended.key, cached[0])
        yield Finding("v = HF's own cache", "value", seen.attended.value, cached[1])


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
        if kept.get_seq_length() > keys.shape[-2]:  # it forgets what has left the window
            return None
        if layer.latent_modules is not None:
            expanded: Any = layer.module
            keys, values = expanded.expand_kv(keys, values)
        repeats = keys.shape[1] // layer.n_kv_heads  # Falcon keeps a group's key once a query head
        found.append((keys[:, ::repeats], values[:, ::repeats]))
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
) -> Iterator[list[Finding]]:
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
    yield [Finding(check, "all", nothing, nothing, note=note)]


def _check_rows(
    geometry: AttentionGeometry,
    batched: Sequence[Observation],
    alone: Sequence[Sequence[Observation]],
    padded: Padded,
    check: str,
) -> Iterator[list[Finding]]:
    for place in range(geometry.n_layers):
        together = batched[place]
        found = []
        for row, layers in enumerate(alone):
            single = layers[place]
            if together.attended is None or single.attended is None:
                continue
            for name, stage in (("key", "attended"), ("value", "value")):
                ours = getattr(together.attended, name).transpose(1, 2)
                ours = padded.cut_keys(ours, row, site=geometry.site)
                own = getattr(single.attended, name).transpose(1, 2)[0]
                found.append(Finding(check, stage, ours, own, True))
            if together.heads_output is not None and single.heads_output is not None:
                ours = padded.cut_queries(together.heads_output, row, site=geometry.site)
                found.append(Finding(check, "output", ours, single.heads_output[0], True))
        yield found
