"""The code samples and examples of the documents run as they are, and the site builds."""

import functools
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import kvprobes as kv
from probes.similarity.catalogue import find_measure, list_measures, list_nulls

PAGES = [path for room in (".", "howto", "api") for path in sorted(Path("docs", room).glob("*.md"))]
DOCUMENTS = [Path("README.md"), *PAGES]
EXAMPLES = sorted([*Path("docs/tutorial").glob("*.py"), *Path("docs/gallery").glob("*.py")])
BUILT = ("_tutorial/", "_gallery/")
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
            known = target.startswith(("http", *BUILT)) or (path.parent / target).exists()
            assert known, (path, target)


@functools.cache
def load_once(name: str):
    return LOAD(name)


LOAD = kv.load_model


def name_family(label: str) -> str:
    return re.split(r",| \(", label)[0]


@pytest.mark.default_model
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, monkeypatch):
    monkeypatch.setattr(kv, "load_model", load_once, raising=False)
    monkeypatch.setattr(plt, "show", lambda: None)
    drawn = runpy.run_path(str(path))
    assert plt.get_fignums() or "figure" in drawn
    plt.close("all")
    if path.stem == "b_what_measures_see":  # one size of each
        labels = [find_measure(name).label for name in drawn["shown"]]
        assert {*map(name_family, labels)} == {name_family(own.label) for own in list_measures()}
    if path.stem == "d_what_nulls_see":
        assert {*drawn["shown"]} == {null.name for null in list_nulls()}


def test_there_are_enough_examples():
    assert len(EXAMPLES) >= 11
    assert (
        len(
            Path("docs/tutorial/ten_minutes.py")
            .read_text()
            .split("# %%")[0]
            .split('"""')[2]
            .strip()
            .splitlines()
        )
        <= 10
    )


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-D", "plot_gallery=0"]
    source = Path("docs").resolve()
    run = subprocess.run(
        [*command, str(source), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    # Nothing is fetched when a page is read.
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert loaded == [], page
