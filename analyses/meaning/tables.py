"""How well the similarity of keys, and that of values, goes with scores of meaning."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from analyses.meaning.correlations import HEADLINE, MEASURES, Correlations
from analyses.shared.significance import range_of_difference, tabulate_estimate, tabulate_tests
from analyses.shared.tables import number_heads
from probes.similarity.catalogue import TRAINED, name_difference
from probes.stats.estimates import Estimate

KEYS, VALUES = "keys", "values"
GAP = f"{VALUES} - {KEYS}"
RANDOM = "random_heads"
SCORES = {
    "glove_cos": "GloVe cosine",
    "wup": "Wu-Palmer similarity",
    "lin": "Lin similarity",
    "path": "path similarity",
    "score": "human scores",
}
"""Column of scores -> what they are called."""


def tabulate_meaning(found: Correlations) -> pd.DataFrame:
    """Means over heads: ``dataset, score, pairs, space, condition, measure, part, value, ...``.

    ``measure`` is ``plain`` or ``partial``; ``part`` is ``keys``, ``values`` or ``values - keys``.
    A condition ``trained - random_heads`` is the difference in the functional space, plain.
    Intervals of partial correlations are those of trained heads in the functional space alone.
    """
    means = {
        place: estimate.map(lambda heads: heads.mean((-3, -2)))
        for place, estimate in found.estimates.items()
    }
    means["functional", name_difference(RANDOM), "plain"] = (
        means["functional", TRAINED, "plain"] - means["functional", RANDOM, "plain"]
    )
    rows: list[dict[str, Any]] = []
    for (space, condition, measure), by_part in means.items():
        for number, score in enumerate(found.scored.scores):
            for part, estimate in _split_parts(by_part, number).items():
                rows.append(
                    {
                        "dataset": found.scored.dataset,
                        "score": score,
                        "pairs": len(found.scored.pairs),
                        "space": space,
                        "condition": condition,
                        "measure": measure,
                        "part": part,
                        **tabulate_estimate(estimate, _find_range(part, condition)),
                    }
                )
    return pd.DataFrame(rows)


def _find_range(part: str, condition: str) -> tuple[float, float]:
    """Return the possible range of a correlation, or of a difference of two or of four."""
    found = (-1.0, 1.0)
    for is_difference in (part == GAP, condition == name_difference(RANDOM)):
        found = range_of_difference(found) if is_difference else found
    return found


def _split_parts(by_part: Estimate, number: int) -> dict[str, Estimate]:
    """Take apart [..., part, score] for one score, and add the difference."""
    keys, values = (by_part.map(lambda t, n=n: t[..., n, number]) for n in (0, 1))  # type: ignore[misc]
    return {KEYS: keys, VALUES: values, GAP: values - keys}


def tabulate_meaning_heads(found: Correlations) -> pd.DataFrame:
    """Values minus keys in every layer and kv head, functional space, plain and partial.

    ``value`` is the difference with its interval and p-values, corrected over the heads of a score;
    ``keys`` and ``values`` are its parts; ``random_heads_mean`` is over the layer's random heads,
    ``mismatched_heads_mean`` the values of the layer's other heads minus the head's own keys.
    """
    tables = []
    for measure in MEASURES:
        estimate = found.estimates[*HEADLINE, measure]
        null = found.estimates["functional", RANDOM, measure].observed
        for number, score in enumerate(found.scored.scores):
            of_score = estimate.map(lambda t, n=number: t[..., n])  # type: ignore[misc]
            difference = of_score.map(lambda t: t[..., 1, :, :] - t[..., 0, :, :])
            keys, values = of_score.observed
            n_heads = keys.shape[1]
            others = torch.full_like(keys, torch.nan)
            if n_heads > 1:
                others = (values.sum(1, keepdim=True) - values) / (n_heads - 1)
            random = (null[1] - null[0])[..., number].mean(1)
            tables.append(
                pd.DataFrame(
                    {
                        "dataset": found.scored.dataset,
                        "score": score,
                        "measure": measure,
                        **number_heads(*keys.shape),
                        **tabulate_tests(difference),
                        "keys": keys.flatten(),
                        "values": values.flatten(),
                        "mismatched_heads_mean": (others - keys).flatten(),
                        "random_heads_mean": random.repeat_interleave(n_heads),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)
