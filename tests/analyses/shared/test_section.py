"""What all sections of the report share: numbers as they are told, and parts that are there."""

from __future__ import annotations

import ast
import math
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

import analyses
from analyses import list_questions
from analyses.shared.numbers import Quantity, join, show, show_interval, tell
from analyses.shared.section import Shown, count_heads, show_first, show_number


@pytest.mark.parametrize("question", list_questions().values(), ids=lambda question: question.name)
def test_every_question_computes_draws_and_describes(question):
    for part in ("__main__", "compute", "figures", "section"):
        assert find_spec(f"{question.package}.{part}") is not None


def test_no_figure_is_held_by_pyplot():
    """Its global state keeps every figure of a process until it warns, which is an error here."""
    drawn = list(Path(analyses.__file__).parent.rglob("*.py"))
    assert len(drawn) > 80
    assert [path.name for path in drawn if "pyplot" in path.read_text(encoding="utf-8")] == []


def list_imports(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize(("own", "other"), [("section", "figures"), ("figures", "section")])
def test_text_imports_no_figures_and_figures_no_text(own, other):
    """What both name is in the question's tables, or in the catalogue."""
    paths = list(Path(analyses.__file__).parent.rglob(f"{own}.py"))
    assert len(paths) > 10
    for path in paths:
        found = [name for name in list_imports(path) if name and name.endswith(f".{other}")]
        assert not set(found) - {"analyses.shared.section"}, path


def test_numbers_are_bold_only_where_they_exclude_nothing():
    assert show_number(math.nan) is None
    assert show_number(0.126, decimals=2) == Shown("0.13")
    assert show_number(0.5, 0.2, 0.8, signed=True) == Shown("0.50", "0.20 to 0.80", clear=True)
    assert show_number(0.5, -0.2, 0.8, signed=True).clear is False
    assert show_number(0.5, 0.2, 0.8).clear is False
    empty = pd.DataFrame({"value": [], "ci_low": [], "ci_high": []})
    assert show_first(empty) is None


def test_quantities_are_told_with_their_interval_and_a_true_minus_sign():
    minus = "\N{MINUS SIGN}"
    loose, clear = Quantity(-0.5, -0.75, 0.25), Quantity.of(pd.Series({"value": 0.25}))
    assert tell(loose) == f"{minus}0.50, {minus}0.75 to 0.25"
    assert (loose.sign, Quantity(0.5, 0.25, 0.75).sign, Quantity(-2.0, -3.0, -1.0).sign) == (
        0,
        1,
        -1,
    )
    assert loose.lies_within(1.0)
    assert not loose.lies_within(0.6)
    assert (tell(clear), show_interval(clear), clear.sign) == ("0.25", "", 0)
    assert not clear.lies_within(1.0)
    assert show(-0.001) == "0.00"
    assert [join([]), join(["a"]), join(["a", "b"])] == ["", "a", "a and b"]
    assert join(["a", "b", "c"]) == "a, b and c"


def test_heads_are_counted_from_their_table():
    heads = pd.DataFrame({"layer": [0, 0, 1, 1, 2, 2], "kv_head": [0, 1] * 3})
    assert count_heads(heads) == "3 layers \N{MULTIPLICATION SIGN} 2 kv heads"
