"""The shipped tables of ``kvprobes tie``: what the laptop's experiments gave, as in the docs."""

from __future__ import annotations

from analyses import find_question
from kvprobes.results import ResultFolder

PLACE = "reference/tying"
"""Where they are in the folder of shipped data."""


def copy_shipped(folder: ResultFolder) -> None:
    """Copy the shipped tables of tying into a folder and draw them; nothing is trained.

    Raises
    ------
    StoreError
        If the tables are not there or cannot be read.
    """
    question = find_question("tying")
    folder.copy_shipped(question.name, PLACE, question.draw)
