"""The shipped tables of ``kvprobes tie``: what the laptop's experiments gave, as in the docs."""

from __future__ import annotations

from analyses import find_question
from kvprobes.results import ResultFolder
from probes.words.tables import data_folder

PLACE = "reference/tying"
"""Where they stand in the folder of shipped data."""


def copy_shipped(folder: ResultFolder) -> None:
    """Copy the shipped tables of tying into a folder and draw them; nothing is trained.

    Raises
    ------
    StoreError
        If the tables are not there or cannot be read.
    """
    question, shipped = find_question("tying"), ResultFolder(data_folder() / PLACE)
    inputs = shipped.read_manifest(question.name)["inputs"] | {"copied": f"data/{PLACE}"}
    tables = shipped.read_tables(question.name)
    with folder.holding(question.name):
        folder.write_tables(question.name, tables, inputs)
        folder.write_figures(question.name, question.draw(tables))
