"""Where results go: tables as parquet and CSV, figures as PDF and PNG, and their manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.errors import StoreError, StoreMismatchError
from probes.files import (
    hash_file,
    hash_json,
    parse_json,
    replacing,
    spell_json,
    sweep,
    write_text,
)
from probes.locks import holding
from probes.naming import require_known
from probes.sealed import hash_once, read_if_whole, read_sealed, seal, unseal, write_sealed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analyses.shared.question import Question
    from analyses.shared.section import Section

FORMULA = ("=", "+", "-", "@", "\t", "\r")
FORMAT = 3
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
        """Where the captured store is."""
        return self.path / "capture"

    def capture_named(self, name: str) -> Path:
        """Where another capture is: of a ``text``, of ``words``, at another site."""
        return self.path / f"capture-{name}"

    @property
    def report_path(self) -> Path:
        """Where the report is."""
        return self.path / "report.html"

    def table_path(self, question: str, table: str) -> Path:
        """Where a table is."""
        return self.path / "tables" / f"{question}.{table}.parquet"

    def figure_path(self, question: str, figure: str, suffix: str) -> Path:
        """Where a figure is."""
        return self.path / "figures" / f"{question}.{figure}.{suffix}"

    def manifest_path(self, question: str) -> Path:
        """Where the manifest of a question is."""
        return self.path / "tables" / f"{question}.manifest.json"

    def left_out_path(self, question: str) -> Path:
        """Return the file that says why a question was left out."""
        return self.path / "tables" / f"{question}.left_out.json"

    def parts_path(self, question: str) -> Path:
        """Where the finished parts of a long question are."""
        return self.path / "parts" / question

    @contextmanager
    def holding(self, question: str) -> Iterator[None]:
        """Hold all that is written of a question; what killed runs left aside is removed.

        Raises
        ------
        StoreError
            If another run holds it.
        """
        with holding(self.path / "tables", question):
            sweep(self.path / "figures", question)
            sweep(self.parts_path(question))
            yield

    def note_left_out(self, question: str, reason: str) -> None:
        """Note why a question has no answer here; one of other data is removed."""
        with self.holding(question):
            # The manifest goes first: what it named is no set any more.
            self.manifest_path(question).unlink(missing_ok=True)
            for room in ("tables", "figures"):
                for path in (self.path / room).glob(f"{question}.*"):
                    path.unlink()
            write_sealed(self.left_out_path(question), {"question": question, "reason": reason})

    def read_left_out(self, question: str) -> str | None:
        """Return why a question was left out; None if it was not.

        Raises
        ------
        StoreError
            If what was noted is damaged.
        """
        path = self.left_out_path(question)
        try:
            return str(read_sealed(path)["reason"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _unreadable(path, error, question) from error

    def write_tables(
        self, question: str, tables: dict[str, pd.DataFrame], inputs: dict[str, Any]
    ) -> None:
        """Write a question's tables, then a manifest that names its inputs, versions and files."""
        manifest: dict[str, Any] = {
            "question": question,
            "format": FORMAT,
            "inputs": inputs,
            "versions": identify_versions(),
            "files": {},
            "copies": {},
        }
        # All is written aside first. What is entered last is renamed first: the manifest is last,
        # and so a set of tables is whole or is not the one that the manifest names.
        with ExitStack() as stack:
            last = stack.enter_context(replacing(self.manifest_path(question)))
            for name, table in tables.items():
                path = self.table_path(question, name)
                aside = stack.enter_context(replacing(path))
                table.to_parquet(aside, index=False, compression="zstd")
                copy = stack.enter_context(replacing(path.with_suffix(".csv")))
                _write_csv(copy, table)
                manifest["files"][path.name] = hash_file(aside)
                manifest["copies"][path.with_suffix(".csv").name] = hash_file(copy)
            last.write_text(spell_json(seal(manifest)), encoding="utf-8", errors="backslashreplace")
        self.left_out_path(question).unlink(missing_ok=True)
        for path in (self.path / "tables").glob(f"{question}.*"):
            if path.suffix == ".parquet" and path.name not in manifest["files"]:
                path.unlink()
                path.with_suffix(".csv").unlink(missing_ok=True)

    def write_latex(self, question: str, written: Sequence[str]) -> None:
        """Write a question's printed tables: ``tables/QUESTION.table1.tex``, the main one first."""
        room = self.path / "tables"
        paths = [room / f"{question}.table{n}.tex" for n in range(1, len(written) + 1)]
        for path, text in zip(paths, written, strict=True):
            write_text(path, text)
        for path in {*room.glob(f"{question}.*.tex")} - {*paths}:
            path.unlink()

    def mend_copies(self, question: str, tables: dict[str, pd.DataFrame]) -> None:
        """Write those CSV files of a question's tables again that are missing or damaged."""
        copies = self.read_manifest(question)["copies"]
        for name, table in tables.items():
            path = self.table_path(question, name).with_suffix(".csv")
            if not path.is_file() or hash_once(path) != copies.get(path.name):
                with replacing(path) as aside:
                    _write_csv(aside, table)

    def read_tables(self, question: str) -> dict[str, pd.DataFrame]:
        """Read a question's tables back; enough to draw every figure, without any model.

        Raises
        ------
        StoreError
            As `read_manifest`, or if a table is damaged or of another run.
        """
        import pandas as pd

        tables = {}
        for name, digest in self.read_manifest(question)["files"].items():
            path = self.path / "tables" / name
            try:
                if hash_once(path) != digest:
                    raise ValueError("it is damaged, or of another run than its manifest")
                table = pd.read_parquet(path)
            except (OSError, ValueError) as error:
                raise _unreadable(path, error, question) from error
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
            raise _unreadable(path, error, question) from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise StoreMismatchError(
                f"the tables of {question!r} in {self.path} were written by another version of "
                f"kvprobes, with other names in them. Run `kvprobes analyse {question}` or "
                "`kvprobes run`: they are computed again, and captures are reused."
            )
        try:
            return unseal(manifest)
        except ValueError as error:
            raise _unreadable(path, error, question) from error

    def has_answer(self, question: str) -> bool:
        """Whether a question has been answered here, by any version."""
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
        """Write figures as PDF and PNG, undated, so that the same tables give the same bytes.

        The manifest, written last, names them and the tables that they show.
        """
        files = {}
        for name, figure in figures.items():
            for suffix in ("pdf", "png"):
                path = self.figure_path(question, name, suffix)
                save_figure(figure, path)
                files[path.name] = hash_once(path)
        manifest = {"question": question, "tables": self._hash_tables(question), "files": files}
        write_sealed(self._figures_manifest(question), manifest)
        for path in (self.path / "figures").glob(f"{question}.*"):
            if path.suffix in (".pdf", ".png") and path.name not in files:
                path.unlink()

    def find_figures(self, question: Question) -> list[Path]:
        """Return where the PNG files of a question's figures are.

        Figures that are missing, damaged, or of other tables are drawn again.
        """
        shown = {"tables": self._hash_tables(question.name)}
        place = self._figures_manifest(question.name)
        if read_if_whole(place, **shown) is None:
            with self.holding(question.name):
                self.write_figures(question.name, question.draw(self.read_tables(question.name)))
        found = read_if_whole(place, **shown) or {"files": {}}
        return [place.parent / name for name in found["files"] if name.endswith(".png")]

    def copy_shipped(
        self,
        question: str,
        place: str,
        draw: Callable[[dict[str, pd.DataFrame]], dict[str, Figure]],
    ) -> None:
        """Copy the shipped tables of a question into this folder and draw them.

        Parameters
        ----------
        place
            Where they are in the folder of shipped data.

        Raises
        ------
        StoreError
            If they are not there or cannot be read.
        """
        from probes.words.tables import data_folder

        shipped = ResultFolder(data_folder() / place)
        inputs = shipped.read_manifest(question)["inputs"] | {"copied": f"data/{place}"}
        tables = shipped.read_tables(question)
        with self.holding(question):
            self.write_tables(question, tables, inputs)
            self.write_figures(question, draw(tables))

    def _figures_manifest(self, question: str) -> Path:
        return self.path / "figures" / f"{question}.manifest.json"

    def _hash_tables(self, question: str) -> str:
        """Return a hash of all tables of a question."""
        return hash_json(self.read_manifest(question)["files"])


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    import pyarrow as pa
    import pyarrow.csv

    guarded = pa.Table.from_pandas(guard_cells(table), preserve_index=False)
    pyarrow.csv.write_csv(guarded, path)


def _unreadable(path: Path, error: Exception, question: str) -> StoreError:
    return StoreError(
        f"{path} cannot be read ({error}). Run `kvprobes analyse {question}` again: it computes "
        "what is damaged."
    )


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
