"""Writing a converted model as a folder: config, weights, tokenizer, and the manifest at last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from probes.errors import UnsupportedModelError
from probes.models.hashing import hash_weights
from probes.sealed import hash_once, write_sealed

WEIGHTS = "model.safetensors"
MANIFEST = "manifest.json"
END, UNKNOWN, PAD = "</s>", "<unk>", "<pad>"  # as T5 and Marian call them


def fill_model(hf: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Put the converted weights into a model; each must have its place, and each place its weight.

    Raises
    ------
    UnsupportedModelError
        If names or shapes are not those of the model.
    """
    try:
        hf.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise UnsupportedModelError(
            f"the package's weights are not those of a {type(hf).__name__}: {error}. This is the "
            "package that kvprobes was released with, so please report it."
        ) from error


def read_tokenizer_files(folder: Path) -> Any:
    """Load the fast tokenizer whose files are in a folder; nothing that comes with it is run."""
    return AutoTokenizer.from_pretrained(
        folder, use_fast=True, trust_remote_code=False, local_files_only=True
    )


def wrap_tokenizer(backend: Tokenizer, *, max_length: int) -> PreTrainedTokenizerFast:
    """Return a translator's tokenizer, with `END`, `UNKNOWN` and `PAD` as its special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=PAD,
        model_max_length=max_length,
    )


def save_model(hf: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Make `folder` and save model, config and tokenizer into it, the weights as one file."""
    hf.config.architectures = [type(hf).__name__]
    folder.mkdir(parents=True)
    hf.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes files that only their owner can read


def seal_folder(folder: Path, hf: PreTrainedModel, origin: Mapping[str, str]) -> None:
    """Flush every file of a converted model to the disk, then write its manifest."""
    for file in folder.iterdir():
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
    write_manifest(
        folder,
        {
            "origin": dict(origin),
            "architecture": type(hf).__name__,
            "weights_hash": hash_weights(hf),
            "n_bytes": (folder / WEIGHTS).stat().st_size,
            "transformers": transformers.__version__,
        },
    )


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest of a converted model, with the hash of every file."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST]
    hashes = {path.name: hash_once(path) for path in files if not path.name.startswith(".")}
    write_sealed(folder / MANIFEST, {**content, "files": hashes})
