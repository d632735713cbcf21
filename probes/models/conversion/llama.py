"""A Llama that was exported to ONNX beside its config and tokenizer (MiniMind2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from probes.models.conversion.onnx import read_onnx_weights
from probes.models.conversion.saving import fill_model, read_tokenizer_files, save_model

_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def convert_llama(files: Sequence[Path], folder: Path) -> PreTrainedModel:
    """Write a Llama's ONNX export as float32 safetensors, with config and tokenizer.

    Where the head is tied to the embedding, the export holds both, quantised each by itself; the
    embedding is kept, as the model had it before the export.

    Parameters
    ----------
    files
        The ONNX file first; ``config.json``, ``generation_config.json`` and the tokenizer's files
        are beside it.
    folder
        The folder to make; it must not exist.
    """
    source = files[0].parent
    config = LlamaConfig.from_pretrained(source, local_files_only=True)
    config.dtype = torch.float32
    weights = read_onnx_weights(files[0])
    if config.tie_word_embeddings:
        weights[_HEAD] = weights[_EMBEDDING]
    hf = LlamaForCausalLM(config)
    fill_model(hf, weights)
    hf.generation_config = GenerationConfig.from_pretrained(source, local_files_only=True)
    save_model(hf, read_tokenizer_files(source), folder)
    return hf
