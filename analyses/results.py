"""Where results go: tables as parquet and CSV, figures as PDF and PNG, and their manifests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.style import house_style
from probes.errors import StoreError
from probes.files import hash_file, replacing, write_json, write_parquet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PACKAGES = ("kvprobes", "torch", "transformers", "numpy", "scipy", "pandas", "matplotlib")


@dataclass(frozen=True)
class ResultFolder:
    """``results/<model>``: ``capture/``, ``tables/``, ``figures/`` and ``report.html``.

    An encoder-decoder's folder also has ``capture-decoder/``, ``capture-cross/`` and
    ``translations/``.
    """

    path: Path

    @property
    def capture(self) -> Path:
        """Where the captured store stands."""
        return self.path / "capture"

    @property
    def text_capture(self) -> Path:
        """Where the moments of a running text stand."""
        return self.path / "capture-text"

    def capture_at(self, site: str, *, main: str) -> Path:
        """Where the store of a site stands; the model's main site has ``capture/``."""
        return self.capture if site == main else self.path / f"capture-{site}"

    def table_path(self, analysis: str, table: str) -> Path:
        """Where a table stands."""
        return self.path / "tables" / f"{analysis}.{table}.parquet"

    def figure_path(self, analysis: str, figure: str, suffix: str) -> Path:
        """Where a figure stands."""
        return self.path / "figures" / f"{analysis}.{figure}.{suffix}"

    def manifest_path(self, analysis: str) -> Path:
        """Where the manifest of an analysis stands."""
        return self.path / "tables" / f"{analysis}.manifest.json"

    def write_tables(
        self, analysis: str, tables: dict[str, pd.DataFrame], inputs: dict[str, Any]
    ) -> None:
        """Write an analysis' tables, then a manifest that names its inputs, versions and files."""
        import pyarrow as pa
        import pyarrow.csv

        files = {}
        for name, table in tables.items():
            path = self.table_path(analysis, name)
            write_parquet(path, table)
            with replacing(path.with_suffix(".csv")) as temporary:
                pyarrow.csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), temporary)
            files[path.name] = hash_file(path)
        write_json(
            self.manifest_path(analysis),
            {
                "analysis": analysis,
                "inputs": inputs,
                "versions": _versions(),
                "files": files,
            },
        )

    def read_tables(self, analysis: str) -> dict[str, pd.DataFrame]:
        """Read an analysis' tables back; enough to draw every figure, without any model."""
        import pandas as pd

        tables = {}
        for name in self.read_manifest(analysis)["files"]:
            tables[name.removeprefix(f"{analysis}.").removesuffix(".parquet")] = pd.read_parquet(
                self.path / "tables" / name
            )
        return tables

    def read_manifest(self, analysis: str) -> dict[str, Any]:
        """Read the manifest of an analysis.

        Raises
        ------
        StoreError
            If the analysis has not been run here.
        """
        path = self.manifest_path(analysis)
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.path} holds no tables of {analysis!r}. Run `kvprobes analyse {analysis}` "
                "or `kvprobes run` first."
            ) from error
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path} cannot be read ({error}). Run `kvprobes analyse {analysis}` again."
            ) from error
        return manifest

    def holds(self, analysis: str, inputs: dict[str, Any]) -> bool:
        """Say whether an analysis' tables are here, whole, from these inputs and versions."""
        try:
            manifest = self.read_manifest(analysis)
            return (
                manifest["inputs"] == json.loads(json.dumps(inputs))
                and manifest["versions"] == _versions()
                and all(
                    hash_file(self.path / "tables" / name) == digest
                    for name, digest in manifest["files"].items()
                )
            )
        except (StoreError, OSError, KeyError):
            return False

    def write_figures(self, analysis: str, figures: dict[str, Figure]) -> None:
        """Write figures as PDF and PNG, undated, so that the same tables give the same bytes."""
        undated = {"pdf": dict.fromkeys(("CreationDate", "ModDate")), "png": {}}
        with house_style():  # resolution and fonts are decided when a figure is saved
            for name, figure in figures.items():
                for suffix, metadata in undated.items():
                    with replacing(self.figure_path(analysis, name, suffix)) as temporary:
                        figure.savefig(temporary, metadata=metadata)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}
