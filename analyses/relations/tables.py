"""How relations dissociate keys from values, each beside its matched control and its nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.relations.compute.related import RelatedPairs
from analyses.shared.significance import tabulate_tests
from analyses.shared.word_pairs import (
    PairRows,
    Similarities,
    compare_words,
    number_words,
    percentile_among,
)
from probes.errors import TableError
from probes.stats.bootstrap import interval
from probes.stats.estimates import Estimate, PairBootstrap

MEASURES = (
    *("key_percentile", "value_percentile", "dissociation", "pattern_share"),
    *("dissociation_ratio_5%", "dissociation_ratio_10%"),
)
SIDES = ("related", "control")
HEADLINE = ("functional", "trained")
Place = tuple[str, str]


@dataclass(frozen=True)
class RankedPairs:
    """Percentiles among random pairs of the same kind, [layer, head, pair], of pairs and controls.

    ``related`` and ``control`` go row by row with one table of pairs.
    """

    related: Similarities
    control: Similarities

    def __getitem__(self, side: str) -> Similarities:
        return self.related if side == "related" else self.control


def rank_pairs(
    found: RelatedPairs, *, seed: int, on_layer: Callable[[int], None]
) -> dict[Place, RankedPairs]:
    """Compare the pairs of one capture, and rank each among the random pairs of its stratum."""
    lists = [found.related, found.control, *found.references.values()]
    compared = compare_words(found.store, PairRows.join(lists), seed=seed, on_layer=on_layer)
    ends = np.cumsum([0, *map(len, lists)])
    parts = [slice(start, end) for start, end in pairwise(ends)]
    ranked = {}
    for place, similarities in compared.items():
        cut = [similarities.cut(part) for part in parts]
        references = dict(zip(found.references, cut[2:], strict=True))
        ranked[place] = RankedPairs(
            *(_rank_by_stratum(side, references, found.stratum) for side in cut[:2])
        )
    return ranked


def _rank_by_stratum(
    figures: Similarities, references: dict[str, Similarities], stratum: Any
) -> Similarities:
    ranked = {"keys": torch.empty_like(figures.keys), "values": torch.empty_like(figures.values)}
    for kind, reference in references.items():
        mine = torch.from_numpy(np.flatnonzero(stratum == kind))
        for name, out in ranked.items():
            own = getattr(figures, name)[..., mine]
            out[..., mine] = percentile_among(getattr(reference, name), own)
    return Similarities(**ranked)


def join_ranked(parts: list[dict[Place, RankedPairs]]) -> dict[Place, RankedPairs]:
    """Put the pairs of several captures behind each other."""

    def join(sides: list[Similarities]) -> Similarities:
        return Similarities(
            torch.cat([side.keys for side in sides], dim=-1),
            torch.cat([side.values for side in sides], dim=-1),
        )

    return {
        place: RankedPairs(*(join([part[place][side] for part in parts]) for side in SIDES))
        for place in parts[0]
    }


@dataclass(frozen=True)
class SideBootstrap:
    """The same resamples of the words for pairs and controls; see `PairBootstrap`."""

    weights: dict[str, tuple[Tensor, Tensor]]
    """Side -> weights [resample, pair] by words and by pairs."""

    @classmethod
    def draw(cls, table: pd.DataFrame, *, resamples: int, seed: int) -> SideBootstrap:
        """Draw resamples of the words of all relations and controls together."""
        names = ("w1", "w2", "control")
        w1, w2, control = number_words([table[name].to_numpy(dtype=object) for name in names])
        # Pairs and controls are resampled as pairs of their own: what a word gives to both is in
        # the resamples of words.
        drawn = PairBootstrap.draw(
            torch.cat([w1, w1]), torch.cat([w2, control]), resamples=resamples, seed=seed
        )
        rows = {"related": slice(0, len(table)), "control": slice(len(table), 2 * len(table))}
        return cls(
            {
                side: (drawn.word_weights[:, mine], drawn.own_weights[:, mine])
                for side, mine in rows.items()
            }
        )

    def estimate(
        self,
        side: str,
        rows: slice,
        top: Float[Tensor, "*head pair"],
        bottom: Float[Tensor, " pair"] | None = None,
    ) -> Estimate:
        """Estimate the mean of `top` over some rows, or its sum over that of `bottom`.

        A figure is NaN in a resample that has nothing to divide by.
        """

        def measure(weights: Tensor) -> Tensor:
            flat = top[..., rows].reshape(-1, rows.stop - rows.start)
            sums = (weights[:, rows] @ flat.T).double()
            total = weights[:, rows] if bottom is None else weights[:, rows] * bottom[rows]
            mean = sums / total.sum(1, keepdim=True).double()
            return mean.reshape(-1, *top.shape[:-1])

        by_word, by_pair = self.weights[side]
        return Estimate(
            measure(torch.ones_like(by_word[:1]))[0], measure(by_word), measure(by_pair)
        )


def list_relations(table: pd.DataFrame) -> dict[str, slice]:
    """Return where each relation's rows stand; they are together."""
    names = table["relation"].to_numpy()
    starts = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
    ends = [*starts[1:], len(names)]
    return {str(names[a]): slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)}


