"""The attention modules that kvprobes knows, by exact class, and the names inside them.

A family is admitted by the exact class of its attention module, never by the look of its attribute
names: a module with familiar names may still scale, clip, share or bias in a way of its own. What
is admitted still has to pass the examination of `probes.models.examine`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from probes.models.projections import NormInput
from probes.models.rotary import Pairing

Layout = Literal["separate", "blocks", "by head", "by group", "codegen", "latent"]
"""One module each; one module with all of q, then k, then v; with q, k, v head by head; with the q
of a group, then its k and v; CodeGen's four strips of q, v, k; multi-head latent attention."""


@dataclass(frozen=True)
class Family:
    """Names inside an attention module; one that starts with a dot is beside the module.

    Parameters
    ----------
    scale
        The module's attribute that scales the logits; a number where it is written in the code.
    late_norm
        Whether queries and keys are normed after the rotation.
    rotates
        Whether a module with rotary positions uses them (some layers have none).
    """

    shown: str
    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    output: str = "o_proj"
    layout: Layout = "separate"
    query_norm: str = "q_norm"
    key_norm: str = "k_norm"
    value_norm: str = "v_norm"
    norm_input: NormInput = "head"
    positions: str = "rotary"
    pairing: Pairing = "half"
    scale: str | float = "scaling"
    late_norm: bool = False
    rotates: Callable[[Any], bool] = lambda _: True


def _uses_rope(module: Any) -> bool:
    return bool(module.use_rope)


def _is_sliding(module: Any) -> bool:
    return module.sliding_window is not None


def _is_sliding_or_all_are(module: Any) -> bool:
    return module.sliding_window is None or bool(module.is_sliding)


def _fused(name: str, output: str, layout: Layout = "by head") -> dict[str, Any]:
    return {"query": name, "key": name, "value": name, "output": output, "layout": layout}


_LAYERNORMS: dict[str, Any] = {"query_norm": "q_layernorm", "key_norm": "k_layernorm"}
_BERT = Family(
    "BERT",
    query="query",
    key="key",
    value="value",
    output=".output.dense",
    positions="learned",
)
_BART = Family("BART", output="out_proj", positions="learned")
_T5 = Family("T5", query="q", key="k", value="v", output="o", positions="relative bias")
_LATENT = Family(
    "DeepSeek-V3",
    key="kv_b_proj",
    value="kv_b_proj",
    layout="latent",
    pairing="interleaved_to_half",
)

_HUNYUAN = Family(
    "HunYuan",
    query_norm="query_layernorm",
    key_norm="key_layernorm",
    norm_input="heads first",
    late_norm=True,
)

