"""Reading an HF model's attention: which modules attend where, with which weights and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from probes.errors import UnsupportedModelError
from probes.models.columns import cut_columns
from probes.models.derive import attends, derive_families, list_modules
from probes.models.failures import failing_as_ours
from probes.models.families import (
    CROSS_ATTENTION,
    REFUSED,
    Family,
    find_family,
    list_families,
)
from probes.models.geometry import AttentionGeometry, Site
from probes.models.layer import AttentionLayer, find_temper
from probes.models.matrices import count_inputs, count_outputs, maps_vectors
from probes.models.projections import HeadNorm, Projection
from probes.models.rotary import Rotation

_D_HEAD = ("qk_head_dim", "head_dim", "attention_head_size", "head_size", "key_value_proj_dim")
_WIDTHS = ("hidden_size", "d_model", "dim", "n_embd")
_HEADS = ("num_attention_heads", "num_heads", "n_heads", "n_head")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "kv_heads")


def read_sites(hf: PreTrainedModel) -> Mapping[Site, AttentionGeometry]:
    """Read the attention geometry of every site of an HF model.

    Returns
    -------
    ``decoder`` for a causal model; ``encoder`` for one that sees both ways; ``encoder``,
    ``decoder`` and ``cross`` for an encoder-decoder. The first is the model's main site.

    Raises
    ------
    UnsupportedModelError
        If any layer's attention cannot be addressed exactly: it names the architecture, what is
        missing and the families that work.
    """
    modules = list_modules(hf)
    families = {name: own for name, module in modules.items() if (own := find_family(module))}
    families = _add_derived(hf, modules, families)
    named = {name: module for name, module in modules.items() if name in families}
    sites: dict[Site, dict[str, nn.Module]] = {}
    for name, module in named.items():
        sites.setdefault(_find_site(hf, name, module), {})[name] = module
    if "cross" in sites and "encoder" not in sites:
        raise refuse(hf, "it has cross-attention layers without an encoder of its own")
    order: tuple[Site, ...] = ("encoder", "decoder", "cross")
    return {site: _read_site(hf, site, sites[site], families) for site in order if site in sites}


def refuse(hf: nn.Module, reason: str) -> UnsupportedModelError:
    """Return the error that says why a model's attention cannot be addressed."""
    return UnsupportedModelError(
        f"kvprobes cannot address the attention of {type(hf).__name__} exactly: {reason}. "
        f"Families that work: {', '.join(list_families())}. Choose a model of one of these."
    )


def _add_derived(
    hf: PreTrainedModel, modules: Mapping[str, nn.Module], families: dict[str, Family]
) -> dict[str, Family]:
    """Add the families of classes that are not listed, in the model's order; refuse what cannot be.

    Raises
    ------
    UnsupportedModelError
        If the model attends anywhere in a way that cannot be read.
    """
    strangers = {
        name: module
        for name, module in modules.items()
        if "Attention" in type(module).__name__
        and name not in families
        and not any(other.startswith(f"{name}.") for other in families)
        and attends(hf, name)
    }
    for stranger in strangers.values():
        if (reason := REFUSED.get(type(stranger).__name__)) is not None:
            raise refuse(hf, reason)
    outer = {name for name in strangers for other in strangers if other.startswith(f"{name}.")}
    strangers = {name: module for name, module in strangers.items() if name not in outer}
    if strangers:
        if hf.main_input_name != "input_ids":
            raise refuse(hf, f"it reads {hf.main_input_name}, with which it cannot be tried here")

        def read(name: str, family: Family) -> AttentionLayer:
            module = hf.get_submodule(name)
            return _LayerReader(hf, family, name, module, _find_site(hf, name, module), []).read()

        def hides(name: str) -> bool:
            module = hf.get_submodule(name)
            return _find_site(hf, name, module) == "decoder" and _is_causal(hf, module)

        with failing_as_ours("Trying the model on a short input", "Check config.json."):
            derived, reasons = derive_families(hf, strangers, read, hides)
        for name, reason in reasons.items():
            raise refuse(
                hf, f"its attention ({type(strangers[name]).__name__}) was tried: {reason}"
            )
        families = families | derived
    if not families:
        raise refuse(hf, "it has no attention modules")
    return {name: families[name] for name in modules if name in families}


