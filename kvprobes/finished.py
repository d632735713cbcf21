"""What a run has found: its tables, figures, verdict and report, from the folder alone."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses import find_question, list_questions
from analyses.shared.style import drawing
from kvprobes.results import ResultFolder
from probes.errors import StoreError
from probes.naming import require_known

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from probes.capture.store import Store

HEADLINE = "co_attended"


class Results:
    """A finished result folder; nothing is read before it is asked for, and no model is needed.

    Parameters
    ----------
    folder
        Such as ``results/smollm2-135m-instruct``.

    Raises
    ------
    StoreError
        If no question has been answered there.
    """

    def __init__(self, folder: ResultFolder | Path | str) -> None:
        self.folder = folder if isinstance(folder, ResultFolder) else ResultFolder(Path(folder))
        if not self.questions:
            raise StoreError(
                f"{self.folder.path} holds no answers. Give the folder of a finished `kvprobes "
                "run`, such as results/smollm2-135m-instruct."
            )

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions that have been answered, in the order of the report."""
        return tuple(name for name in list_questions() if self.folder.has_answer(name))

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Every table by question and name: ``tables["co_attended.answers"]``."""
        return _Tables(self.folder, self.questions)

    @property
    def figures(self) -> Mapping[str, Figure]:
        """Every figure by question and name, drawn from the tables: ``figures["weights.cka"]``."""
        return _Figures(self)

    def draw(
        self,
        question: str,
        *,
        width: str | float | None = None,
        labels: Mapping[str, str] | None = None,
        style: Mapping[str, Any] | None = None,
    ) -> dict[str, Figure]:
        """Draw all figures of one question from its tables: ``question.figure`` -> figure.

        Parameters
        ----------
        width, labels, style
            As `kvprobes.redraw` takes them.

        Raises
        ------
        UsageError
            If the question has not been answered here, or there is no such width.

        Examples
        --------
        >>> results.draw("weights", width="icml-column")["weights.angles"]  # doctest: +SKIP
        """
        require_known("question with an answer in this folder", question, self.questions)
        with drawing(width, labels=labels, style=style):
            figures = find_question(question).draw(self.folder.read_tables(question))
        return {f"{question}.{name}": figure for name, figure in figures.items()}

    @property
    def verdict(self) -> pd.DataFrame:
        """The four answers of every source: ``source, name, question, verdict, p_yes, p_no``...

        Raises
        ------
        StoreError
            If the question co_attended has not been answered here.
        """
        return self.folder.read_tables(HEADLINE)["answers"]

    @property
    def report(self) -> Path:
        """Where the report is; it is written if it is not there."""
        from kvprobes.report.page import write_report

        path = self.folder.report_path
        return path if path.exists() else write_report(self.folder)

    @property
    def store(self) -> Store:
        """The capture of word pairs.

        Raises
        ------
        StoreError
            If it is not kept here.
        """
        from kvprobes.captures.find import open_whole_store

        return open_whole_store(self.folder.capture)

    def __repr__(self) -> str:
        return f"Results({str(self.folder.path)!r}: {', '.join(self.questions)})"

    def _repr_html_(self) -> str:
        rows = []
        for name in self.questions:
            question = find_question(name)
            section = self.folder.describe(question)
            said = section.verdict or " ".join(section.answer[:1])
            rows.append(
                f"<tr><td><b>{html.escape(question.title)}</b></td><td>{html.escape(said)}</td></tr>"
            )
        path = html.escape(str(self.folder.path))
        return f"<p>{path}</p><table>{''.join(rows)}</table>"


class _Tables(Mapping[str, "pd.DataFrame"]):
    def __init__(self, folder: ResultFolder, questions: tuple[str, ...]) -> None:
        self._folder, self._questions = folder, questions

    def __iter__(self) -> Iterator[str]:
        for question in self._questions:
            for name in self._folder.read_manifest(question)["files"]:
                yield name.removesuffix(".parquet")

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, name: str) -> pd.DataFrame:
        require_known("table in this folder", name, self)
        question, _, table = name.partition(".")
        return self._folder.read_tables(question)[table]


class _Figures(Mapping[str, "Figure"]):
    def __init__(self, results: Results) -> None:
        self._results = results

    def __iter__(self) -> Iterator[str]:
        for question in self._results.questions:
            for path in self._results.folder.find_figures(find_question(question)):
                yield path.name.removesuffix(".png")

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, name: str) -> Figure:
        require_known("figure in this folder", name, self)
        return self._results.draw(name.partition(".")[0])[name]
