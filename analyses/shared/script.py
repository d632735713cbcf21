"""``python -m analyses.NAME``: a question asked as a script, by the runner."""

from __future__ import annotations

from importlib import import_module


def run_as_script(package: str) -> None:
    """Be the command line of one question.

    The door is imported by its name when it is needed, so that questions are on no upper floor.
    """
    command = import_module("kvprobes.command.questions")
    command.run_question_script(package.rpartition(".")[2])
