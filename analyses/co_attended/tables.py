"""Tables of what queries attend to together: means, sizes, heads, and the four answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from scipy.stats import false_discovery_control, norm

from analyses.co_attended.measured import HEAD_MEASURES, WEIGHTINGS, Measured
from analyses.co_attended.sources import TEXT_SOURCES
from analyses.co_attended.verdict import (
    Evidence,
    judge,
    try_difference,
    try_keys,
    try_use,
    try_values,
)
from probes.similarity.catalogue import TRAINED, name_difference
from probes.similarity.co_attended.figures import GAPS, STATISTICS, find_range
from probes.stats.clusters import RatioEstimate
from probes.stats.multiple import max_t

CONDITIONS = {
    "own": TRAINED,
    "mismatched_heads": "mismatched_heads",
    "shuffled_attention": "shuffled_attention",
    "matched": "matched_pairs",
    "random_heads": "random_heads",
}
"""Selection -> the condition as tables name it."""

_NORMAL_95 = float(norm.ppf(0.975))


def weigh(measured: Measured, estimate: RatioEstimate) -> Evidence:
    """Return a number with its standard error and the degrees of freedom of its interval."""
    variance, degrees = measured.clusters.variance(estimate)
    return Evidence(float(estimate.observed), float(variance.sqrt()), float(degrees))


def bound(
    measured: Measured, estimate: RatioEstimate, possible: tuple[float, float]
) -> dict[str, float]:
    """Return ``value, ci_low, ci_high``; no end leaves the possible range."""
    low, high = possible
    ends = measured.clusters.interval(estimate, low=low, high=high)
    return {
        "value": float(estimate.observed),
        "ci_low": float(ends[0]),
        "ci_high": float(ends[1]),
    }


def read_excess(
    measured: Measured, null: str, statistic: str, weighting: str = "plain"
) -> RatioEstimate | None:
    """Return a statistic of what heads choose themselves, less that of a null; None without it."""
    if not measured.has(null):
        return None
    own, other = (measured.read(name, statistic, weighting) for name in ("own", null))
    return own - other


def tabulate_summary(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate every statistic under every condition, and what is beyond each null."""
    return pd.DataFrame([row for measured in found for row in _summarise(measured)])


def _summarise(measured: Measured) -> Iterator[dict[str, Any]]:
    for weighting in WEIGHTINGS:
        for statistic in STATISTICS:
            if statistic in GAPS:
                continue
            low, high = find_range(statistic)
            place = {"source": measured.source, "measure": statistic, "weighting": weighting}
            for selection in filter(measured.has, measured.selections):
                estimate = measured.read(selection, statistic, weighting)
                ends = bound(measured, estimate, (low, high))
                yield place | {"condition": CONDITIONS[selection]} | ends
                if selection == "own":
                    continue
                excess = read_excess(measured, selection, statistic, weighting)
                if excess is not None:
                    ends = bound(measured, excess, (low - high, high - low))
                    yield place | {"condition": name_difference(CONDITIONS[selection])} | ends


def relate_value_gaps(measured: Measured) -> RatioEstimate:
    """Return the value gap of co-attended pairs over that of matched pairs."""
    own, matched = (measured.read(name, "value_gap").root() for name in ("own", "matched"))
    ratio = own.observed / matched.observed
    influence = ratio * (own.influence / own.observed - matched.influence / matched.observed)
    return RatioEstimate(ratio, influence, own.share)


