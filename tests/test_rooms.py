"""Modules stay small enough to be read at once, and cite what ships."""

import re
from pathlib import Path
from statistics import median

MODULES = {
    path: path.read_text(encoding="utf-8")
    for room in ("probes", "analyses", "kvprobes")
    for path in Path(room).rglob("*.py")
}


def test_modules_are_short():
    lines = {path: len(text.splitlines()) for path, text in MODULES.items()}
    assert {path: count for path, count in lines.items() if count > 400} == {}
    assert median(lines.values()) <= 130


def test_sources_are_documents_that_ship():
    cited = {
        (path, document)
        for path, text in MODULES.items()
        for document in re.findall(r"\b[\w/]+\.md\b", text)
    }
    assert {(path, name) for path, name in cited if not Path(name).is_file()} == set()
