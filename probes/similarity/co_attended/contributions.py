"""Contributions: what each unit (event, pair of words, document) adds to every statistic.

A statistic is a ratio, a sum over chosen pairs over the number chosen, with ranks and thresholds
held fixed. Numerators and denominators add up over units, so resampled figures are products of
weights [resample, unit] with these (`probes.stats.clusters`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.naming import require_known
from probes.similarity.co_attended.figures import STATISTICS, RankedPairs
from probes.similarity.co_attended.ranks import stratum_means
from probes.similarity.co_attended.reference import reference_parts

SELECTIONS = ("own", "mismatched_heads", "shuffled_attention", "matched", "random_heads")
"""Whose attention chooses; ``matched`` is every pair of the strata of those chosen by ``own``."""

SUMS = ("numerator", "denominator", "count")


@dataclass(frozen=True)
class Contributions:
    """Numerators and denominators of one layer, float64.

    Attributes
    ----------
    selections, statistics
        The names along the first axes.
    numerator
        Sum over a unit's pairs of the choice times the statistic.
    denominator
        Sum over a unit's pairs of the choice.
    count
        How many of a unit's pairs are chosen at all.
    """

    selections: tuple[str, ...]
    statistics: tuple[str, ...]
    numerator: Float[Tensor, "selection statistic head unit"]
    denominator: Float[Tensor, "selection head unit"]
    count: Float[Tensor, "selection head unit"]

    @classmethod
    def join(cls, parts: Sequence[Contributions]) -> Contributions:
        """Put the units of several parts (documents) behind each other.

        Raises
        ------
        UsageError
            If there is nothing to join, or selections or statistics differ.
        """
        if not parts:
            raise UsageError("There are no contributions to join; give one or more.")
        names = {(part.selections, part.statistics) for part in parts}
        if len(names) > 1:
            raise UsageError(
                f"Contributions with selections and statistics {sorted(names)} cannot be joined; "
                "make all of them with the same settings."
            )
        joined = [torch.cat([getattr(part, name) for part in parts], -1) for name in SUMS]
        return cls(parts[0].selections, parts[0].statistics, *joined)

    @classmethod
    def merge(cls, parts: Sequence[Contributions]) -> Contributions:
        """Put the selections of several parts, of the same units and heads, into one."""
        return cls(
            tuple(name for part in parts for name in part.selections),
            parts[0].statistics,
            *(torch.cat([getattr(part, name) for part in parts]) for name in SUMS),
        )

    def add_up(self, unit: Int[Tensor, " unit"], count: int) -> Contributions:
        """Add up units that make one larger unit: the sentences of one pair of words.

        Parameters
        ----------
        unit
            The number of the larger unit, from 0.
        count
            How many of these there are.
        """

        def add(part: Tensor) -> Tensor:
            return part.new_zeros(*part.shape[:-1], count).index_add_(-1, unit, part)

        sums = [add(getattr(self, name)) for name in SUMS]
        return Contributions(self.selections, self.statistics, *sums)

    def ratios(
        self, weights: Float[Tensor, "resample unit"] | None = None
    ) -> Float[Tensor, "*resample selection statistic head"]:
        """Return the statistics; NaN where nothing is chosen.

        Parameters
        ----------
        weights
            How often each unit counts; by default once.
        """
        if weights is None:
            return self.numerator.sum(-1) / self.denominator.sum(-1)[:, None]
        used = weights.double().T
        below = (self.denominator @ used).movedim(-1, 0)[:, :, None]
        return (self.numerator @ used).movedim(-1, 0) / below

    def find(self, selection: str, statistic: str) -> tuple[Tensor, Tensor]:
        """Return numerator and denominator [head, unit] of one statistic of one selection.

        Raises
        ------
        UsageError
            If one of them is not there.
        """
        require_known("selection", selection, self.selections)
        require_known("statistic", statistic, self.statistics)
        place = self.selections.index(selection)
        return (
            self.numerator[place, self.statistics.index(statistic)],
            self.denominator[place],
        )


def contribute(
    ranked: RankedPairs,
    chosen: Mapping[str, Float[Tensor, "any_head pair"]],
    *,
    n_heads: int,
    unit: Int[Tensor, " pair"] | None = None,
    n_units: int = 1,
) -> Contributions:
    """Add up the statistics over the pairs of every selection, by units.

    Parameters
    ----------
    ranked
        The pairs of one layer.
    chosen
        The choice of each selection, by query head or by kv head (as `choose_elsewhere` gives it,
        which is then the same for all query heads of a group). ``matched`` is made from ``own``:
        what is chosen in a stratum is spread over all its pairs, so that what is compared is of
        the same place, distance and frequency.
    n_heads
        How many query heads there are; they share kv heads evenly.
    unit, n_units
        The unit of each pair, from 0, and how many units there are. Where the pairs of a stratum
        are of several units, numerators hold what each unit owes as a reference
        (`reference_parts`), which is 0 in sum. By default all are one unit.

    Raises
    ------
    UsageError
        If the heads do not divide, or a selection is unknown.
    """
    statistics = ranked.statistics
    n_kv_heads = statistics.shape[1]
    if n_heads % n_kv_heads:
        raise UsageError(f"{n_heads} query heads cannot share {n_kv_heads} kv heads evenly.")
    jobs = dict(chosen)
    if "own" in chosen:
        jobs["matched"] = stratum_means(chosen["own"], ranked.strata)
    parts = []
    for name, choice in jobs.items():
        require_known("selection", name, SELECTIONS)
        if len(choice) not in (n_heads, n_kv_heads):
            raise UsageError(
                f"The choice of {name} has {len(choice)} heads; expected {n_heads} query heads or "
                f"{n_kv_heads} kv heads."
            )
        by_kv_head = torch.unflatten(choice, 0, (n_kv_heads, -1))
        if unit is None:
            sums = _add_up(statistics, by_kv_head)
        else:
            sums = _add_up_units(ranked, statistics, by_kv_head, unit, n_units)
        wide = [part.repeat_interleave(n_heads // len(choice), -2)[None] for part in sums]
        parts.append(Contributions((name,), STATISTICS, *wide))
    return Contributions.merge(parts)


def _add_up(
    statistics: Float[Tensor, "statistic kv_head pair"],
    choice: Float[Tensor, "kv_head query_head pair"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return numerators [statistic, head, 1], denominators and counts [head, 1], over all pairs."""
    # The product with 1 counts; it costs less than another sum over all pairs.
    figures = torch.cat([statistics, torch.ones_like(statistics[:1])]).transpose(0, 1)
    *whole, below = (figures @ choice.mT.to(figures.dtype)).double().transpose(0, 1).flatten(1)
    found = torch.count_nonzero(choice, dim=-1).double().flatten()
    return torch.stack(whole)[..., None], below[..., None], found[..., None]