def tabulate_sizes(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate gaps in units that mean something to the model."""
    rows: list[dict[str, Any]] = []
    endless = (0.0, math.inf)
    for measured in found:
        for selection in filter(measured.has, measured.selections):
            if selection == "random_heads":
                continue  # their logits have another scale
            place = {"source": measured.source, "condition": CONDITIONS[selection]}
            gap = bound(measured, measured.read(selection, "key_gap").root(), endless)
            rows.append(place | {"measure": "key_gap"} | gap)
            for name, share in zip(("written", "stream"), measured.sizes[selection], strict=True):
                rows.append(place | {"measure": f"value_gap_over_{name}", "value": share})
        place = {"source": measured.source, "condition": TRAINED}
        ratio = bound(measured, relate_value_gaps(measured), endless)
        rows.append(place | {"measure": "value_gap_over_matched"} | ratio)
    return pd.DataFrame(rows)


BELOW = ("value_percentile",)
"""Measures of single heads that mean yes below their mark; the others do above it."""


def tabulate_heads(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate every query head, and test it against the mark of each answer.

    ``p`` is one-sided. Corrected over all heads of a source and measure are ``p_bh`` (false
    discovery rate) and ``p_max_t`` (any false head at all; `probes.stats.multiple.max_t`).
    """
    tables = []
    for measured in found:
        for name, rows in measured.heads.groupby("measure", sort=False):
            side = -1 if name in BELOW else 1
            deviate = torch.from_numpy(side * rows["deviate"].to_numpy())
            p = norm.sf(deviate.numpy())
            own = rows.drop(columns="deviate").assign(
                p=p,
                p_bh=false_discovery_control(p),
                p_max_t=max_t(
                    deviate, side * measured.draws[str(name)], alternative="greater"
                ).numpy(),
            )
            own.insert(0, "source", measured.source)
            tables.append(own)
    return pd.concat(tables, ignore_index=True)


def tabulate_counts(found: Sequence[Measured]) -> pd.DataFrame:
    """Count what each source rests on."""
    return pd.DataFrame(
        {
            "source": [measured.source for measured in found],
            "units": [measured.units for measured in found],
            "selected": [measured.selected for measured in found],
            "heads": [len(measured.heads) // len(HEAD_MEASURES) for measured in found],
        }
    )


def tabulate_answers(
    found: Sequence[Measured], swaps: Mapping[str, pd.DataFrame] | None
) -> pd.DataFrame:
    """Give the four answers of every source."""
    use = None if swaps is None else _try_swaps(swaps["indices"])
    rows = []
    for measured in found:

        def excess(null: str, statistic: str, measured: Measured = measured) -> Evidence | None:
            beyond = read_excess(measured, null, statistic)
            return None if beyond is None else weigh(measured, beyond)

        own = {
            name: weigh(measured, measured.read("own", name))
            for name in ("key_percentile", "value_percentile", "difference")
        }
        gap = weigh(measured, measured.read("own", "key_gap").root())
        tests = {
            "keys alike": try_keys(
                own["key_percentile"], excess("mismatched_heads", "key_percentile"), gap
            ),
            "values less alike": try_difference(
                own["difference"], excess("mismatched_heads", "difference")
            ),
            "values dissimilar": try_values(
                own["value_percentile"],
                excess("matched", "quadrant") or Evidence(0.0, math.inf),
                weigh(measured, relate_value_gaps(measured)),
            ),
            "difference used": use,
        }
        is_pairs = measured.source not in TEXT_SOURCES
        answers = judge(
            tests,
            pairs=measured.judged if is_pairs else None,
            selected=int(measured.selected) if is_pairs else None,
        )
        rows += [
            {
                "source": measured.source,
                "name": answer.name,
                "question": answer.question,
                "verdict": answer.verdict,
                "p_yes": answer.p_yes,
                "p_no": answer.p_no,
                "reason": answer.reason,
            }
            for answer in answers
        ]
    return pd.DataFrame(rows)


def _try_swaps(indices: pd.DataFrame) -> tuple[float, float] | None:
    rows = indices[(indices["scope"] == "all") & (indices["measure"] == "total_variation")]
    own, beyond = (
        rows[rows["population"] == name]
        for name in ("word pairs", "word pairs - matched random pairs")
    )
    if own.empty or beyond.empty:
        return None
    return try_use(*(_read_evidence(table.iloc[0]) for table in (own, beyond)))


def _read_evidence(row: pd.Series[Any]) -> Evidence:
    width = float(row["ci_high"]) - float(row["ci_low"])
    return Evidence(float(row["value"]), width / (2 * _NORMAL_95))
