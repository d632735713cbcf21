"""Tables of differences between captures of the same words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from analyses.divergence.tables import average_measures
from analyses.shared.populations import Population
from probes.similarity.tieability import resampled_r2
from probes.stats.bootstrap import interval
from probes.stats.estimates import Estimate
from probes.stats.shared import SharedResamples

if TYPE_CHECKING:
    from analyses.divergence.compute import MeasuredCapture


def keep_space(capture: MeasuredCapture, space: str) -> MeasuredCapture:
    """Drop what was measured in other spaces."""
    pairs = {key: found for key, found in capture.measured.pairs.items() if key[0] == space}
    return replace(capture, measured=replace(capture.measured, pairs=pairs))


def tabulate_differences(
    captures: Mapping[str, MeasuredCapture],
    *,
    base: str,
    measures: Collection[str],
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
        Which measures to tabulate, means over heads in the functional space.
    resamples, seed
        Of the words, the same for all sites.

    Returns
    -------
    ``site, population, measure, condition, value, ci_low, ci_high``.
    """
    names = {
        site: [_name_pairs(population, capture.words) for population in capture.populations]
        for site, capture in captures.items()
    }
    shared = SharedResamples.draw(
        (pair for lists in names.values() for pairs in lists for pair in pairs),
        words=(word for capture in captures.values() for word in capture.words),
        resamples=resamples,
        seed=seed,
    )
    estimates: dict[str, dict[tuple[str, str, str], Estimate]] = {}
    tied: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    for site, capture in captures.items():
        estimates[site] = {}
        for pairs, (population, comparisons) in zip(
            names[site], capture.comparisons(), strict=True
        ):
            bootstrap = shared.bootstrap(*zip(*pairs, strict=True))
            for key, estimate in average_measures(comparisons, "functional", bootstrap).items():
                estimates[site][population.name, *key] = estimate
        tied[site] = _tie(capture, shared)
    rows: list[dict[str, Any]] = []
    for site in captures:
        if site == base:
            continue
        for (population_name, measure, condition), estimate in estimates[site].items():
            other = estimates[base].get((population_name, measure, condition))
            if measure in measures and other is not None:
                difference = estimate - other
                place = (site, population_name, measure, condition)
                rows.append(_row(place, difference.observed, difference.interval()))
        for condition, (observed, samples) in tied[site].items():
            if "tieability" in measures and condition in tied[base]:
                base_observed, base_samples = tied[base][condition]
                rows.append(
                    _row(
                        (site, "occurrences", "tieability", condition),
                        observed - base_observed,
                        interval(samples - base_samples),
                    )
                )
    return pd.DataFrame(rows)


def _name_pairs(population: Population, words: list[str]) -> list[tuple[str, str]]:
    numbers = zip(population.left_word.tolist(), population.right_word.tolist(), strict=True)
    return [(words[left], words[right]) for left, right in numbers]


def _tie(capture: MeasuredCapture, shared: SharedResamples) -> dict[str, tuple[Tensor, Tensor]]:
    """Average tieability over heads: condition -> as observed, and by resampled test words."""
    found = {}
    for condition, results in capture.measured.tied.items():
        counts = shared.count_words([capture.words[n] for n in results[0].words.tolist()])
        samples = torch.stack([resampled_r2(result, counts) for result in results], dim=1)
        observed = torch.stack([result.r2 for result in results])
        found[condition] = (observed.mean(), samples.mean((1, 2)))
    return found


def _row(
    place: tuple[str, str, str, str], value: Tensor, ends: tuple[Tensor, Tensor]
) -> dict[str, Any]:
    names = ("site", "population", "measure", "condition")
    low, high = ends
    return dict(zip(names, place, strict=True)) | {
        "value": float(value),
        "ci_low": float(low),
        "ci_high": float(high),
    }
