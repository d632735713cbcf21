"""A GGUF file (llama.cpp), whose weights and tokenizer transformers itself can read."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from probes.models.conversion.saving import save_model


def convert_gguf(files: Sequence[Path], folder: Path) -> PreTrainedModel:
    """Write a GGUF file's model as float32 safetensors, with config and tokenizer.

    Quantised tensors are dequantised as the format says; q and k are put back into HF's order of
    rotary coordinates.

    Parameters
    ----------
    files
        The GGUF file, in one piece or in several that follow each other.
    folder
        The folder to make; it must not exist.
    """
    gguf = files[0]
    _join(gguf, files[1:])
    where: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    # The dequantiser draws a bar of its own, which nothing but the stream can silence.
    with contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **where)
        hf: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), dtype=torch.float32, **where
        )
        hf.hf_quantizer = None  # the weights are float32 now, and should be saved as such
        if hasattr(hf.config, "quantization_config"):
            del hf.config.quantization_config
        save_model(hf, tokenizer, folder)
    return hf


def _join(first: Path, others: Sequence[Path]) -> None:
    """Append the other pieces of a file to its first, and remove each as it is taken up."""
    with first.open("ab") as whole:
        for piece in others:
            with piece.open("rb") as stream:
                shutil.copyfileobj(stream, whole, 1 << 20)
            piece.unlink()
