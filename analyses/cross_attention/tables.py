"""Tables of differences between captures of the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from analyses.divergence.tables import average_measures
from probes.similarity.catalogue import OCCURRENCES
from probes.similarity.measure import Measure
from probes.similarity.tieability import resampled_r2
from probes.stats.bootstrap import interval
from probes.stats.estimates import Estimate
from probes.stats.shared import SharedResamples

if TYPE_CHECKING:
    from analyses.divergence.compute import MeasuredCapture

BASE = "encoder"
"""The site that the others are compared with."""


def keep_space(capture: MeasuredCapture, space: str) -> MeasuredCapture:
    """Drop what was measured in other spaces."""
    pairs = {key: found for key, found in capture.measured.pairs.items() if key[0] == space}
    return replace(capture, measured=replace(capture.measured, pairs=pairs))


def tabulate_differences(
    captures: Mapping[str, MeasuredCapture],
    *,
    base: str,
    measures: Sequence[Measure],
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Subtract one capture's figures from the others', with intervals over their common words.

    Parameters
    ----------
    captures
        Site -> what was measured there; the words are known by name.
    base
        The site that is subtracted.
    measures
        The measures of pairs to tabulate, beside tieability; means over heads in the functional
        space.
    resamples, seed
        Of the words, the same for all sites.

    Returns
    -------
    ``site, population, measure, condition, value, ci_low, ci_high``.
    """
    shared = SharedResamples.draw(
        (
            pair
            for capture in captures.values()
            for pairs in capture.populations.values()
            for pair in zip(pairs.left_name, pairs.right_name, strict=True)
        ),
        words=(word for capture in captures.values() for word in capture.words),
        resamples=resamples,
        seed=seed,
    )
    rows: list[dict[str, Any]] = []
    found = {site: _measure_pairs(capture, measures, shared) for site, capture in captures.items()}
    tied = {site: _tie(capture, shared) for site, capture in captures.items()}
    for site in captures:
        if site == base:
            continue
        for place, estimate in found[site].items():
            if place in found[base]:
                difference = estimate - found[base][place]
                rows.append(_row(site, place, difference.observed, difference.interval()))
        for place, (observed, samples) in tied[site].items():
            if place in tied[base]:
                level, at_base = tied[base][place]
                rows.append(_row(site, place, observed - level, interval(samples - at_base)))
    return pd.DataFrame(rows)


Place = tuple[str, str, str]
"""Population, measure, condition."""


def _measure_pairs(
    capture: MeasuredCapture, measures: Sequence[Measure], shared: SharedResamples
) -> dict[Place, Estimate]:
    """Average every measure of pairs over heads."""
    found: dict[Place, Estimate] = {}
    for population, pairs, comparisons in capture.comparisons():
        bootstrap = shared.bootstrap(list(pairs.left_name), list(pairs.right_name))
        averages = average_measures(comparisons, "functional", bootstrap, measures)
        for (measure, condition), estimate in averages.items():
            found[population, measure, condition] = estimate
    return found


def _tie(capture: MeasuredCapture, shared: SharedResamples) -> dict[Place, tuple[Tensor, Tensor]]:
    """Average tieability over heads: as observed, and by resampled test words."""
    found = {}
    for condition, results in capture.measured.tied.items():
        counts = shared.count_words([capture.words[n] for n in results[0].words.tolist()])
        samples = torch.stack([resampled_r2(result, counts) for result in results], dim=1)
        observed = torch.stack([result.r2 for result in results])
        found[OCCURRENCES, "tieability", condition] = observed.mean(), samples.mean((1, 2))
    return found


def _row(site: str, place: Place, value: Tensor, ends: tuple[Tensor, Tensor]) -> dict[str, Any]:
    names = ("site", "population", "measure", "condition")
    low, high = ends
    return dict(zip(names, (site, *place), strict=True)) | {
        "value": float(value),
        "ci_low": float(low),
        "ci_high": float(high),
    }
