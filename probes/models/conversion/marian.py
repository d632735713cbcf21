"""A Marian translator that was converted to CTranslate2 (OPUS-MT)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import GenerationConfig, MarianConfig, MarianMTModel, PreTrainedModel

from probes.models.conversion.ctranslate2 import read_ctranslate2_weights
from probes.models.conversion.saving import END, PAD, fill_model, save_model
from probes.models.conversion.sentencepiece import read_tokenizer

_MAX_LENGTH = 512  # tokens that OPUS-MT was trained with
_N_BEAMS = 4  # as its own decoder is configured
_ATTENTIONS = {
    # in CTranslate2: the name in Marian, and which projections each of its matrices stacks
    "self_attention": ("self_attn", (("q_proj", "k_proj", "v_proj"), ("out_proj",))),
    "attention": ("encoder_attn", (("q_proj",), ("k_proj", "v_proj"), ("out_proj",))),
}


def convert_marian(files: Sequence[Path], folder: Path) -> PreTrainedModel:
    """Write a CTranslate2 Marian as float32 safetensors, with config and a fast tokenizer.

    CTranslate2 starts a translation from an embedding of zeros. Marian in transformers starts it
    with ``<pad>``, which becomes the last id, its embedding zero and never generated.

    Parameters
    ----------
    files
        ``model.bin``, the vocabulary as JSON and the source language's sentencepiece model.
    folder
        The folder to make; it must not exist.
    """
    weights_file, vocabulary_file, pieces_file = files
    stored = read_ctranslate2_weights(weights_file)
    vocabulary: list[str] = json.loads(vocabulary_file.read_text(encoding="utf-8"))
    hf = MarianMTModel(_read_config(stored, vocabulary))
    weights = dict(_name_weights(stored, hf.config))
    for name in ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"):
        weights[name] = hf.state_dict()[name]  # sinusoids, which the class computes
    fill_model(hf, weights)
    hf.generation_config = _make_generation_config(hf.config)
    tokenizer = read_tokenizer(pieces_file, [*vocabulary, PAD], max_length=_MAX_LENGTH)
    save_model(hf, tokenizer, folder)
    return hf


def _read_config(stored: Mapping[str, Tensor], vocabulary: Sequence[str]) -> MarianConfig:
    pad = len(vocabulary)
    return MarianConfig(
        vocab_size=pad + 1,
        decoder_vocab_size=pad + 1,
        d_model=stored["decoder/embeddings/weight"].shape[1],
        encoder_layers=_count_layers(stored, "encoder"),
        decoder_layers=_count_layers(stored, "decoder"),
        encoder_attention_heads=int(stored["encoder/num_heads"]),
        decoder_attention_heads=int(stored["decoder/num_heads"]),
        encoder_ffn_dim=len(stored["encoder/layer_0/ffn/linear_0/bias"]),
        decoder_ffn_dim=len(stored["decoder/layer_0/ffn/linear_0/bias"]),
        activation_function="swish",
        scale_embedding=bool(stored["encoder/scale_embeddings"]),
        max_position_embeddings=_MAX_LENGTH,
        pad_token_id=pad,
        eos_token_id=vocabulary.index(END),
        bos_token_id=None,
        decoder_start_token_id=pad,
        forced_eos_token_id=vocabulary.index(END),
    )


def _count_layers(stored: Mapping[str, Tensor], side: str) -> int:
    return len({name.split("/")[1] for name in stored if name.startswith(f"{side}/layer_")})


def _make_generation_config(config: MarianConfig) -> GenerationConfig:
    return GenerationConfig(
        max_length=_MAX_LENGTH,
        num_beams=_N_BEAMS,
        bad_words_ids=[[config.pad_token_id]],
        pad_token_id=config.pad_token_id,
        eos_token_id=config.eos_token_id,
        forced_eos_token_id=config.eos_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
    )


def _name_weights(
    stored: Mapping[str, Tensor], config: MarianConfig
) -> Iterator[tuple[str, Tensor]]:
    """Give every weight as Marian in transformers names it."""
    embedding = stored["decoder/embeddings/weight"]
    shared = torch.cat([embedding, torch.zeros(1, config.d_model)])
    for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens"):
        yield f"model.{name}.weight", shared
    yield "lm_head.weight", shared
    yield "final_logits_bias", torch.cat([stored["decoder/projection/bias"], torch.zeros(1)])[None]
    for side, n_layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        for layer in range(n_layers):
            source, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
            yield from _name_layer(stored, source, target, has_encoder=side == "decoder")


def _name_layer(
    stored: Mapping[str, Tensor], source: str, target: str, *, has_encoder: bool
) -> Iterator[tuple[str, Tensor]]:
    for attention, (named, matrices) in _ATTENTIONS.items():
        if attention == "attention" and not has_encoder:
            continue
        for place, projections in enumerate(matrices):
            for kind in ("weight", "bias"):
                stack = stored[f"{source}/{attention}/linear_{place}/{kind}"]
                for projection, part in zip(
                    projections, stack.chunk(len(projections)), strict=True
                ):
                    yield f"{target}.{named}.{projection}.{kind}", part
        yield from _name_norm(
            stored, f"{source}/{attention}/layer_norm", f"{target}.{named}_layer_norm"
        )
    for place, named in enumerate(("fc1", "fc2")):
        for kind in ("weight", "bias"):
            yield f"{target}.{named}.{kind}", stored[f"{source}/ffn/linear_{place}/{kind}"]
    yield from _name_norm(stored, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")


def _name_norm(
    stored: Mapping[str, Tensor], source: str, target: str
) -> Iterator[tuple[str, Tensor]]:
    yield f"{target}.weight", stored[f"{source}/gamma"]
    yield f"{target}.bias", stored[f"{source}/beta"]
