"""From single runs to rates: how often what was planted is found, with right sign and size."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analyses.shared.tables import select
from kvprobes.calibration.cells import ANSWERS, CELLS
from kvprobes.calibration.reading import FOUND_OTHER, FOUND_PLANTED, MEASURES, PLANTED_SOURCE

NOTHING = {"key_percentile": 50.0, "value_percentile": 50.0, "difference": 0.0}
"""What each measure is where nothing is planted; a size has no such point."""

CLOSE, CLOSE_RATIO = 3.0, 1.1
"""Percentile points, and a factor of a size, within which a number counts as right."""


def tabulate(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Make the tables of a calibration.

    Parameters
    ----------
    runs
        Of all cells and seeds: ``model, cell, seed`` and the columns of `read_answer`.

    Returns
    -------
    ``runs``
        As given.
    ``numbers``
        ``model, cell, source, measure, seeds, planted, found, spread, right, covered``: means over
        seeds, the standard deviation of what was found, the share of seeds with the right sign and
        size (`is_right`), and the share whose interval holds the truth.
    ``answers``
        ``model, cell, source, answer, seeds, yes, no, undetermined, expected, right``: shares of
        the seeds.
    ``heads``
        ``model, cell, source, heads, seeds, found``: the share of the heads, ``planted`` or
        ``other``, that are found by themselves.
    """
    first = ["model", "cell", "seed"]
    runs = runs[[*first, *(name for name in runs if name not in first)]]
    by = ["model", "cell", "source", "measure"]
    numbers, answers, heads = [], [], []
    expected = {cell.name: cell.expected for cell in CELLS}
    for (model, cell, source, measure), mine in runs.groupby(by, sort=False):
        place = {"model": model, "cell": cell, "source": source}
        if measure in MEASURES:
            numbers.append(place | {"measure": measure} | _sum_up(mine, str(measure)))
        elif measure in ANSWERS:
            wanted = expected.get(str(cell), {}).get(str(measure), "")
            wanted = wanted if source == PLANTED_SOURCE else ""
            answers.append(place | {"answer": measure} | _count(mine["verdict"], wanted))
        elif measure in (FOUND_PLANTED, FOUND_OTHER) and mine["found"].notna().any():
            kind = "planted" if measure == FOUND_PLANTED else "other"
            heads.append(place | {"heads": kind, "seeds": len(mine), "found": mine["found"].mean()})
    return {
        "runs": runs,
        "numbers": pd.DataFrame(numbers),
        "answers": pd.DataFrame(answers),
        "heads": pd.DataFrame(heads),
    }


def is_right(row: Any, measure: str) -> bool:
    """Say whether a number has the right sign and size.

    The size is right if the truth is in the interval, or within `CLOSE` points (`CLOSE_RATIO` for a
    gap) of what was found; the sign, if both are on one side of nothing, unless the truth itself is
    within `CLOSE` of it.
    """
    in_interval = row.ci_low <= row.planted <= row.ci_high
    if measure not in NOTHING:
        ratio = abs(math.log(row.found / row.planted))
        return bool(in_interval or ratio <= math.log(CLOSE_RATIO))
    is_close = abs(row.found - row.planted) <= CLOSE
    planted, found = row.planted - NOTHING[measure], row.found - NOTHING[measure]
    return bool((in_interval or is_close) and (abs(planted) < CLOSE or planted * found > 0))


def _sum_up(rows: pd.DataFrame, measure: str) -> dict[str, Any]:
    known = rows[rows["planted"].notna()]
    right = [is_right(row, measure) for row in known.itertuples()]
    inside = (known["ci_low"] <= known["planted"]) & (known["planted"] <= known["ci_high"])
    return {
        "seeds": len(rows),
        "planted": rows["planted"].mean(),
        "found": rows["found"].mean(),
        "spread": rows["found"].std(),
        "right": sum(right) / len(right) if right else math.nan,
        "covered": inside.mean() if len(known) else math.nan,
    }


def _count(verdicts: pd.Series[str], wanted: str) -> dict[str, Any]:
    shares = {name: float((verdicts == name).mean()) for name in ("yes", "no", "undetermined")}
    right = {"yes": shares["yes"], "not yes": 1 - shares["yes"]}.get(wanted, math.nan)
    return {"seeds": len(verdicts)} | shares | {"expected": wanted, "right": right}


def summarise(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Say what a calibration shows, in sentences."""
    numbers, answers = tables["numbers"], tables["answers"]
    judged = answers[answers["expected"] != ""]
    known = numbers[numbers["right"].notna()]
    told = []
    if len(known):
        runs = known["seeds"].sum()
        right, covered = (
            (known[name] * known["seeds"]).sum() / runs for name in ("right", "covered")
        )
        told.append(
            f"{right:.1%} of {runs} numbers in small models have the right sign and size; the 95 % "
            f"interval holds the truth in {covered:.1%}."
        )
    for wanted, what in (("yes", "planted and found"), ("not yes", "not planted, and found")):
        mine = select(judged, expected=wanted)
        if len(mine):
            seeds = mine["seeds"].sum()
            rate = (mine["yes"] * mine["seeds"]).sum() / seeds
            worst = mine.sort_values("right").iloc[0]
            told.append(
                f"{what[0].upper()}{what[1:]}: {rate:.1%} of {seeds} answers; the worst is "
                f"{worst['answer']!r} of {worst['cell']!r} ({worst['yes']:.0%})."
            )
    heads = tables["heads"]
    for (model, cell), mine in heads[heads["model"] != "small"].groupby(
        ["model", "cell"], sort=False
    ):
        shares = dict(zip(mine["heads"], mine["found"], strict=True))
        said = " and ".join(f"{share:.0%} of the {kind} heads" for kind, share in shares.items())
        told.append(f"{model}, {cell} planted: {said} are found.")
    return told
