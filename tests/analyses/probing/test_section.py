"""Sentences about linear probes follow from the numbers, whatever these are."""

from __future__ import annotations

import pandas as pd
import pytest

from analyses.probing import QUESTION
from analyses.shared.section import Shown


def make_summary(gap, slice_score=0.4):
    rows = [
        ("keys", 0.6, 0.55, 0.65),
        ("values", 0.6 + gap[0], 0.5, 0.7),
        ("random_slice", slice_score, 0.3, 0.5),
        ("values - keys", *gap),
    ]
    table = pd.DataFrame(rows, columns=["part", "value", "ci_low", "ci_high"])
    return table.assign(
        **{"property": "colour", "score": "accuracy", "majority": 0.3, "control": 0.31},
        **{"selectivity": table["value"] - 0.31, "compression": 1.5, "refit_sd": 0.012},
    )


@pytest.mark.parametrize(
    ("gap", "start"),
    [
        (
            (-0.1, -0.2, -0.05),
            "Keys know more of colour (\N{MINUS SIGN}0.100, \N{MINUS SIGN}0.200 to "
            "\N{MINUS SIGN}0.050).",
        ),
        ((0.1, 0.05, 0.2), "Values know more of colour (0.100, 0.050 to 0.200)."),
        ((0.1, -0.05, 0.2), "Neither keys nor values clearly know more of colour (0.100, "),
    ],
)
def test_probes_say_who_knows_more(gap, start):
    answer = QUESTION.describe({"summary": make_summary(gap)}, {}).answer
    assert len(answer) == 1
    assert answer[0].startswith(start)
    assert answer[0].endswith("values minus that of keys, with 95 % intervals.")


def test_probes_say_where_a_blind_slice_knows_most():
    summary = make_summary((0.0, -0.1, 0.1), slice_score=0.9)
    section = QUESTION.describe({"summary": summary}, {})
    assert section.answer[-1].startswith("A random slice of x")
    assert section.tables[0].rows[0][5] == Shown("0.900", "0.300 to 0.500")
    efforts = section.tables[1]
    row = dict(zip(efforts.columns, efforts.rows[0], strict=True))
    assert row["selectivity of keys"] == Shown("0.290")
    assert row["compression by values"] == Shown("1.500")
    assert row["spread of values, less keys"] == Shown("0.0120")
