"""The questions that kvprobes answers: a folder each, and a record in each folder.

To add a question, make its folder and name it in `NAMES`; the command line, the runner, the report
and the docs go through this one list.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyses.shared.question import Question

NAMES: tuple[str, ...] = (
    "co_attended",
    "divergence",
    "nulls",
    "premise",
    "attention_example",
    "cross_attention",
    "relations",
    "meaning",
    "probing",
    "running_text",
    "substitution",
    "swaps",
    "erasure",
    "weights",
    "tying",
)
"""The questions, in the order in which they are asked and told. A name with a dot is a package
elsewhere."""


def list_questions() -> dict[str, Question]:
    """Return the record of every question by its name, in order; loads no torch."""
    packages = [name if "." in name else f"{__name__}.{name}" for name in NAMES]
    records: list[Question] = [import_module(package).QUESTION for package in packages]
    return {record.name: record for record in records}


def find_question(name: str) -> Question:
    """Return the record of one question.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    from probes.naming import require_known

    questions = list_questions()
    require_known("question", name, questions)
    return questions[name]
