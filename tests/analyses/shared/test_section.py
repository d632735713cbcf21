"""The sentences of the report's parts follow from the numbers, whatever these are."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from analyses import figures
from analyses.substitution.section import describe_substitution, describe_swaps
from analyses.probing.section import describe as describe_probing
from analyses.shared.section import Shown, show_first, show_number
from kvprobes.captures.pairs import ANALYSES, FROM_MODEL, find_analysis


@pytest.mark.parametrize("name", [*ANALYSES, *FROM_MODEL])
def test_every_analysis_computes_draws_and_describes(name):
    analysis = find_analysis(name)
    assert name == analysis.NAME
    assert callable(analysis.compute)
    assert callable(analysis.draw)
    assert name == "divergence" or callable(analysis.describe)


def test_no_figure_is_held_by_pyplot():
    """Its global state keeps every figure of a process until it warns, which is an error here."""
    folder = Path(figures.__file__).parent
    drawn = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(drawn) > 10
    assert [path.name for path in drawn if "pyplot" in path.read_text(encoding="utf-8")] == []


def test_numbers_are_bold_only_where_they_exclude_nothing():
    assert show_number(math.nan) is None
    assert show_number(0.126, decimals=2) == Shown("0.13")
    assert show_number(0.5, 0.2, 0.8, signed=True) == Shown("0.50", "0.20 to 0.80", clear=True)
    assert show_number(0.5, -0.2, 0.8, signed=True).clear is False
    assert show_number(0.5, 0.2, 0.8).clear is False
    empty = pd.DataFrame({"value": [], "ci_low": [], "ci_high": []})
    assert show_first(empty) is None


def make_probing(gap, slice_score=0.4):
    rows = [
        ("k", 0.6, 0.55, 0.65),
        ("v", 0.6 + gap[0], 0.5, 0.7),
        ("slice", slice_score, 0.3, 0.5),
        ("v - k", *gap),
    ]
    table = pd.DataFrame(rows, columns=["what", "value", "ci_low", "ci_high"])
    return table.assign(
        **{"property": "colour", "score": "accuracy", "majority": 0.3, "control": 0.31},
        **{"selectivity": table["value"] - 0.31, "compression": 1.5, "refit_sd": 0.012},
    )


@pytest.mark.parametrize(
    ("gap", "start"),
    [
        ((-0.1, -0.2, -0.05), "Keys know more of colour (value score less key score"),
        ((0.1, 0.05, 0.2), "Values know more of colour"),
        ((0.1, -0.05, 0.2), "The two cannot be told apart in colour"),
    ],
)
def test_probes_say_who_knows_more(gap, start):
    answer = describe_probing({"summary": make_probing(gap)}, {}).answer
    assert len(answer) == 1
    assert answer[0].startswith(start)


def test_probes_say_where_a_blind_slice_knows_most():
    summary = make_probing((0.0, -0.1, 0.1), slice_score=0.9)
    section = describe_probing({"summary": summary}, {})
    assert section.answer[-1].startswith("A random slice of x")
    assert section.tables[0].rows[0][5] == Shown("0.900", "0.300 to 0.500")
    efforts = section.tables[1]
    row = dict(zip(efforts.columns, efforts.rows[0], strict=True))
    assert row["selectivity of keys"] == Shown("0.290")
    assert row["compression by values"] == Shown("1.500")
    assert row["spread of values, less keys"] == Shown("0.0120")


def make_substitution(low, high):
    kinds = {"keys": 0.3, "mean": 4.0, "other keys": 0.6, "slice": 0.7, "clamp": 12.0}
    summary = pd.DataFrame(
        [
            {
                **{"scope": "all", "kind": kind, "fit": "at once", "rise": rise},
                **{"ci_low": rise - 0.1, "ci_high": rise + 0.1, "recovered": 1 - rise / 4},
                **{"recovered_low": 0.0, "recovered_high": 1.0},
            }
            for kind, rise in kinds.items()
        ]
    )
    geometry = pd.DataFrame(
        [
            {
                **{"measure": "tieability", "cost": "rise, mean ablation held constant"},
                **{"value": (low + high) / 2, "ci_low": low, "ci_high": high, "heads": 90},
            }
        ]
    )
    return {"summary": summary, "geometry": geometry}


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.5, -0.1, "predicts what"),
        (0.1, 0.5, "does not predict"),
        (-0.2, 0.2, "cannot be shown to predict"),
    ],
)
def test_substitution_says_what_comes_back_and_whether_geometry_told(low, high, words):
    told = describe_substitution(make_substitution(low, high), {}).answer
    assert "rises by 0.30 nats a token (0.20 to 0.40)" in told[0]
    assert "92 % comes back" in told[0] or "93 % comes back" in told[0]
    assert words in told[1]


def make_swaps(index, gap):
    summary = pd.DataFrame(
        [
            {
                **{"population": population, "scope": "all", "part": part, "measure": measure},
                **{"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1},
            }
            for population in ("word pairs", "random pairs")
            for part, value in (("key", 0.24), ("value", 0.47), ("both", 0.5))
            for measure in ("total_variation", "transfer")
        ]
    )
    indices = pd.DataFrame(
        [
            {
                **{"population": population, "scope": "all", "measure": "total_variation"},
                **dict(zip(("value", "ci_low", "ci_high"), figures, strict=True)),
            }
            for population, figures in (("word pairs", index), ("word pairs - random pairs", gap))
        ]
    )
    return {"summary": summary, "indices": indices}


@pytest.mark.parametrize(
    ("index", "gap", "first", "second"),
    [
        (
            (0.3, 0.2, 0.4),
            (0.0, -0.1, 0.1),
            "values carry more",
            "Random matched words cannot be told from them",
        ),
        ((-0.3, -0.4, -0.2), (0.2, 0.1, 0.3), "keys carry more, against", "differ more than"),
        ((0.0, -0.1, 0.1), (-0.2, -0.3, -0.1), "cannot be told apart", "differ less than"),
    ],
)
def test_swaps_answer_the_prediction(index, gap, first, second):
    told = describe_swaps(make_swaps(index, gap), {}).answer
    assert first in told[0]
    assert second in told[1]
