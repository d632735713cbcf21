"""The attention modules that kvprobes can address exactly, and reading a model's geometry.

A family is admitted by the exact class of its attention module, never by the look of its attribute
names: a module with familiar names may still scale, clip, share or bias in a way of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from probes.errors import UnsupportedModelError
from probes.models.geometry import AttentionGeometry
from probes.models.projections import Projection, Projections
from probes.models.rotary import Rotation


@dataclass(frozen=True)
class Family:
    """Names inside an attention module; one that starts with a dot lies beside the module."""

    shown: str
    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    output: str = "o_proj"
    query_norm: str = "q_norm"
    key_norm: str = "k_norm"
    positions: str = "rotary"

    @property
    def is_fused(self) -> bool:
        """Whether one module makes q, k and v, in this order, each d_model wide."""
        return self.query == self.key == self.value


FAMILIES = {
    "LlamaAttention": Family("Llama (SmolLM2, TinyLlama, MiniMind)"),
    "MistralAttention": Family("Mistral"),
    "Qwen2Attention": Family("Qwen2"),
    "Qwen3Attention": Family("Qwen3"),
    "GemmaAttention": Family("Gemma 1"),
    "PhiAttention": Family(
        "Phi 1 and 2", output="dense", query_norm="q_layernorm", key_norm="k_layernorm"
    ),
    "OPTAttention": Family("OPT", output="out_proj", positions="learned"),
    "GPT2Attention": Family(
        "GPT-2",
        query="c_attn",
        key="c_attn",
        value="c_attn",
        output="c_proj",
        positions="learned",
    ),
    "BertSelfAttention": Family(
        "BERT",
        query="query",
        key="key",
        value="value",
        output=".output.dense",
        positions="learned",
    ),
}


def read_geometry(hf: PreTrainedModel) -> AttentionGeometry:
    """Read the attention geometry of an HF model.

    Raises
    ------
    UnsupportedModelError
        If any layer's attention cannot be addressed exactly: it names the architecture, what is
        missing and the families that work.
    """
    config = hf.config.get_text_config()
    if config.is_encoder_decoder:
        raise _refuse(hf, "it has an encoder and a decoder, with attention across them")
    named = {name: module for name, module in hf.named_modules() if _family(module) is not None}
    if any(getattr(module, "is_cross_attention", False) for module in named.values()):
        raise _refuse(hf, "it has cross-attention layers")
    kinds = {type(module).__name__ for module in named.values()}
    n_layers = config.num_hidden_layers
    if len(named) != n_layers or len(kinds) != 1:
        raise _refuse(hf, _describe_attention(hf, n_found=len(named), n_layers=n_layers))
    modules = tuple(named.values())
    if [getattr(module, "layer_idx", None) for module in modules] != list(range(n_layers)):
        raise _refuse(hf, "its attention modules are not numbered 0, 1, 2, ... in order")
    scales = {float(module.scaling) for module in modules}
    if len(scales) != 1:
        raise _refuse(hf, f"its layers scale the attention logits differently ({sorted(scales)})")

    family = FAMILIES[kinds.pop()]
    n_heads = config.num_attention_heads
    n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
    d_model = config.hidden_size
    d_head = getattr(config, "head_dim", None) or d_model // n_heads
    return AttentionGeometry(
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        d_head=d_head,
        d_model=d_model,
        causal=bool(modules[0].is_causal) and getattr(config, "is_causal", True) is not False,
        positions=family.positions,
        logit_scale=scales.pop(),
        attention_modules=modules,
        projections=tuple(
            _read_layer(hf, family, name, n_heads, n_kv_heads, d_head, d_model) for name in named
        ),
        rotation=_read_rotation(hf, family),
    )


def _family(module: nn.Module) -> Family | None:
    """Return the family of a module that is exactly one of transformers' own attention classes."""
    if not type(module).__module__.startswith("transformers.models."):
        return None
    return FAMILIES.get(type(module).__name__)


def _read_layer(
    hf: PreTrainedModel,
    family: Family,
    attention: str,
    n_heads: int,
    n_kv_heads: int,
    d_head: int,
    d_model: int,
) -> Projections:
    def locate(name: str) -> str:
        return attention.rpartition(".")[0] + name if name[0] == "." else f"{attention}.{name}"

    def project(name: str, heads: int, start: int) -> Projection:
        width = heads * d_head
        module = _linear(hf, locate(name), 3 * width if family.is_fused else width, d_model)
        columns = slice(start, start + width)
        return Projection(
            locate(name), module, columns, heads, d_head, input_first=isinstance(module, Conv1D)
        )

    def norm(name: str) -> nn.Module | None:
        module: nn.Module | None = getattr(hf.get_submodule(attention), name, None)
        return module

    width = n_heads * d_head if family.is_fused else 0
    output = _linear(hf, locate(family.output), d_model, n_heads * d_head)
    return Projections(
        query=project(family.query, n_heads, 0),
        key=project(family.key, n_kv_heads, width),
        value=project(family.value, n_kv_heads, 2 * width),
        output_name=locate(family.output),
        output_module=output,
        output_input_first=isinstance(output, Conv1D),
        query_norm=norm(family.query_norm),
        key_norm=norm(family.key_norm),
    )


def _linear(hf: PreTrainedModel, name: str, n_outputs: int, n_inputs: int) -> nn.Module:
    """Return the plain linear module `name`, or refuse it (adapters and quantised layers too)."""
    module: nn.Module = hf.get_submodule(name)
    if type(module) not in (nn.Linear, Conv1D):
        raise _refuse(
            hf,
            f"{name} is a {type(module).__name__}, not a plain linear layer (merge adapters and "
            "load unquantised weights first)",
        )
    expected = (n_inputs, n_outputs) if isinstance(module, Conv1D) else (n_outputs, n_inputs)
    found = tuple(module.get_parameter("weight").shape)
    if found != expected:
        raise _refuse(hf, f"{name} has a weight of shape {found}, where {expected} was expected")
    return module


def _read_rotation(hf: PreTrainedModel, family: Family) -> Rotation | None:
    if family.positions != "rotary":
        return None
    module = getattr(hf.base_model, "rotary_emb", None)
    if module is None:
        raise _refuse(hf, f"its inner model {type(hf.base_model).__name__} has no rotary_emb")
    return Rotation.wrap(module)


def _describe_attention(hf: PreTrainedModel, *, n_found: int, n_layers: int) -> str:
    others = sorted(
        {
            type(module).__name__
            for module in hf.modules()
            if "Attention" in type(module).__name__ and _family(module) is None
        }
    )
    if n_found:
        return (
            f"{n_found} of its attention modules are of a known kind, where one in each of the "
            f"{n_layers} layers was expected"
        )
    return (
        f"its attention ({', '.join(others)}) has not been checked to give q, k and v exactly"
        if others
        else "it has no attention modules"
    )


def _refuse(hf: PreTrainedModel, reason: str) -> UnsupportedModelError:
    families = ", ".join(family.shown for family in FAMILIES.values())
    return UnsupportedModelError(
        f"kvprobes cannot address the attention of {type(hf).__name__} exactly: {reason}. "
        f"Families that work: {families}. Choose a model of one of these."
    )
