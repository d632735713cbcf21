"""The geometry of an attention class that nobody has listed: guessed by structure, then verified.

One short batch is run. What feeds the attention interface is compared, layer by layer, with what
each guess makes of the layer's own projections; the guess that gives every stage is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import torch
from torch import nn

from probes.errors import UnsupportedModelError
from probes.models.compare import accepted_difference, check_layer, relative_difference
from probes.models.families import Family
from probes.models.geometry import AttentionGeometry
from probes.models.layer import AttentionLayer
from probes.models.observe import Observation, observe
from probes.models.projections import NormInput
from probes.models.rotary import Pairing

_INPUTS = (
    *(("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("q", "k", "v")),
    *(("q_lin", "k_lin", "v_lin"), ("query_proj", "key_proj", "value_proj")),
)
_FUSED = ("qkv_proj", "query_key_value", "Wqkv", "c_attn", "qkv")
_OUTPUTS = ("o_proj", "out_proj", "dense", "o", "c_proj", "Wo", "out_lin", "wo", "proj")
_NORMS = (
    *(("q_norm", "k_norm"), ("q_layernorm", "k_layernorm"), ("query_layernorm", "key_layernorm")),
    *(("query_norm", "key_norm"), ("qk_norm", "qk_norm"), ("q_ln", "k_ln")),
)
Read = Callable[[str, Family], AttentionLayer]

_NOTHING = torch.zeros(0)
_HIDDEN, _ROUNDED = -1e4, 1e-2
"""What hides a token, and what is no more than rounding, where something is added to logits."""
_LENGTH = 7
_MOST = 99  # more than there are checks


def list_modules(hf: Any) -> dict[str, nn.Module]:
    """Return the modules by name; of a model that also sees or hears, those of its text part."""
    text, modules = hf.config.get_text_config(), dict(hf.named_modules())
    if text is hf.config or hf.config.is_encoder_decoder:
        return modules
    parts = (name for name, module in modules.items() if getattr(module, "config", None) is text)
    part = next(parts, "")
    return {name: module for name, module in modules.items() if f"{name}.".startswith(part)}


def attends(hf: Any, name: str) -> bool:
    """Return whether a module's layer attends, by the config; hybrids have layers that do not."""
    kinds = getattr(hf.config.get_text_config(), "layer_types", None)
    digits = [int(part) for part in name.split(".") if part.isdigit()]
    if not kinds or not digits or hf.config.is_encoder_decoder or digits[0] >= len(kinds):
        return True
    return "linear" not in kinds[digits[0]]


@torch.inference_mode()
def derive_families(
    hf: nn.Module, modules: Mapping[str, nn.Module], read: Read, causal: Callable[[str], bool]
) -> tuple[dict[str, Family], dict[str, str]]:
    """Find how unlisted attention modules make what they attend with.

    Parameters
    ----------
    read
        Reads a module's layer by a guess; it raises UnsupportedModelError if that does not fit.
    causal
        Whether the module hides the future.

    Returns
    -------
    The families of the modules that were verified, and of the others the reason, by name.
    """
    guesses: dict[str, list[Family]] = {}
    reasons: dict[str, str] = {}
    for name, module in modules.items():
        fitting = [family for family in _guess(module) if _fits(read, name, family)]
        if fitting:
            guesses[name] = fitting
        else:
            reasons[name] = "no modules of it could be found that make queries, keys and values"
    found: dict[str, Family] = {}
    if not guesses:
        return found, reasons
    first = tuple(read(name, families[0]) for name, families in guesses.items())
    seen, _ = observe(hf, _enclose(first, causal=True), _draw_inputs(hf))
    for (name, families), heard in zip(guesses.items(), seen, strict=True):
        if heard.attended is None or heard.heads_output is None:
            reasons[name] = (
                "it attends inside its own forward pass, where queries and keys cannot be read"
            )
            continue
        trials = [_try(hf, read, name, family, heard, causal(name)) for family in families]
        family, failed = min(trials, key=lambda trial: len(trial[1]))
        if failed:
            reasons[name] = _explain(failed)
        else:
            found[name] = family
    return found, reasons


