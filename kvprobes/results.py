"""Where results go: tables as parquet and CSV, figures as PDF and PNG, and their manifests."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import StoreError, StoreMismatchError
from probes.files import hash_file, parse_json, read_if_whole, replacing, write_json, write_parquet
from probes.naming import require_known

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analyses.shared.question import Question
    from analyses.shared.section import Section

FORMULA = ("=", "+", "-", "@", "\t", "\r")
FORMAT = 2
"""Of the tables: raised when a column or a word in one gets another name or meaning."""

UNDATED: dict[str, dict[str, None]] = {
    "pdf": dict.fromkeys(("CreationDate", "ModDate")),
    "png": {},
    "svg": {"Date": None},
}
"""Formats of figures, and what of their metadata has to go."""

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

    def capture_named(self, name: str) -> Path:
        """Where another capture stands: of a ``text``, of ``words``, at another site."""
        return self.path / f"capture-{name}"

    @property
    def report_path(self) -> Path:
        """Where the report stands."""
        return self.path / "report.html"

    def table_path(self, question: str, table: str) -> Path:
        """Where a table stands."""
        return self.path / "tables" / f"{question}.{table}.parquet"

    def figure_path(self, question: str, figure: str, suffix: str) -> Path:
        """Where a figure stands."""
        return self.path / "figures" / f"{question}.{figure}.{suffix}"

    def manifest_path(self, question: str) -> Path:
        """Where the manifest of a question stands."""
        return self.path / "tables" / f"{question}.manifest.json"

    def left_out_path(self, question: str) -> Path:
        """Where it stands why a question was left out."""
        return self.path / "tables" / f"{question}.left_out.json"

    def note_left_out(self, question: str, reason: str) -> None:
        """Note why a question has no answer here; one of other data is removed."""
        for room in ("tables", "figures"):
            for path in (self.path / room).glob(f"{question}.*"):
                path.unlink()
        write_json(self.left_out_path(question), {"question": question, "reason": reason})

    def read_left_out(self, question: str) -> str | None:
        """Return why a question was left out; None if it was not."""
        try:
            noted = parse_json(self.left_out_path(question).read_text(encoding="utf-8"))
            return str(noted["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_tables(
        self, question: str, tables: dict[str, pd.DataFrame], inputs: dict[str, Any]
    ) -> None:
        """Write a question's tables, then a manifest that names its inputs, versions and files."""
        import pyarrow as pa
        import pyarrow.csv

        files = {}
        for name, table in tables.items():
            path = self.table_path(question, name)
            write_parquet(path, table)
            with replacing(path.with_suffix(".csv")) as temporary:
                guarded = pa.Table.from_pandas(guard_cells(table), preserve_index=False)
                pyarrow.csv.write_csv(guarded, temporary)
            files[path.name] = hash_file(path)
        write_json(
            self.manifest_path(question),
            {
                "question": question,
                "format": FORMAT,
                "inputs": inputs,
                "versions": identify_versions(),
                "files": files,
            },
        )
        self.left_out_path(question).unlink(missing_ok=True)

    def read_tables(self, question: str) -> dict[str, pd.DataFrame]:
        """Read a question's tables back; enough to draw every figure, without any model.

        Raises
        ------
        StoreError
            As `read_manifest`, or if a table cannot be read.
        """
        import pandas as pd

        tables = {}
        for name in self.read_manifest(question)["files"]:
            path = self.path / "tables" / name
            try:
                table = pd.read_parquet(path)
            except (OSError, ValueError) as error:
                raise StoreError(
                    f"{path} cannot be read ({error}). Run `kvprobes analyse {question}` again."
                ) from error
            tables[name.removeprefix(f"{question}.").removesuffix(".parquet")] = table
        return tables

    def read_manifest(self, question: str) -> dict[str, Any]:
        """Read the manifest of a question.

        Raises
        ------
        StoreError
            If the question has not been answered here, or by another version whose tables have
            other names in them.
        """
        path = self.manifest_path(question)
        try:
            manifest: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.path} holds no tables of {question!r}. Run `kvprobes analyse {question}` "
                "or `kvprobes run` first."
            ) from error
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path} cannot be read ({error}). Run `kvprobes analyse {question}` again."
            ) from error
        if manifest.get("format") != FORMAT:
            raise StoreMismatchError(
                f"the tables of {question!r} in {self.path} were written by another version of "
                f"kvprobes, with other names in them. Run `kvprobes analyse {question}` or "
                "`kvprobes run`: they are computed again, and captures are reused."
            )
        return manifest

    def has_answer(self, question: str) -> bool:
        """Whether a question has been answered here, by whatever version."""
        return self.manifest_path(question).exists()

    def describe(self, question: Question) -> Section:
        """Say in words what a question's tables show.

        Raises
        ------
        StoreError
            If it has not been answered here.
        """
        settings = self.read_manifest(question.name)["inputs"]["settings"]
        return question.describe(self.read_tables(question.name), settings)

    def holds(self, question: str, inputs: dict[str, Any]) -> bool:
        """Say whether a question's tables are here, whole, from these inputs and versions."""
        expected = {"format": FORMAT, "inputs": inputs, "versions": identify_versions()}
        return read_if_whole(self.manifest_path(question), **expected) is not None

    def write_figures(self, question: str, figures: dict[str, Figure]) -> None:
        """Write figures as PDF and PNG."""
        for name, figure in figures.items():
            for suffix in ("pdf", "png"):
                save_figure(figure, self.figure_path(question, name, suffix))


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure in the format of the file's ending, undated: the same tables, the same bytes.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    require_known("format of figures", path.suffix[1:], UNDATED)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], metadata=UNDATED[path.suffix[1:]])


def guard_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before text that a spreadsheet would run as a formula (OWASP)."""

    def guard(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell

    texts = [
        str(name) for name in table if table[name].dtype == object or table[name].dtype == "str"
    ]
    return table.assign(**{name: table[name].map(guard) for name in texts}).rename(columns=guard)


def identify_versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    return {name: version(name) for name in PACKAGES}
