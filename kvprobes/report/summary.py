"""What a script wants to know of a result folder: every answer, the versions, the report."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from analyses import list_questions
from kvprobes.results import PACKAGES, ResultFolder


def summarise(folder: ResultFolder) -> dict[str, Any]:
    """Return folder, report, versions and, question by question, what it asks and its answer.

    A question with a table ``summary`` has its rows too.
    """
    answers = {}
    for question in list_questions().values():
        if not folder.has_answer(question.name):
            continue
        tables = folder.read_tables(question.name)
        told: dict[str, Any] = {
            "asks": question.asks,
            "answer": list(folder.describe(question).answer),
        }
        if "summary" in tables:
            summary = tables["summary"].astype(object)
            told["summary"] = summary.where(summary.notna(), None).to_dict("records")
        answers[question.name] = told
    return {
        "folder": str(folder.path),
        "report": str(folder.report_path),
        "answers": answers,
        "versions": {name: version(name) for name in PACKAGES},
    }
