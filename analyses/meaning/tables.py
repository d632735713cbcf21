"""How well the likeness of keys, and that of values, goes with scores of meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analyses.meaning.compute.scored import ScoredPairs
from analyses.shared.significance import tabulate_tests
from analyses.shared.word_pairs import Similarities, number_words
from probes.stats.estimates import Estimate, PairBootstrap
from probes.stats.rank_correlation import RankCorrelations, rank_correlations

KINDS = ("key", "value", "value - key")
RESAMPLED = (
    ("functional", "trained"),
    ("functional", "random"),
    ("centred", "trained"),
    ("raw", "trained"),
)
HEADLINE = ("functional", "trained")
MEASURES = RankCorrelations._fields


@dataclass(frozen=True)
class Correlations:
    """One list of pairs: (space, condition, measure) -> correlations [kind, layer, head, score].

    ``kind`` is keys, then values. Places that were not resampled have no resamples.
    """

    scored: ScoredPairs
    estimates: dict[tuple[str, str, str], Estimate]
    observed: dict[tuple[str, str, str], Tensor]


def correlate(
    scored: ScoredPairs,
    compared: dict[tuple[str, str], Similarities],
    *,
    resamples: int,
    seed: int,
    on_block: Callable[[int], None] = lambda _: None,
) -> Correlations:
    """Correlate the similarity of keys and of values with every score, plain and partial."""
    scores = torch.tensor(np.stack([scored.table[name].to_numpy() for name in scored.scores]))
    left, right = number_words([scored.rows.left_word, scored.rows.right_word])
    drawn = PairBootstrap.draw(left, right, resamples=resamples, seed=seed)
    estimates, observed = {}, {}
    for place, similarities in compared.items():
        figures = torch.stack([similarities.keys, similarities.values])
        found = [rank_correlations(figures, scores, given=scored.covariates)]
        # Covariates cost most of the time; one place has intervals of what is left given them.
        given = scored.covariates if place == HEADLINE else None
        if place in RESAMPLED:
            found += [
                rank_correlations(figures, scores, given=given, weights=weights, on_block=on_block)
                for weights in (drawn.word_weights, drawn.own_weights)
            ]
        for measure in MEASURES:
            parts = [getattr(part, measure) for part in found]
            observed[*place, measure] = parts[0]
            if place in RESAMPLED and (measure == "plain" or place == HEADLINE):
                estimates[*place, measure] = Estimate(*parts)
    return Correlations(scored, estimates, observed)


def tabulate_meaning(found: Correlations) -> pd.DataFrame:
    """Means over heads: ``dataset, score, pairs, space, condition, measure, kind, value, ...``.

    ``measure`` is ``plain`` or ``partial``; ``kind`` is ``key``, ``value`` or ``value - key``. A
    condition ``trained - random`` is the difference in the functional space, plain. Intervals of
    partial correlations are those of trained heads in the functional space alone.
    """
    parts: list[dict[str, Any]] = []

    def add(place: tuple[str, str, str], means: Estimate | Tensor) -> None:
        space, condition, measure = place
        for number, score in enumerate(found.scored.scores):
            of_score = (
                means.map(lambda t, n=number: t[..., n])  # type: ignore[misc]
                if isinstance(means, Estimate)
                else means[:, number]
            )
            for kind, figure in _split_kinds(of_score).items():
                parts.append(
                    {
                        "dataset": found.scored.dataset,
                        "score": score,
                        "pairs": len(found.scored.table),
                        "space": space,
                        "condition": condition,
                        "measure": measure,
                        "kind": kind,
                        **_summarise(figure),
                    }
                )

    means: dict[tuple[str, str, str], Estimate] = {}
    for place, values in found.observed.items():
        if place not in found.estimates:
            add(place, values.mean((1, 2)))
            continue
        means[place] = found.estimates[place].map(lambda t: t.mean((-3, -2)))
        add(place, means[place])
    trained, random = (means["functional", name, "plain"] for name in ("trained", "random"))
    add(("functional", "trained - random", "plain"), trained - random)
    return pd.DataFrame(parts)


def _split_kinds(figures: Estimate | Tensor) -> dict[str, Estimate | Tensor]:
    """Take apart [..., kind], and add the difference."""
    if isinstance(figures, Estimate):
        key, value = (figures.map(lambda t, n=n: t[..., n]) for n in (0, 1))  # type: ignore[misc]
        return {"key": key, "value": value, "value - key": value - key}
    return {"key": figures[0], "value": figures[1], "value - key": figures[1] - figures[0]}


def _summarise(figure: Estimate | Tensor) -> dict[str, float]:
    if isinstance(figure, Tensor):
        return {"value": float(figure), "ci_low": np.nan, "ci_high": np.nan}
    low, high = figure.interval()
    return {"value": float(figure.observed), "ci_low": float(low), "ci_high": float(high)}


def tabulate_meaning_heads(found: Correlations) -> pd.DataFrame:
    """Value minus key in every layer and kv head, functional space, plain and partial.

    ``value`` is the difference with its interval and p-values, corrected over the heads of a score;
    ``key`` and ``value_alone`` are its parts; ``random_mean`` is over the layer's random heads,
    ``mismatched_mean`` the values of the layer's other heads minus the head's own keys.
    """
    parts = []
    for measure in MEASURES:
        estimate = found.estimates[*HEADLINE, measure]
        null = found.observed["functional", "random", measure]
        for number, score in enumerate(found.scored.scores):
            difference = estimate.map(lambda t, n=number: t[..., 1, :, :, n] - t[..., 0, :, :, n])  # type: ignore[misc]
            key, value = estimate.observed[..., number]
            n_layers, n_heads = key.shape
            others = torch.full_like(key, torch.nan)
            if n_heads > 1:
                others = (value.sum(1, keepdim=True) - value) / (n_heads - 1)
            random = (null[1] - null[0])[..., number].mean(1)
            parts.append(
                pd.DataFrame(
                    {
                        "dataset": found.scored.dataset,
                        "score": score,
                        "measure": measure,
                        "layer": np.repeat(np.arange(n_layers), n_heads),
                        "kv_head": np.tile(np.arange(n_heads), n_layers),
                        **tabulate_tests(difference),
                        "key": key.flatten(),
                        "value_alone": value.flatten(),
                        "mismatched_mean": (others - key).flatten(),
                        "random_mean": random.repeat_interleave(n_heads),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)
