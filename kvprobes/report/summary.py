"""What a script wants to know of a result folder: every answer, the versions, the report."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from kvprobes.report.parts import gather_parts
from kvprobes.results import PACKAGES, ResultFolder


def summarise(folder: ResultFolder) -> dict[str, Any]:
    """Return folder, report, versions and, question by question, what it asks and its answer.

    A question with a table ``summary`` has its rows too. Questions that should have been in the
    report but are not are listed in ``absent`` with the reason.
    """
    parts, absences = gather_parts(folder)
    answers = {}
    for part in parts:
        told: dict[str, Any] = {"asks": part.question.asks, "answer": list(part.section.answer)}
        if part.section.verdict:
            told["verdict"] = part.section.verdict
        tables = folder.read_tables(part.question.name)
        if "summary" in tables:
            summary = tables["summary"].astype(object)
            told["summary"] = summary.where(summary.notna(), None).to_dict("records")
        answers[part.question.name] = told
    return {
        "folder": str(folder.path),
        "report": str(folder.report_path),
        "answers": answers,
        "absent": {gap.question.name: gap.reason for gap in absences if gap.is_due},
        "versions": {name: version(name) for name in PACKAGES},
    }