def average_pairs(
    ranked: Similarities, *, mismatched: bool = False
) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Yield each measure's figures of a pair, means over heads: name, [pair], what to divide by.

    ``dissociation`` is the percentile of s_K less that of s_V; ``pattern_share`` how often the keys
    are more alike than those of the median random pair and the values less; the dissociation ratio
    how often values are less alike where keys are among the top 5 or 10 % of random pairs, over
    0.5. With `mismatched`, values are those of the layer's other heads.
    """
    keys = ranked.keys
    shifts = range(1, keys.shape[1]) if mismatched else (0,)
    values = torch.stack([ranked.values.roll(shift, dims=1) for shift in shifts])
    low = (values < 50).float().mean(0)
    yield "key_percentile", keys.mean((0, 1)), None
    yield "value_percentile", ranked.values.mean((0, 1)), None
    yield "dissociation", (keys - ranked.values).mean((0, 1)), None
    yield "pattern_share", ((keys > 50) * low).mean((0, 1)), None
    for top in (5, 10):
        above = (keys > 100 - top).float()
        yield f"dissociation_ratio_{top}%", 2 * (above * low).mean((0, 1)), above.mean((0, 1))


def tabulate_relations(
    table: pd.DataFrame, ranked: dict[Place, RankedPairs], bootstrap: SideBootstrap
) -> pd.DataFrame:
    """Means over heads: every relation, space, condition and measure, beside its control.

    The condition ``trained - random`` is the difference, in the same resamples.
    """
    places = [(place, pairs, False) for place, pairs in ranked.items()]
    if ranked[HEADLINE].related.keys.shape[1] > 1:
        places += [
            ((space, "mismatched"), pairs, True)
            for (space, condition), pairs in ranked.items()
            if condition == "trained"
        ]
    estimates: dict[tuple[str, ...], Estimate] = {}
    relations = list_relations(table)
    for (space, condition), pairs, mismatched in places:
        sides = {side: average_pairs(pairs[side], mismatched=mismatched) for side in SIDES}
        for (name, *related), (_, *control) in zip(*sides.values(), strict=True):
            if mismatched and name in MEASURES[:3]:
                continue  # means over heads do not know whose values are whose
            for relation, rows in relations.items():
                of_pairs = bootstrap.estimate("related", rows, *related)
                of_control = bootstrap.estimate("control", rows, *control)
                place = (relation, space, condition, name)
                estimates[*place, "related"] = of_pairs
                estimates[*place, "control"] = of_control
                estimates[*place, "related - control"] = of_pairs - of_control
    for (relation, space, condition, *rest), estimate in list(estimates.items()):
        trained = estimates.get((relation, space, "trained", *rest))
        if condition == "random" and trained is not None:
            estimates[relation, space, "trained - random", *rest] = trained - estimate
    names = ("relation", "space", "condition", "measure", "of")
    sizes = {name: rows.stop - rows.start for name, rows in relations.items()}
    return pd.DataFrame(
        [
            {**dict(zip(names, place, strict=True)), "pairs": sizes[place[0]], **_summarise(figure)}
            for place, figure in estimates.items()
        ]
    )


def _summarise(estimate: Estimate) -> dict[str, float]:
    """Return a figure and its interval, which is missing if a resample could not be measured."""
    value = float(estimate.observed)
    finite = all(part.isfinite().all() for part in (estimate.by_word, estimate.by_pair))
    if not (finite and np.isfinite(value)):
        return {"value": value, "ci_low": np.nan, "ci_high": np.nan}
    low, high = estimate.interval()
    return {"value": value, "ci_low": float(low), "ci_high": float(high)}


def rank_relations(
    table: pd.DataFrame, ranked: dict[Place, RankedPairs], bootstrap: SideBootstrap
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank relations by how much more they dissociate than their controls; functional space.

    Returns
    -------
    ``ranking``
        A row a relation, the most dissociating first: ``relation, pairs, value, ci_low, ci_high,
        p, p_bh, p_max_t, rank, rank_low, rank_high, share_first``. The interval of the rank is that
        of its value in the resamples of the words, and so rather too wide.
    ``contrasts``
        Every relation minus every one ranked below it, with interval and corrected p-values.

    Raises
    ------
    TableError
        If a resample of the words leaves a relation no pair.
    """
    relations = list_relations(table)
    excess = [
        _estimate_excess(ranked[HEADLINE], bootstrap, rows, name, of_heads=False)
        for name, rows in relations.items()
    ]
    stacked = Estimate(
        torch.stack([e.observed for e in excess]),
        torch.stack([e.by_word for e in excess], dim=1),
        torch.stack([e.by_pair for e in excess], dim=1),
    )
    ranks = (-stacked.by_word).argsort(dim=1).argsort(dim=1).double() + 1
    low, high = interval(ranks)
    sizes = [rows.stop - rows.start for rows in relations.values()]
    ranking = pd.DataFrame({"relation": list(relations), "pairs": sizes, **tabulate_tests(stacked)})
    ranking["rank"] = ranking["value"].rank(ascending=False, method="first").astype(int)
    ranking["rank_low"] = low.round().int().numpy()
    ranking["rank_high"] = high.round().int().numpy()
    ranking["share_first"] = (ranks == 1).double().mean(0).numpy()
    order = ranking["rank"].argsort().to_numpy()
    pairs = list(combinations(order, 2))
    if not pairs:
        return ranking, pd.DataFrame()
    first, second = (torch.tensor(side) for side in zip(*pairs, strict=True))
    difference = stacked.map(lambda figures: figures[..., first] - figures[..., second])
    names = ranking["relation"].to_numpy()
    contrasts = pd.DataFrame(
        {"relation": names[first], "minus": names[second], **tabulate_tests(difference)}
    )
    return ranking.iloc[order].reset_index(drop=True), contrasts


