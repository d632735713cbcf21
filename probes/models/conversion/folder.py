"""A folder as transformers writes it, which only has to leave the archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedModel

from probes.models.conversion.saving import read_tokenizer_files, save_model


def convert_folder(files: Sequence[Path], folder: Path) -> PreTrainedModel:
    """Write a model that is safetensors already again, in float32 and with today's config.

    Parameters
    ----------
    files
        Safetensors, config and the tokenizer's files, side by side.
    folder
        The folder to make; it must not exist.
    """
    source = files[0].parent
    config = AutoConfig.from_pretrained(source, trust_remote_code=False, local_files_only=True)
    architecture: Any = getattr(transformers, config.architectures[0])
    hf: PreTrainedModel = architecture.from_pretrained(
        source, config=config, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    save_model(hf, read_tokenizer_files(source), folder)
    return hf