FAMILIES: dict[str, Family] = {
    "LlamaAttention": Family("Llama (SmolLM2, TinyLlama, MiniMind2)"),
    "MistralAttention": Family("Mistral"),
    "MinistralAttention": Family("Ministral"),
    "MixtralAttention": Family("Mixtral"),
    "Qwen2Attention": Family("Qwen2"),
    "Qwen2MoeAttention": Family("Qwen2-MoE"),
    "Qwen3Attention": Family("Qwen3"),
    "Qwen3MoeAttention": Family("Qwen3-MoE"),
    "GemmaAttention": Family("Gemma 1"),
    "Gemma2Attention": Family("Gemma 2"),
    "Gemma3Attention": Family("Gemma 3", norm_input="heads first"),
    "Gemma3nTextAttention": Family("Gemma 3n"),
    "Gemma4TextAttention": Family("Gemma 4"),
    "PhiAttention": Family("Phi 1 and 2", output="dense", norm_input="heads first", **_LAYERNORMS),
    "Phi3Attention": Family("Phi-3", **_fused("qkv_proj", "o_proj", "blocks")),
    "StableLmAttention": Family("StableLM", norm_input="heads first", **_LAYERNORMS),
    "PersimmonAttention": Family("Persimmon", **_fused("query_key_value", "dense"), **_LAYERNORMS),
    "OlmoAttention": Family("OLMo"),
    "OlmoeAttention": Family("OLMoE", norm_input="all heads"),
    "Olmo2Attention": Family("OLMo 2", norm_input="all heads"),
    "Olmo3Attention": Family("OLMo 3", norm_input="all heads"),
    "CohereAttention": Family("Cohere (Command R)", pairing="interleaved"),
    "Cohere2Attention": Family("Cohere 2", pairing="interleaved", rotates=_is_sliding),
    "GlmAttention": Family("GLM", pairing="interleaved"),
    "Glm4Attention": Family("GLM-4", pairing="interleaved"),
    "Ernie4_5Attention": Family("ERNIE 4.5", pairing="interleaved"),
    "HeliumAttention": Family("Helium", pairing="interleaved"),
    "NemotronAttention": Family("Nemotron"),
    "GraniteAttention": Family("Granite"),
    "Starcoder2Attention": Family("StarCoder 2"),
    "SmolLM3Attention": Family("SmolLM3", rotates=_uses_rope),
    "Exaone4Attention": Family(
        "EXAONE 4", norm_input="heads first", rotates=_is_sliding_or_all_are
    ),
    "ApertusAttention": Family("Apertus", norm_input="heads first"),
    "ArceeAttention": Family("Arcee"),
    "SeedOssAttention": Family("Seed-OSS"),
    "GptOssAttention": Family("gpt-oss"),
    "Llama4TextAttention": Family(
        "Llama 4",
        query_norm="qk_norm",
        key_norm="qk_norm",
        late_norm=True,
        pairing="interleaved",
        rotates=_uses_rope,
    ),
    "HunYuanDenseV1Attention": replace(_HUNYUAN, shown="HunYuan dense"),
    "HunYuanMoEV1Attention": replace(_HUNYUAN, shown="HunYuan-MoE"),
    "NanoChatAttention": Family(
        "NanoChat", norm_input="heads first", late_norm=True, pairing="half_back"
    ),
    "Lfm2Attention": Family("LFM2", output="out_proj", **_LAYERNORMS),
    "DeepseekV2Attention": replace(_LATENT, shown="DeepSeek-V2", pairing="interleaved"),
    "DeepseekV3Attention": _LATENT,
    "GPTNeoXAttention": Family("GPT-NeoX (Pythia)", **_fused("query_key_value", "dense")),
    "GPTJAttention": Family("GPT-J", output="out_proj", pairing="interleaved", scale="scale_attn"),
    "CodeGenAttention": Family(
        "CodeGen",
        pairing="interleaved",
        scale="scale_attn",
        **_fused("qkv_proj", "out_proj", "codegen"),
    ),
    "GPTNeoSelfAttention": Family("GPT-Neo", output="out_proj", positions="learned", scale=1.0),
    "GPT2Attention": Family("GPT-2", positions="learned", **_fused("c_attn", "c_proj", "blocks")),
    "GPTBigCodeAttention": Family(
        "GPT-BigCode (StarCoder)", positions="learned", **_fused("c_attn", "c_proj", "blocks")
    ),
    "OPTAttention": Family("OPT", output="out_proj", positions="learned"),
    "BioGptAttention": Family("BioGPT", output="out_proj", positions="learned"),
    "BloomAttention": Family(
        "BLOOM", positions="ALiBi", scale="inv_norm_factor", **_fused("query_key_value", "dense")
    ),
    "FalconAttention": Family(
        "Falcon",
        scale="inv_norm_factor",
        rotates=lambda module: not module.config.alibi,
        **_fused("query_key_value", "dense", "blocks"),
    ),
    "MptAttention": Family(
        "MPT", positions="ALiBi", scale="softmax_scale", **_fused("Wqkv", "out_proj", "blocks")
    ),
    "XGLMAttention": Family("XGLM", output="out_proj", positions="sinusoidal"),
    "BertSelfAttention": _BERT,
    "RobertaSelfAttention": replace(_BERT, shown="RoBERTa"),
    "XLMRobertaSelfAttention": replace(_BERT, shown="XLM-RoBERTa"),
    "ElectraSelfAttention": replace(_BERT, shown="ELECTRA"),
    "CamembertSelfAttention": replace(_BERT, shown="CamemBERT"),
    "DistilBertSelfAttention": Family(
        "DistilBERT",
        query="q_lin",
        key="k_lin",
        value="v_lin",
        output="out_lin",
        positions="learned",
    ),
    "ModernBertAttention": Family("ModernBERT", scale="head_dim", **_fused("Wqkv", "Wo", "blocks")),
    "T5Attention": _T5,
    "MT5Attention": replace(_T5, shown="mT5"),
    "UMT5Attention": replace(_T5, shown="UMT5"),
    "BartAttention": _BART,
    "MBartAttention": replace(_BART, shown="mBART"),
    "PegasusAttention": replace(_BART, shown="Pegasus", positions="sinusoidal"),
    "MarianAttention": replace(_BART, shown="Marian (Opus-MT)", positions="sinusoidal"),
    "M2M100Attention": replace(_BART, shown="M2M-100 and NLLB", positions="sinusoidal"),
    "BlenderbotAttention": replace(_BART, shown="Blenderbot"),
    "WhisperAttention": replace(_BART, shown="Whisper (geometry only: it hears no words)"),
    "ViTAttention": Family("ViT (geometry only: it sees no words)", positions="learned"),
}

_BLOCKS = "its encoder attends in blocks that overlap, where a key stands in several"
_GATE = "a gate is between its heads and W_O: W_O v is not what is written"

REFUSED: dict[str, str] = {
    "AlbertAttention": "one attention module serves all its layers, so heads are not a layer's own",
    "CLIPAttention": "it hides the future by an argument of the call, which is not followed here",
    "DebertaV2Attention": "its logits also compare words with positions, by keys of their own",
    "DeepseekV32Attention": "an index with keys of its own chooses what is seen",
    "DiffLlamaAttention": "its attention is the difference of two softmaxes",
    "EsmAttention": "it scales its queries before it rotates them",
    "BitNetAttention": "a norm is between its heads and W_O: W_O v is not what is written",
    "LEDEncoderSelfAttention": _BLOCKS,
    "LongT5LocalAttention": _BLOCKS,
    "LongT5TransientGlobalAttention": _BLOCKS,
    "Qwen3NextAttention": _GATE,
    "Qwen3_5Attention": _GATE,
    "Qwen3_5MoeAttention": _GATE,
}
"""Attention classes that are known, and why they cannot be addressed."""

CROSS_ATTENTION = frozenset({"EncDecAttention", "encoder_attn", "cross_attn"})
"""What families call the module whose keys and values come from the encoder."""


ATTENDING = frozenset(
    {"full_attention", "sliding_attention", "chunked_attention", "attention", "hybrid"}
)
"""What configs call the layers that attend."""


def find_family(module: nn.Module) -> Family | None:
    """Return the family of a module that is exactly one of transformers' own attention classes."""
    if not type(module).__module__.startswith("transformers.models."):
        return None
    return FAMILIES.get(type(module).__name__)


def list_families() -> list[str]:
    """Return the families' shown names, in order."""
    return list(dict.fromkeys(family.shown for family in FAMILIES.values()))