def _guess(module: Any) -> Iterator[Family]:
    """Propose families whose names the module has, the plainest first."""

    def has(name: str) -> bool:
        return isinstance(getattr(module, name, None), nn.Module)

    outputs = [name for name in _OUTPUTS if has(name)] or [".output.dense"]  # BERT's kin
    norms = [pair for pair in _NORMS if all(map(has, pair))] or [("q_norm", "k_norm")]
    inputs: list[dict[str, Any]] = [
        {"query": q, "key": k, "value": v} for q, k, v in _INPUTS if has(q) and has(k) and has(v)
    ]
    inputs += [
        {"query": name, "key": name, "value": name, "layout": layout}
        for name in _FUSED
        if has(name)
        for layout in ("blocks", "by head")
    ]
    if has("kv_b_proj"):
        inputs = [{"key": "kv_b_proj", "value": "kv_b_proj", "layout": "latent"}]
    normed = has(norms[0][0])
    acting = get_args(NormInput) if normed else ("head",)
    late = (False, True) if normed else (False,)
    for names, output, norm, how, after, pairing, positions in product(
        inputs, outputs, norms, acting, late, get_args(Pairing), ("rotary", "learned")
    ):
        if positions == "rotary" or pairing == "half":
            yield Family(
                type(module).__name__,
                **names,
                output=output,
                query_norm=norm[0],
                key_norm=norm[1],
                norm_input=how,
                late_norm=after,
                positions=positions,
                pairing=pairing,
                scale=1.0,
            )


def _fits(read: Read, name: str, family: Family) -> bool:
    try:
        read(name, family)
    except (UnsupportedModelError, AttributeError, StopIteration):
        return False
    return True


def _try(
    hf: nn.Module, read: Read, name: str, family: Family, heard: Observation, causal: bool
) -> tuple[Family, list[str]]:
    """Complete a guess with the scale that was observed; return it and the checks that it fails."""
    assert heard.attended is not None  # noqa: S101 - for the type checker
    layer = read(name, family)
    try:
        family = replace(
            family, scale=_find_scale(layer, heard), positions=_name(hf, family, heard)
        )
        layer = read(name, family)
        findings = list(check_layer(_enclose((layer,), causal=causal), layer, heard))
    except (RuntimeError, ValueError, IndexError):  # shapes that do not fit
        return family, ["k as attended"] * _MOST
    tolerance = accepted_difference(hf)
    return family, [
        finding.check
        for finding in findings
        if not finding.note
        and not relative_difference(finding.ours, finding.reference) <= tolerance
    ]


def _find_scale(layer: AttentionLayer, heard: Observation) -> float:
    """Return what multiplies q.k: the interface's scale, times that of the queries before it."""
    assert heard.attended is not None  # noqa: S101 - for the type checker
    assert heard.query_output is not None  # noqa: S101
    own = heard.attended.query.transpose(1, 2).double()
    query = layer.norm("query", layer.query.split(heard.query_output))
    made = layer.attend("query", query, torch.arange(own.shape[1], device=own.device)).double()
    ratio = float((own * made).sum() / made.square().sum())
    near = min((1.0, layer.d_head**-0.5), key=lambda known: abs(ratio / known - 1))
    return heard.attended.scaling * (near if abs(ratio / near - 1) < 1e-3 else ratio)


def _name(hf: nn.Module, family: Family, heard: Observation) -> str:
    if family.positions == "rotary":
        return "rotary"
    assert heard.attended is not None  # noqa: S101 - for the type checker
    mask = heard.attended.mask  # of what attends inside its own forward pass, with the bias
    added = mask[mask > _HIDDEN] if mask is not None and mask.is_floating_point() else _NOTHING
    if heard.attended.bias is not None or bool((added.abs() > _ROUNDED).any()):
        return "relative bias"
    if any("SinusoidalPosition" in type(module).__name__ for module in hf.modules()):
        return "sinusoidal"
    learned = any(
        isinstance(module, nn.Embedding) and ("pos" in name or name.endswith("wpe"))
        for name, module in hf.named_modules()
    )
    return "learned" if learned else "none"


def _explain(failed: list[str]) -> str:
    """Say in a sentence what the nearest guess does not give."""
    checks = " ".join(failed)
    if "k as attended" in checks:
        return "its keys as attended are not its keys' projection, normed and then rotated"
    if "q as attended" in checks:
        return "its queries as attended are not their projection, normed, rotated and scaled once"
    if "W_V x" in checks:
        return "its values as attended are not its values' projection"
    if "what W_O reads" in checks:
        return "a gate or norm is between its heads and W_O: W_O v is not what is written"
    if "who is visible" in checks:
        return "its mask is neither that of the past nor of a window"
    return f"what it computes is not what was expected ({'; '.join(failed)})"


def _enclose(layers: tuple[AttentionLayer, ...], *, causal: bool) -> AttentionGeometry:
    return AttentionGeometry("decoder", layers, causal=causal, positions="none", d_model=0)


def _draw_inputs(hf: Any) -> dict[str, torch.Tensor]:
    """Return one row of ids, beyond the special ones."""
    n_ids = hf.get_input_embeddings().weight.shape[0]
    ids = (torch.arange(_LENGTH, device=hf.device)[None] * 7 + 11) % n_ids
    return {"input_ids": ids} | ({"decoder_input_ids": ids} if hf.config.is_encoder_decoder else {})