def tabulate_relation_heads(
    table: pd.DataFrame, ranked: dict[Place, RankedPairs], bootstrap: SideBootstrap
) -> pd.DataFrame:
    """Dissociation above the control's, in every relation, layer and kv head; functional space.

    ``value`` is ``key_excess - value_excess`` (percentiles above the control's); ``random_mean``
    and ``random_sd`` are over the layer's random heads. p-values are corrected over all relations
    and heads.
    """
    relations = list_relations(table)
    trained, random = ranked[HEADLINE], ranked["functional", "random"]
    n_layers, n_heads = trained.related.keys.shape[:2]
    estimates, parts = [], []
    for name, rows in relations.items():
        estimates.append(_estimate_excess(trained, bootstrap, rows, name, of_heads=True))
        excess = {
            kind: _average_excess(trained, rows, kind).flatten() for kind in ("keys", "values")
        }
        null = _average_excess(random, rows, "keys") - _average_excess(random, rows, "values")
        spread = null.std(1) if n_heads > 1 else torch.full((n_layers,), torch.nan)
        parts.append(
            pd.DataFrame(
                {
                    "relation": name,
                    "layer": np.repeat(np.arange(n_layers), n_heads),
                    "kv_head": np.tile(np.arange(n_heads), n_layers),
                    "key_excess": excess["keys"],
                    "value_excess": excess["values"],
                    "random_mean": null.mean(1).repeat_interleave(n_heads),
                    "random_sd": spread.repeat_interleave(n_heads),
                }
            )
        )
    together = Estimate(
        torch.stack([e.observed for e in estimates]),
        torch.stack([e.by_word for e in estimates], dim=1),
        torch.stack([e.by_pair for e in estimates], dim=1),
    )
    return pd.concat(parts, ignore_index=True).assign(**tabulate_tests(together))


def _average_excess(ranked: RankedPairs, rows: slice, kind: str) -> Float[Tensor, "layer head"]:
    """Mean percentile of keys or of values above that of the controls."""
    related, control = (getattr(ranked[side], kind)[..., rows] for side in SIDES)
    mean: Tensor = related.mean(-1) - control.mean(-1)
    return mean


def _estimate_excess(
    ranked: RankedPairs, bootstrap: SideBootstrap, rows: slice, name: str, *, of_heads: bool
) -> Estimate:
    """Estimate the dissociation of a relation less that of its control."""
    gaps = {side: ranked[side].keys - ranked[side].values for side in SIDES}
    if not of_heads:
        gaps = {side: gap.mean((0, 1)) for side, gap in gaps.items()}
    related, control = (bootstrap.estimate(side, rows, gap) for side, gap in gaps.items())
    excess = related - control
    if not excess.by_word.isfinite().all() or not excess.by_pair.isfinite().all():
        raise TableError(
            f"the pairs of {name!r} have so few words that a resample of them leaves none. Give "
            "more pairs of different words."
        )
    return excess


def tabulate_related_pairs(table: pd.DataFrame, ranked: dict[Place, RankedPairs]) -> pd.DataFrame:
    """Means over heads of every pair and of its control: percentiles and their difference."""
    columns: dict[str, Any] = {}
    for side in SIDES:
        pairs = ranked[HEADLINE][side]
        prefix = "" if side == "related" else "control_"
        keys, values = (part.mean((0, 1)).numpy() for part in (pairs.keys, pairs.values))
        columns |= {f"{prefix}key_percentile": keys, f"{prefix}value_percentile": values}
        columns[f"{prefix}dissociation"] = keys - values
    return table.assign(**columns)
