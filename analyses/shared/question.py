"""The record of a question: what it asks, what it needs, and where its parts are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.shared.given import Given, Need
from probes.files import hash_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analyses.shared.section import Section

Tables = dict[str, "pd.DataFrame"]


@dataclass(frozen=True)
class Question:
    """One question, as the runner, the command line, the report and the docs see it.

    The package holds ``compute.py`` (with ``compute(given, settings)``), ``figures.py`` (with
    ``draw(tables)``) and ``section.py`` (with ``describe(tables, settings)``). They are imported
    when they are used, so that a list of all questions costs no torch. A question in one file has
    these functions beside its record; ``draw`` and ``describe`` may be left out.

    Attributes
    ----------
    package
        ``__name__`` of the package that holds it; its last part is the question's name.
    title
        A few words for headings.
    asks
        The question in one plain sentence.
    settings
        Its settings class, a frozen dataclass of `setting` fields.
    needs
        What has to be there.
    uses
        What is read too where it is there.
    in_run
        Whether `kvprobes run` asks it.
    presets
        Named settings of a question that can take hours.
    quick
        Its settings in `kvprobes run --quick`; None: it is not asked there.
    full
        Its settings in `kvprobes run --full`, where samples are left out.
    """

    package: str
    title: str
    asks: str
    settings: type[Any]
    needs: frozenset[Need]
    uses: frozenset[Need] = frozenset()
    in_run: bool = False
    presets: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] | None = None
    full: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, as commands and files have it."""
        return self.package.rpartition(".")[2]

    def reads(self, need: Need) -> bool:
        """Whether it reads something, needed or not."""
        return need in self.needs | self.uses

    def compute(self, given: Given, settings: Any) -> Tables:
        """Turn what is given into tables."""
        tables: Tables = self._part("compute").compute(given, settings)
        return tables

    def draw(self, tables: Tables) -> dict[str, Figure]:
        """Draw the tables; no model and no capture is needed."""
        draw = getattr(self._part("figures"), "draw", None)
        figures: dict[str, Figure] = draw(tables) if draw else {}
        return figures

    def describe(self, tables: Tables, settings: Mapping[str, Any]) -> Section:
        """Say in words what the tables show."""
        describe = getattr(self._part("section"), "describe", None)
        if describe is None:
            from analyses.shared.section import Section, print_table

            return Section(self.title, tables=tuple(itertools.starmap(print_table, tables.items())))
        section: Section = describe(tables, settings)
        return section

    def identify(self, given: Given, settings: Any) -> dict[str, Any]:
        """Name everything the tables follow from but the settings.

        A ``compute.py`` with ``identify(given, settings)`` adds what only it reads, such as a
        shipped table.
        """
        module = self._part("compute")
        own = getattr(module, "identify", None)
        found = given.identify() | (own(given, settings) if own else {})
        if not self.package.startswith("analyses."):  # ours follow from the version of kvprobes
            found["source"] = hash_file(Path(module.__file__))
        return found

    def to_latex(self, tables: Tables, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Write the tables that the report prints in LaTeX, in their order, the main one first.

        Where it prints none, all tables are written as they are.
        """
        from analyses.shared.latex import to_latex
        from analyses.shared.section import print_table

        shown = self.describe(tables, settings).tables
        return tuple(map(to_latex, shown or itertools.starmap(print_table, tables.items())))

    def _part(self, name: str) -> Any:
        """Return the module of a part: the one module of a question that is a single file."""
        whole = import_module(self.package)
        return import_module(f"{self.package}.{name}") if hasattr(whole, "__path__") else whole