def _add_up_units(
    ranked: RankedPairs,
    statistics: Float[Tensor, "statistic kv_head pair"],
    choice: Float[Tensor, "kv_head query_head pair"],
    unit: Int[Tensor, " pair"],
    n_units: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Do the same unit by unit, with what each owes as a reference."""
    chosen = choice.double()

    def add(part: Tensor) -> Tensor:
        flat = part.flatten(0, -2)
        return flat.new_zeros(len(flat), n_units).index_add_(-1, unit, flat)

    owed = reference_parts(ranked, chosen)
    whole = torch.stack(
        [
            add(chosen * statistic[:, None] + part)
            for statistic, part in zip(statistics, owed, strict=True)
        ]
    )
    return whole, add(chosen), add((chosen > 0).double())


def mean_over_heads(
    ratios: Float[Tensor, "*more head"], attention: Float[Tensor, " head"] | None = None
) -> Float[Tensor, "*more"]:
    """Average over heads, plain or weighted by the attention a head gives to the words.

    Heads that choose nothing (NaN) are left out.
    """
    weight = torch.ones(ratios.shape[-1]) if attention is None else attention
    known = ratios.isfinite()
    total = (known * weight.double()).sum(-1)
    mean: Tensor = (ratios.nan_to_num(0.0) * known * weight.double()).sum(-1) / total
    return mean


def mean_over_groups(
    ratios: Float[Tensor, "*more head"], *, n_kv_heads: int
) -> Float[Tensor, "*more kv_head"]:
    """Average over the query heads of each kv head, those left out that choose nothing."""
    return torch.unflatten(ratios, -1, (n_kv_heads, -1)).nanmean(-1)
