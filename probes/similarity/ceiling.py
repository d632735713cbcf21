"""How alike keys and values could look at most, given how much templates disagree.

The same pairs are measured in several sentence templates (`compare_templates`). Where one template
orders them otherwise than the next, even two geometries that are truly the same could not look the
same: the reliability of each bounds their representational similarity. All figures take weights
like the measures do, so `PairBootstrap.estimate` gives them intervals.
"""

from __future__ import annotations

from itertools import combinations, permutations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.representational import representational_similarity
from probes.stats.reliability import correct_attenuation


def template_reliability(
    figures: Float[Tensor, "template *head pair"],
    *,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head"] | Float[Tensor, "resample *head"]:
    """Mean Spearman correlation of a pair figure in two different templates.

    The reliability of *one* template: what share of the order of the pairs would occur again in
    another sentence. That of the mean of T templates, which the tables' similarities are, is
    :func:`probes.stats.spearman_brown` of it.

    Parameters
    ----------
    figures
        s_K, s_V, d_K or d_V of the same pairs, template by template.
    weights
        Non-negative weights of the pairs in each resample.

    Returns
    -------
    Float[Tensor, "*head"] or Float[Tensor, "resample *head"]
        float64, in [-1, 1]; with a leading axis if weights are given. 1 where all templates order
        the pairs alike, 0 in expectation where they have nothing in common. Unchanged by strictly
        increasing maps of each template's figures. NaN where a template's are all equal.

    Raises
    ------
    UsageError
        If there are fewer than 2 templates, or weights are negative or all zero.
    NonFiniteError
        If a figure is NaN or infinite.
    """
    _require_templates(figures)
    between = [
        representational_similarity(first, second, weights=weights)
        for first, second in combinations(figures, 2)
    ]
    return torch.stack(between).mean(dim=0)


def disattenuated_similarity(
    key_distance: Float[Tensor, "template *head pair"],
    value_distance: Float[Tensor, "template *head pair"],
    *,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head"] | Float[Tensor, "resample *head"]:
    """Representational similarity of what keys and values hold in every template alike.

    Mean Spearman correlation of d_K in one template and d_V in *another*, divided by the square
    root of the two reliabilities (Spearman 1904). Keys and values of one template read the same x,
    so what is peculiar to a template is in both, and the usual quotient, within templates, would
    count it as agreement.

    Parameters
    ----------
    key_distance, value_distance
        d_K and d_V of the same pairs, template by template.
    weights
        Non-negative weights of the pairs in each resample.

    Returns
    -------
    Float[Tensor, "*head"] or Float[Tensor, "resample *head"]
        float64. 1 where keys and values have the same stable part, however noisy either is; chance
        can take it beyond. NaN where a reliability is not above 0.

    Raises
    ------
    UsageError
        If there are fewer than 2 templates, shapes disagree, or weights are negative or all zero.
    NonFiniteError
        If a distance is NaN or infinite.
    """
    _require_templates(key_distance)
    across = [
        representational_similarity(key_distance[a], value_distance[b], weights=weights)
        for a, b in permutations(range(len(key_distance)), 2)
    ]
    return correct_attenuation(
        torch.stack(across).mean(dim=0),
        template_reliability(key_distance, weights=weights),
        template_reliability(value_distance, weights=weights),
    )


def _require_templates(figures: Tensor) -> None:
    if figures.ndim < 2 or figures.shape[0] < 2:
        raise UsageError(
            f"The figures have shape {tuple(figures.shape)}; expected [template, *head, pair] with "
            "at least 2 templates, since what templates share cannot be distinguished from one."
        )
