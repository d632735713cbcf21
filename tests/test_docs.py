"""The code samples of the documents run as they stand."""

import re
from pathlib import Path

import pytest

DOCUMENTS = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
SAMPLES = [
    pytest.param(code, id=f"{path.name}-{number}")
    for path in DOCUMENTS
    for number, code in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    )
]


@pytest.mark.default_model
@pytest.mark.parametrize("code", SAMPLES)
def test_sample_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "sample", "exec"), {})  # noqa: S102 - our own documents


def test_links_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert target.startswith("http") or (path.parent / target).exists(), (path, target)
