"""What the instrument found in one model, beside what was planted: one long table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analyses.co_attended.verdict import LEVEL
from analyses.shared.tables import select
from probes.planted.truth import Truth

PLANTED_SOURCE = "coordination"
"""The source of which the truth is known as a number; of running text only the answers count."""

MEASURES = ("key_percentile", "value_percentile", "difference", "key_gap")
HEAD_TESTS = ("key_percentile", "difference")
FOUND_PLANTED, FOUND_OTHER = "planted heads found", "other heads found"


def read_answer(
    tables: Mapping[str, pd.DataFrame], planted: Sequence[bool], truth: Truth | None
) -> pd.DataFrame:
    """Set the tables of `analyses.co_attended` beside what was planted.

    Parameters
    ----------
    planted
        For each query head, layer by layer, whether it was planted.
    truth
        By kv head, in the same order; None where it is not known as a number.

    Returns
    -------
    ``source, measure, planted, found, ci_low, ci_high, verdict``. A measure is a mean over heads
    (`MEASURES`), an answer (with its ``verdict``), or the share of the heads, planted or other,
    that are found by themselves: keys above their mark, values less alike, corrected over heads.
    """
    rows: list[dict[str, Any]] = []
    for source in tables["counts"]["source"]:
        known = _average(truth) if truth is not None and source == PLANTED_SOURCE else {}
        for measure in MEASURES:
            found = select(
                tables["sizes" if measure == "key_gap" else "summary"],
                source=source,
                measure=measure,
                condition="trained",
            )
            if measure != "key_gap":
                found = select(found, weighting="plain")
            numbers = {
                name: float(found[name].iloc[0]) if len(found) else math.nan
                for name in ("value", "ci_low", "ci_high")
            }
            numbers["found"] = numbers.pop("value")
            rows.append({"measure": measure, "planted": known.get(measure, math.nan)} | numbers)
            rows[-1]["source"] = source
        for answer in select(tables["answers"], source=source).itertuples():
            rows.append({"source": source, "measure": answer.name, "verdict": answer.verdict})
        heads = select(tables["heads"], source=source)
        detected = pd.concat(
            [select(heads, measure=name)["p_bh"].reset_index(drop=True) for name in HEAD_TESTS],
            axis=1,
        ).max(axis=1)
        own = pd.Series(list(planted))
        for name, mine in ((FOUND_PLANTED, own), (FOUND_OTHER, ~own)):
            share = float((detected[mine] < LEVEL).mean()) if mine.any() else math.nan
            rows.append({"source": source, "measure": name, "found": share})
    names = ["source", "measure", "planted", "found", "ci_low", "ci_high", "verdict"]
    return pd.DataFrame(rows, columns=names).fillna({"verdict": ""})


def _average(truth: Truth) -> dict[str, float]:
    keys, values = float(truth.key_percentile.mean()), float(truth.value_percentile.mean())
    gap = float((truth.key_gap**2).mean() ** 0.5)
    return {
        "key_percentile": keys,
        "value_percentile": values,
        "difference": keys - values,
        "key_gap": gap,
    }