def _find_site(hf: PreTrainedModel, name: str, module: nn.Module) -> Site:
    parts = name.split(".")
    if CROSS_ATTENTION.intersection(parts):
        return "cross"
    if parts[-1] == "crossattention" or getattr(module, "is_cross_attention", False):
        raise refuse(hf, "it has cross-attention layers without an encoder of its own")
    if hf.config.is_encoder_decoder:
        return "encoder" if "encoder" in parts else "decoder"
    return "decoder" if _is_causal(hf, module) else "encoder"


def _is_causal(hf: PreTrainedModel, module: nn.Module) -> bool:
    config = hf.config.get_text_config()
    causal = bool(getattr(module, "is_causal", True))
    return causal and getattr(config, "is_causal", True) is not False


def _read_site(
    hf: PreTrainedModel,
    site: Site,
    modules: Mapping[str, nn.Module],
    families: Mapping[str, Family],
) -> AttentionGeometry:
    layers: list[AttentionLayer] = []
    for name, module in modules.items():
        layers.append(_LayerReader(hf, families[name], name, module, site, layers).read())
    numbers = [layer.index for layer in layers]
    if numbers != sorted(set(numbers)):
        raise refuse(hf, "its attention modules are not numbered in order, one a layer")
    n_layers = _count_layers(hf, site)
    if len(layers) > n_layers or numbers[-1] >= n_layers:
        raise refuse(hf, f"it has {len(layers)} attention modules in {n_layers} layers")
    module, family = layers[0].module, families[layers[0].name]
    config = hf.config.get_text_config()
    width = next(int(getattr(config, name)) for name in _WIDTHS if hasattr(config, name))
    return AttentionGeometry(
        site=site,
        layers=tuple(layers),
        causal=site == "decoder" and _is_causal(hf, module),
        positions="none" if site == "cross" else _name_positions(family, layers, config),
        d_model=width,
        skipped=tuple(sorted(set(range(n_layers)) - set(numbers))),
    )


def _name_positions(family: Family, layers: list[AttentionLayer], config: Any) -> str:
    positions = family.positions
    turning = [layer for layer in layers if layer.rotation is not None]
    if positions == "rotary" and not turning:
        return "ALiBi" if getattr(config, "alibi", False) else "none"
    if turning and all(layer.rotation.d_rotary < layer.d_head for layer in turning):  # type: ignore[union-attr]
        return "partial rotary"
    return positions


def _count_layers(hf: PreTrainedModel, site: Site) -> int:
    config = hf.config.get_text_config()
    if not hf.config.is_encoder_decoder:
        return int(config.num_hidden_layers)
    names = ("encoder_layers", "num_layers", "num_hidden_layers")
    if site != "encoder":
        names = ("decoder_layers", "num_decoder_layers", "num_hidden_layers")
    return next(int(getattr(config, name)) for name in names if getattr(config, name, None))


