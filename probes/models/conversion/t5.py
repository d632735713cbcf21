"""A T5 (version 1.1: gated, with a head of its own) that was exported as two ONNX graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from probes.errors import UnsupportedModelError
from probes.models.conversion.onnx import read_onnx_weights
from probes.models.conversion.saving import fill_model, save_model, wrap_tokenizer

_SHARED, _HEAD = "shared.weight", "lm_head.weight"
_EMBEDDINGS = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_MAX_LENGTH = 512  # tokens that T5 was trained with


def convert_t5(files: Sequence[Path], folder: Path) -> PreTrainedModel:
    """Write a T5's encoder and decoder graphs as one model in float32, with its tokenizer.

    Parameters
    ----------
    files
        The encoder's ONNX file, the decoder's, and ``tokenizer.json``.
    folder
        The folder to make; it must not exist.
    """
    encoder, decoder, tokenizer = files
    weights = _join(read_onnx_weights(encoder), read_onnx_weights(decoder))
    hf = T5ForConditionalGeneration(_read_config(weights))
    # transformers 5 ties every T5's head to its embedding; this one has a head of its own.
    hf.lm_head.weight = torch.nn.Parameter(torch.empty_like(hf.shared.weight))
    fill_model(hf, weights)
    save_model(hf, _read_tokenizer(tokenizer), folder)
    _say_untied(folder / "config.json")
    return hf


def _join(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of both graphs as the whole model does (``enc.``, ``m.`` in the export)."""
    weights = {f"encoder.{name.removeprefix('enc.')}": value for name, value in encoder.items()}
    weights |= {name.removeprefix("m."): value for name, value in decoder.items()}
    if not torch.equal(weights[_EMBEDDINGS[0]], weights[_SHARED]):
        raise UnsupportedModelError(
            "the package's encoder and decoder embed words differently, where a T5 has one table. "
            "This is the package that kvprobes was released with, so please report it."
        )
    return weights | dict.fromkeys(_EMBEDDINGS, weights[_SHARED])


def _read_config(weights: Mapping[str, Tensor]) -> T5Config:
    """Read the sizes off the weights; the rest is T5 1.1's own (no config is in the package)."""
    n_buckets, n_heads = weights[_BIAS].shape
    queries = [name for name in weights if name.endswith("SelfAttention.q.weight")]
    encoder_block = "encoder.block.0.layer"
    d_inner, d_model = weights[f"{encoder_block}.0.SelfAttention.q.weight"].shape
    n_layers = sum(name.startswith("encoder.") for name in queries)
    return T5Config(
        vocab_size=len(weights[_SHARED]),
        d_model=d_model,
        d_kv=d_inner // n_heads,
        d_ff=len(weights[f"{encoder_block}.1.DenseReluDense.wi_0.weight"]),
        num_layers=n_layers,
        num_decoder_layers=len(queries) - n_layers,
        num_heads=n_heads,
        relative_attention_num_buckets=n_buckets,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,  # transformers reads from this that logits are not rescaled
        decoder_start_token_id=0,
    )


def _read_tokenizer(file: Path) -> PreTrainedTokenizerFast:
    backend = Tokenizer.from_file(str(file))
    backend.no_truncation()  # the package cuts at 48 tokens and pads, without being asked
    backend.no_padding()
    return wrap_tokenizer(backend, max_length=_MAX_LENGTH)


def _say_untied(file: Path) -> None:
    """Put ``tie_word_embeddings: false`` in the config, where transformers 5 always writes true.

    Read back as true, it would scale the decoder's output by d_model ** -0.5 before the head.
    """
    config = json.loads(file.read_text(encoding="utf-8"))
    config["tie_word_embeddings"] = False
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
