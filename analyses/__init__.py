"""The questions that kvprobes answers: a folder each, and a record in each folder.

To add a question, make its folder and name it in `NAMES`; the command line, the runner, the report
and the docs go through this one list.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
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

_ADDED: dict[str, Question] = {}


def list_questions() -> dict[str, Question]:
    """Return the record of every question by its name, in order; loads no torch.

    Ours come first, then those of installed packages (entry points of the group
    ``kvprobes.questions``), then those of `add_question`.

    Raises
    ------
    UsageError
        If an installed question cannot be loaded, or has the name of another.
    """
    from analyses.shared.outside import list_installed

    packages = [name if "." in name else f"{__name__}.{name}" for name in NAMES]
    records: list[Question] = [import_module(package).QUESTION for package in packages]
    found = {record.name: record for record in records}
    for record in list_installed():
        _refuse_taken(record, found)
        found[record.name] = record
    return found | _ADDED


def add_question(module: str | Path) -> Question:
    """Add a user's question for as long as this process runs; the same name replaces the last.

    Parameters
    ----------
    module
        A file ``my_question.py``, or the dotted name of an installed module.

    Raises
    ------
    UsageError
        If it cannot be loaded, holds no question, or has the name of one of ours.
    """
    from analyses.shared.outside import read_question

    record = read_question(module)
    _refuse_taken(
        record, {name: own for name, own in list_questions().items() if name not in _ADDED}
    )
    _ADDED[record.name] = record
    return record


def _refuse_taken(record: Question, taken: dict[str, Question]) -> None:
    from probes.errors import UsageError

    if record.name in taken:
        raise UsageError(
            f"{record.package} has the name of another question, {record.name!r}. Give the file or "
            "the package another name."
        )


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
