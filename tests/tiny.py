"""Tiny random models of every supported family, with a tokenizer, built in memory."""

from __future__ import annotations

import re
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from probes.models import Model, build_model

# Words that the tokenizer knows as one piece (after a space too); any other word takes several.
KNOWN_WORDS = (
    *("The", "the", "a", "is", "was", "of", "ran", "and", "fox", "dog", "cat", "saw", "tree"),
    *("black", "white", "small", "big", "house", "red"),
)

CLASSES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
    "gemma": ("GemmaConfig", "GemmaForCausalLM"),
    "phi": ("PhiConfig", "PhiForCausalLM"),
    "opt": ("OPTConfig", "OPTForCausalLM"),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
    "bert": ("BertConfig", "BertForMaskedLM"),
}
ARCHITECTURES = tuple(CLASSES)
QUERY_OR_KEY = re.compile(r"\.(query|key|query_proj|key_proj|[qk]_proj|[qk]_lin)\.")
GROUPED = ("llama", "mistral", "qwen2", "qwen3", "gemma")  # heads of their own width, and groups
ROTARY = (*GROUPED, "phi")


def tiny_model(
    architecture: str = "llama",
    *,
    seed: int = 0,
    n_layers: int = 2,
    n_heads: int = 4,
    n_kv_heads: int = 2,
    d_head: int = 8,
    d_model: int = 24,
    bos: bool = True,
    **config: Any,
) -> Model:
    """Return a random model; the same arguments give the same weights.

    In families without groups (phi, opt, gpt2, bert) `n_kv_heads` and `d_model` do not count: every
    head has its own keys and d_model is ``n_heads * d_head``. With `bos` every text starts with
    ``<s>`` (and ends with ``</s>`` for bert). `config` overrides settings of the HF config.
    """
    tokenizer = tiny_tokenizer(bos=bos, eos=bos and architecture == "bert")
    grouping = {"num_key_value_heads": n_kv_heads, "head_dim": d_head}
    if architecture not in GROUPED:
        d_model, grouping = n_heads * d_head, {}
    hf = tiny_hf(
        architecture,
        seed=seed,
        vocab_size=len(tokenizer),
        hidden_size=d_model,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        **grouping,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **config,
    )
    return build_model(hf, tokenizer, name=f"tiny-{architecture}-{seed}")


def tiny_hf(architecture: str, *, seed: int, hidden_size: int, **settings: Any) -> PreTrainedModel:
    """Return a random HF model of a family."""
    config_name, model_name = CLASSES[architecture]
    feed_forward = {"opt": "ffn_dim", "gpt2": "n_inner"}.get(architecture, "intermediate_size")
    sizes = {"hidden_size": hidden_size, feed_forward: 40, "max_position_embeddings": 128}
    if architecture == "opt":
        sizes["word_embed_proj_dim"] = hidden_size
    config = getattr(transformers, config_name)(**(sizes | settings))
    with torch.random.fork_rng(devices=[]):
        hf = getattr(transformers, model_name)(config)
    randomise(hf, seed)
    return hf.eval()


def randomise(hf: PreTrainedModel, seed: int, *, gain: float = 1.4, focus: float = 1.0) -> None:
    """Draw every parameter again, large enough that attention is far from uniform.

    `gain` is the standard deviation of a matrix' outputs where its inputs' is 1; `focus` multiplies
    that of queries and keys, where they have matrices of their own. Fixed sinusoids stay.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(hf.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.requires_grad:
                own_gain = gain * focus if QUERY_OR_KEY.search(name) else gain
                parameter.copy_(_weights(hf, name, noise, own_gain))


def _weights(hf: PreTrainedModel, name: str, noise: torch.Tensor, gain: float) -> torch.Tensor:
    """Return a parameter's new values from standard normal noise of its shape."""
    module = hf.get_submodule(name.rpartition(".")[0])
    mixes = isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, Conv1D))
    embeds = "embed" in name or "wte" in name or "wpe" in name
    embeds &= "norm" not in name  # but BERT's "embeddings.LayerNorm" counts as an embedding
    if isinstance(module, nn.Embedding) or (embeds and not mixes):
        return noise
    if name.endswith(("bias", "sinks")):
        return 0.3 * noise
    if noise.ndim < 2 or "norm" in type(module).__name__.lower():
        return 1 + 0.2 * noise
    n_inputs = noise.shape[0] if isinstance(module, Conv1D) else noise[0].numel()
    if noise.ndim == 3 and not mixes:  # one matrix for each expert
        n_inputs = noise.shape[-1]
    return gain * noise / n_inputs**0.5


def tiny_tokenizer(*, bos: bool = True, eos: bool = False) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer that knows `KNOWN_WORDS` and spells every other word."""
    specials = ["<pad>", "<s>", "</s>"]
    pieces = specials + sorted(pre_tokenizers.ByteLevel.alphabet())
    inside = [(word[:end], word[end]) for word in KNOWN_WORDS for end in range(1, len(word))]
    merges = list(dict.fromkeys([*inside, *(("Ġ", word) for word in KNOWN_WORDS)]))
    pieces += dict.fromkeys(left + right for left, right in merges)
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>" if eos else "<s> $A",
            special_tokens=[("<s>", 1), ("</s>", 2)],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        padding_side="right",
    )
