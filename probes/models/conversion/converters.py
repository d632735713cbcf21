"""Which converter makes a folder of which form of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedModel

from probes.models.conversion.folder import convert_folder
from probes.models.conversion.gguf import convert_gguf
from probes.models.conversion.llama import convert_llama
from probes.models.conversion.marian import convert_marian
from probes.models.conversion.t5 import convert_t5

Converter = Callable[[Sequence[Path], Path], PreTrainedModel]

CONVERTERS: Mapping[str, Converter] = {
    "gguf": convert_gguf,
    "folder": convert_folder,
    "onnx-llama": convert_llama,
    "onnx-t5": convert_t5,
    "ctranslate2-marian": convert_marian,
}