class _LayerReader:
    """Reads one attention module; `before` are the layers already read at this site."""

    def __init__(
        self,
        hf: PreTrainedModel,
        family: Family,
        name: str,
        module: nn.Module,
        site: Site,
        before: list[AttentionLayer],
    ) -> None:
        self.hf, self.family, self.name, self.site = hf, family, name, site
        self.module: Any = module
        self.before = before
        self.config: Any = getattr(module, "config", hf.config.get_text_config())
        width = self._count(_WIDTHS) or 0
        self.d_head = self._count(_D_HEAD) or width // (self._count(_HEADS) or 1)

    def read(self) -> AttentionLayer:
        source = self._find_source()
        if source is None:
            query, key, value = self._read_projections()
            norms = {part: self._norm(f"{part}_norm") for part in ("key", "value")}
        else:
            taken = self.before[source]
            query = self._read_own_query()
            key, value = taken.key, taken.value
            norms = {"key": taken.key_norm, "value": taken.value_norm}
        output_name = self._locate(self.family.output)
        output = self._linear(output_name)
        layer = AttentionLayer(
            index=self._number(),
            name=self.name,
            module=self.module,
            query=query,
            key=key,
            value=value,
            output_name=output_name,
            output_module=output,
            logit_scale=self._scale(),
            query_norm=self._norm("query_norm"),
            key_norm=norms["key"],
            value_norm=norms["value"],
            rotation=self._rotation(),
            softcap=getattr(self.module, "attn_logit_softcapping", None),
            window=self._window(),
            source=source,
            late_norm=self.family.late_norm,
            chunk=self._chunk(),
            temper=find_temper(self.module),
            latent_modules=(
                (self.module.kv_a_layernorm, self.module.kv_a_proj_with_mqa)
                if self.family.layout == "latent"
                else None
            ),
        )
        n_inputs = count_inputs(output)
        if n_inputs != layer.n_heads * layer.d_value:
            raise refuse(
                self.hf,
                f"{output_name} reads {n_inputs} numbers, where {layer.n_heads} heads of "
                f"{layer.d_value} were expected",
            )
        return layer

    def _number(self) -> int:
        digits = [part for part in self.name.split(".") if part.isdigit()]
        return int(digits[0]) if digits else 0

    def _kind(self) -> str:
        return str(self.config.layer_types[self._number()])

    def _find_source(self) -> int | None:
        if not getattr(self.module, "is_kv_shared_layer", False):
            return None
        kind = self.module.layer_type
        same = [
            place
            for place, layer in enumerate(self.before)
            if layer.source is None and getattr(layer.module, "layer_type", None) == kind
        ]
        if not same:
            raise refuse(self.hf, f"{self.name} shares keys with a layer that was not found")
        return same[-1]

    def _read_projections(self) -> tuple[Projection, Projection, Projection]:
        family = self.family
        if getattr(self.module, family.value, ...) is None:  # keys are reused as values
            names = (family.query, family.key, family.key)
        else:
            names = (family.query, family.key, family.value)
        if family.layout == "latent":
            names = ("q_proj" if self.module.q_proj is not None else "q_b_proj", *names[1:])
        modules = [self._linear(self._locate(name)) for name in names]
        widths = [count_outputs(module) for module in modules]
        layout = family.layout
        if getattr(self.module, "new_decoder_architecture", False):  # Falcon
            layout = "by group"
        elif getattr(self.module, "multi_query", True) is False:  # GPT-BigCode, as GPT-NeoX then
            layout = "by head"
        columns = cut_columns(layout, widths, self._numbers())
        if columns is None:
            raise refuse(
                self.hf,
                f"{self.name} makes {widths} numbers for q, k and v, which do not fit heads of "
                f"{self.d_head}",
            )
        query, key, value = (
            Projection(self._locate(name), module, cut)
            for name, module, cut in zip(names, modules, columns, strict=True)
        )
        if family.layout == "latent":  # x: the latent, then the shared part of k
            d_shared = self.module.qk_rope_head_dim
            key, value = replace(key, d_shared=d_shared), replace(value, d_unused=d_shared)
        return query, key, value

    def _read_own_query(self) -> Projection:
        name = self._locate(self.family.query)
        module = self._linear(name)
        width = count_outputs(module)
        cut = torch.unflatten(torch.arange(width), 0, (-1, self.d_head))
        return Projection(name, module, cut)

    def _numbers(self) -> dict[str, int]:
        heads = kv_heads = 0
        if self.family.layout == "blocks":
            heads = self._count(_HEADS) or 0
            kv_heads = self._count(_KV_HEADS) or heads
        return {
            "d_head": self.d_head,
            "n_heads": heads,
            "n_kv_heads": kv_heads,
            "d_own": getattr(self.module, "qk_nope_head_dim", 0),
            "d_value": getattr(self.module, "v_head_dim", 0),
        }

    def _count(self, names: tuple[str, ...]) -> int | None:
        """Return the first number that the module, or else its config, has under these names."""
        owners = ((owner, name) for owner in (self.module, self.config) for name in names)
        return next((int(n) for own, name in owners if (n := getattr(own, name, None))), None)

    def _locate(self, name: str) -> str:
        return self.name.rpartition(".")[0] + name if name[0] == "." else f"{self.name}.{name}"

    def _linear(self, name: str) -> nn.Module:
        """Return the linear module `name`, plain, quantised or with an adapter."""
        module: nn.Module = self.hf.get_submodule(name)
        if not maps_vectors(module):
            raise refuse(self.hf, f"{name} is a {type(module).__name__}, which is no linear layer")
        return module

    def _norm(self, which: str) -> HeadNorm | None:
        module = getattr(self.module, getattr(self.family, which), None)
        norm = module if isinstance(module, nn.Module) else nn.Identity()
        bound = getattr(self.module, "clip_qkv", getattr(self.config, "clip_qkv", None))
        if bound is not None:
            norm = nn.Sequential(norm, nn.Hardtanh(-bound, bound))
        return None if isinstance(norm, nn.Identity) else HeadNorm(norm, self.family.norm_input)

    def _scale(self) -> float:
        scale = self.family.scale
        if isinstance(scale, float):
            return scale
        found = float(getattr(self.module, scale))
        if scale == "scale_attn":  # the divisor
            return 1 / found
        return found**-0.5 if scale == "head_dim" else found

    def _window(self) -> int | None:
        module, config = self.module, self.config
        if type(module).__name__ == "GPTNeoSelfAttention":
            return int(config.window_size) if module.attention_type == "local" else None
        kinds = getattr(config, "layer_types", None)  # by which the model chooses a layer's mask
        if getattr(module, "is_sliding", True) is False or (
            kinds and "sliding" not in self._kind()
        ):
            return None
        window = getattr(module, "sliding_window", getattr(config, "sliding_window", None))
        return int(window) if window else None  # Qwen2-MoE calls no window 0

    def _chunk(self) -> int | None:
        kinds = getattr(self.config, "layer_types", None)
        chunked = bool(kinds) and "chunked" in self._kind()
        return int(self.config.attention_chunk_size) if chunked else None

    def _rotation(self) -> Rotation | None:
        if self.family.positions != "rotary" or not self.family.rotates(self.module):
            return None
        owner = self.module if hasattr(self.module, "embed_positions") else self._find_rotary()
        layered = isinstance(getattr(owner, "rope_type", None), dict)
        start = self.module.qk_nope_head_dim if self.family.layout == "latent" else 0
        pairing = self.family.pairing
        if pairing == "interleaved_to_half" and not self.config.rope_interleave:
            pairing = "half"
        kind = self._kind() if layered else None
        return Rotation.wrap(owner, pairing=pairing, start=start, layer_type=kind)

    def _find_rotary(self) -> nn.Module:
        if isinstance(getattr(self.module, "rotary_emb", None), nn.Module):
            found: nn.Module = self.module.rotary_emb
            return found
        parts = self.name.split(".")
        for end in range(len(parts), -1, -1):
            holder = self.hf.get_submodule(".".join(parts[:end]))
            for attribute in ("rotary_emb", "pos_emb"):
                if isinstance(getattr(holder, attribute, None), nn.Module):
                    rotary: nn.Module = getattr(holder, attribute)
                    return rotary
        raise refuse(self.hf, f"no module named rotary_emb was found for {self.name}")
