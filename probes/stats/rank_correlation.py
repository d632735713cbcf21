"""Spearman correlations of many figures with a few scores, plain and given other variables.

Unlike `probes.similarity.representational_similarity`, which compares figure with figure, one small
set of scores and covariates is ranked once per resample and shared by all heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.parallel import map_threads
from probes.stats.checks import require_finite
from probes.stats.ranks import check_weights, sort_rows

_RESAMPLES = 32  # a block of [pair, resample] numbers is 0.8 MB for 6,000 pairs: within the cache
_SMALL = 1e-6  # relative: what float32 sums leave of an eigenvalue that is 0


class RankCorrelations(NamedTuple):
    """Correlations [*head, score], with a leading axis of resamples if weights were given."""

    plain: Tensor
    partial: Tensor


def rank_correlations(
    figures: Float[Tensor, "*head pair"],
    scores: Float[Tensor, "score pair"],
    *,
    given: Float[Tensor, "covariate pair"] | None = None,
    weights: Float[Tensor, "resample pair"] | None = None,
    on_block: Callable[[int], None] = lambda _: None,
) -> RankCorrelations:
    """Correlate the ranks of every figure with the ranks of every score.

    ``plain`` is Spearman's correlation: that of midranks. ``partial`` is the correlation of what
    linear regression on the covariates' midranks leaves of the two midranks (equal to ``plain``
    without covariates). All ranks are computed again in every resample: an integer weight says
    exactly what that many copies of the pair would say.

    1 for a strictly increasing relation, -1 for a decreasing one, 0 in expectation for independent
    ones; ``partial`` is about 0 where figure and score have in common only what the covariates
    tell. Unchanged by strictly increasing maps of anything, by the order of pairs, and by
    covariates that are constant or come twice.

    Parameters
    ----------
    figures
        Similarities of the pairs, one row per head.
    scores
        What to correlate them with.
    given
        Covariates, such as the frequency of the words.
    weights
        Non-negative weights of the pairs in each resample (`pair_weights`).
    on_block
        Called after every 32 resamples.

    Returns
    -------
    float64, in [-1, 1]. NaN where a figure or score does not vary, or is given by the covariates.

    Raises
    ------
    UsageError
        If the numbers of pairs disagree.
    NonFiniteError
        If a number is NaN or infinite.

    Notes
    -----
    Kendall & Stuart, The Advanced Theory of Statistics, vol. 2, on partial correlation.
    """
    _check(figures, scores, given, weights)
    head = figures.shape[:-1]
    used = torch.ones(1, figures.shape[-1]) if weights is None else weights
    beside = scores if given is None else torch.cat([scores.double(), given.double()])
    rows = [_sort(row) for row in figures.reshape(-1, figures.shape[-1])]
    columns = [_sort(row) for row in beside]
    plain, partial = [], []
    for block in torch.split(used.float(), _RESAMPLES):
        weight = block.T.contiguous()
        measured = _measure_block(rows, columns, weight, len(scores))
        plain.append(measured.plain)
        partial.append(measured.partial)
        on_block(1)
    shape = (len(used), *head, len(scores))
    result = RankCorrelations(torch.cat(plain).reshape(shape), torch.cat(partial).reshape(shape))
    return result if weights is not None else RankCorrelations(*(part[0] for part in result))


@dataclass(frozen=True)
class _Sorted:
    """The order of one row, and for each sorted place its tie's first and last, if any tie."""

    order: Int[Tensor, " pair"]
    first: Int[Tensor, " pair"] | None
    last: Int[Tensor, " pair"] | None


def _sort(row: Float[Tensor, " pair"]) -> _Sorted:
    found = sort_rows(row[None], descending=False)
    if not found.tied:
        return _Sorted(found.order[0], None, None)
    return _Sorted(found.order[0], found.first[0], found.last[0])


def _rank(
    row: _Sorted, weights: Float[Tensor, "pair resample"], total: Float[Tensor, " resample"]
) -> Float[Tensor, "pair resample"]:
    """Midranks less their mean, as a share of the total: between -1/2 and 1/2."""
    ordered = weights.index_select(0, row.order)
    through = ordered.cumsum(0)
    before = through - ordered
    if row.first is not None and row.last is not None:
        before, through = before.index_select(0, row.first), through.index_select(0, row.last)
    middle = before.add_(through).div_(2 * total).sub_(0.5)
    return torch.empty_like(middle).index_copy_(0, row.order, middle)


def _measure_block(
    rows: list[_Sorted], columns: list[_Sorted], weights: Tensor, n_scores: int
) -> RankCorrelations:
    """Correlate in one block of resamples; results [resample, row, score]."""
    total = weights.sum(0)
    beside = torch.stack([_rank(column, weights, total) for column in columns])
    weighted = beside * weights
    # [resample, column, column]
    own = torch.stack([(weighted * column).sum(1) for column in beside]).double().permute(2, 0, 1)

    def measure(row: _Sorted) -> Tensor:
        rank = _rank(row, weights, total)
        cross = torch.stack([(column * rank).sum(0) for column in weighted])
        spread = (rank.square_().mul_(weights)).sum(0)
        return torch.cat([cross, spread[None]]).double()

    moments = torch.stack(map_threads(measure, rows)).permute(2, 0, 1)  # [resample, row, column]
    cross, spread = moments[..., :-1], moments[..., -1]
    of_score = own.diagonal(dim1=1, dim2=2)[:, None, :n_scores]
    plain = _correlate(cross[..., :n_scores], spread[..., None], of_score)
    if own.shape[1] == n_scores:
        return RankCorrelations(plain, plain)
    inverse = torch.linalg.pinv(own[:, n_scores:, n_scores:], hermitian=True, rtol=_SMALL)
    told = cross[..., n_scores:] @ inverse  # [resample, row, covariate]
    score_cross = own[:, n_scores:, :n_scores]
    left = cross[..., :n_scores] - told @ score_cross
    row_left = spread - (told * cross[..., n_scores:]).sum(-1)
    score_left = of_score - (score_cross * (inverse @ score_cross)).sum(1)[:, None]
    # What rounding leaves of nothing is nothing.
    row_left = torch.where(row_left > _SMALL * spread, row_left, 0.0)
    score_left = torch.where(score_left > _SMALL * of_score, score_left, 0.0)
    return RankCorrelations(plain, _correlate(left, row_left[..., None], score_left))


def _correlate(joint: Tensor, one: Tensor, other: Tensor) -> Tensor:
    scale = (one * other).sqrt()
    return torch.where(scale > 0, joint / scale, torch.nan).clamp(-1, 1)


def _check(figures: Tensor, scores: Tensor, given: Tensor | None, weights: Tensor | None) -> None:
    n_pairs = figures.shape[-1]
    require_finite("the figures", figures)
    for name, values in (("scores", scores), ("covariates", given)):
        if values is None:
            continue
        if values.ndim != 2 or values.shape[1] != n_pairs:
            raise UsageError(
                f"The {name} have shape {tuple(values.shape)} for {n_pairs} pairs; give "
                "[row, pair] of the same pairs."
            )
        require_finite(f"the {name}", values)
    check_weights(weights, n_pairs)
