"""How relations dissociate keys from values, each beside its matched control and its nulls."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.relations.ranked import SIDES, Place, RankedPairs, SideBootstrap
from analyses.shared.significance import range_of_difference, tabulate_estimate, tabulate_tests
from analyses.shared.tables import number_heads
from analyses.shared.word_pairs import Similarities
from probes.errors import TableError
from probes.similarity.catalogue import TRAINED, name_difference
from probes.stats.bootstrap import interval
from probes.stats.estimates import Estimate

HEADLINE = ("functional", TRAINED)
RANDOM, MISMATCHED = "random_heads", "mismatched_heads"
RATIO = "reference_dissociation_ratio_5%"
RANGES = {
    **dict.fromkeys(("key_percentile", "value_percentile"), (0.0, 100.0)),
    "dissociation": (-100.0, 100.0),
    "pattern_share": (0.0, 1.0),
    "reference_dissociation_ratio": (0.0, 2.0),
}
"""Beginning of a measure's name -> its possible range."""
NAMES = {
    "synonym": "synonyms",
    "antonym": "antonyms",
    "hypernym": "hypernyms",
    "cohyponym": "co-hyponyms",
    "meronym": "meronyms",
    "similar": "similar adjectives",
    "shared head": "modifiers of one head",
    "shared head, related": "related modifiers of one head",
    "shared head, mid": "middling modifiers of one head",
    "shared head, unrelated": "unrelated modifiers of one head",
}
"""Relation -> what its pairs are called."""


def list_relations(table: pd.DataFrame) -> dict[str, slice]:
    """Return where each relation's rows are; they are together."""
    names = table["relation"].to_numpy()
    starts = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
    ends = [*starts[1:], len(names)]
    return {str(names[a]): slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)}


def average_pairs(
    ranked: Similarities, *, mismatched: bool = False
) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Yield each measure of every pair, means over heads: name, [pair], what to divide by.

    ``dissociation`` is the percentile of s_K less that of s_V; ``pattern_share`` how often the keys
    are more alike than those of the median random pair and the values less;
    ``reference_dissociation_ratio_5%`` how often values are less alike than the median random
    pair's where keys are among the top 5 % of random pairs, over 0.5. (The ratio of the headline
    takes both from the pairs themselves.) With `mismatched`, values are those of the layer's other
    heads, and the first three measures, which do not depend on whose values are whose, are left
    out.
    """
    keys = ranked.keys
    if not mismatched:
        yield "key_percentile", keys.mean((0, 1)), None
        yield "value_percentile", ranked.values.mean((0, 1)), None
        yield "dissociation", (keys - ranked.values).mean((0, 1)), None
    shifts = range(1, keys.shape[1]) if mismatched else (0,)
    values = torch.stack([ranked.values.roll(shift, dims=1) for shift in shifts])
    low = (values < 50).float().mean(0)
    yield "pattern_share", ((keys > 50) * low).mean((0, 1)), None
    for top in (5, 10):
        above = (keys > 100 - top).float()
        both = 2 * (above * low).mean((0, 1))
        yield f"reference_dissociation_ratio_{top}%", both, above.mean((0, 1))


def _find_range(place: tuple[str, ...]) -> tuple[float, float]:
    """Return the possible range of a figure of `tabulate_relations`."""
    _, _, condition, measure, of = place
    found = next(ends for name, ends in RANGES.items() if measure.startswith(name))
    for is_difference in (condition == name_difference(RANDOM), of == "related - control"):
        found = range_of_difference(found) if is_difference else found
    return found


def tabulate_relations(
    table: pd.DataFrame, ranked: dict[Place, RankedPairs], bootstrap: SideBootstrap
) -> pd.DataFrame:
    """Means over heads: every relation, space, condition and measure, beside its control.

    The condition ``trained - random_heads`` is the difference, in the same resamples.
    """
    places = [(*place, pairs) for place, pairs in ranked.items()]
    if ranked[HEADLINE].related.keys.shape[1] > 1:
        places += [
            (space, MISMATCHED, pairs)
            for (space, condition), pairs in ranked.items()
            if condition == TRAINED
        ]
    relations = list_relations(table)
    estimates: dict[tuple[str, ...], Estimate] = {}
    for space, condition, pairs in places:
        mismatched = condition == MISMATCHED
        sides = [average_pairs(pairs[side], mismatched=mismatched) for side in SIDES]
        for (name, *related), (_, *control) in zip(*sides, strict=True):
            for relation, rows in relations.items():
                of_pairs = bootstrap.estimate("related", rows, *related)
                of_control = bootstrap.estimate("control", rows, *control)
                place = (relation, space, condition, name)
                estimates[*place, "related"] = of_pairs
                estimates[*place, "control"] = of_control
                estimates[*place, "related - control"] = of_pairs - of_control
    for (relation, space, condition, *rest), estimate in list(estimates.items()):
        if condition == RANDOM:
            trained = estimates[relation, space, TRAINED, *rest]
            estimates[relation, space, name_difference(RANDOM), *rest] = trained - estimate
    names = ("relation", "space", "condition", "measure", "of")
    sizes = {name: rows.stop - rows.start for name, rows in relations.items()}
    return pd.DataFrame(
        [
            dict(zip(names, place, strict=True))
            | {"pairs": sizes[place[0]]}
            | tabulate_estimate(estimate, _find_range(place))
            for place, estimate in estimates.items()
        ]
    )


def rank_relations(
    table: pd.DataFrame, ranked: dict[Place, RankedPairs], bootstrap: SideBootstrap
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank relations by how much more they dissociate than their controls; functional space.

    Returns
    -------
    ``ranking``
        A row per relation, the most dissociating first: ``relation, pairs, value, ci_low, ci_high,
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
    excess = Estimate.stack(
        [
            _estimate_excess(ranked[HEADLINE], bootstrap, rows, name, of_heads=False)
            for name, rows in relations.items()
        ]
    )
    ranks = (-excess.by_word).argsort(dim=1).argsort(dim=1).double() + 1
    low, high = interval(ranks)
    sizes = [rows.stop - rows.start for rows in relations.values()]
    ranking = pd.DataFrame({"relation": list(relations), "pairs": sizes, **tabulate_tests(excess)})
    ranking["rank"] = ranking["value"].rank(ascending=False, method="first").astype(int)
    ranking["rank_low"] = low.round().int().numpy()
    ranking["rank_high"] = high.round().int().numpy()
    ranking["share_first"] = (ranks == 1).double().mean(0).numpy()
    order = ranking["rank"].argsort().to_numpy()
    pairs = list(combinations(order, 2))
    if not pairs:
        return ranking, pd.DataFrame()
    first, second = (torch.tensor(side) for side in zip(*pairs, strict=True))
    difference = excess.map(lambda ranked: ranked[..., first] - ranked[..., second])
    names = ranking["relation"].to_numpy()
    contrasts = pd.DataFrame(
        {"relation": names[first], "minus": names[second], **tabulate_tests(difference)}
    )
    return ranking.iloc[order].reset_index(drop=True), contrasts


def tabulate_relation_heads(
    table: pd.DataFrame, ranked: dict[Place, RankedPairs], bootstrap: SideBootstrap
) -> pd.DataFrame:
    """Dissociation above the control's, in every relation, layer and kv head; functional space.

    ``value`` is ``key_excess - value_excess`` (percentiles above the control's);
    ``random_heads_mean`` and ``random_heads_sd`` are over the layer's random heads. p-values are
    corrected over all relations and heads.
    """
    trained, random = ranked[HEADLINE], ranked["functional", RANDOM]
    n_layers, n_heads = trained.related.keys.shape[:2]
    estimates, parts = [], []
    for name, rows in list_relations(table).items():
        estimates.append(_estimate_excess(trained, bootstrap, rows, name, of_heads=True))
        keys, values = (_average_excess(trained, rows, part) for part in ("keys", "values"))
        null = _average_excess(random, rows, "keys") - _average_excess(random, rows, "values")
        spread = null.std(1) if n_heads > 1 else torch.full((n_layers,), torch.nan)
        parts.append(
            pd.DataFrame(
                {
                    "relation": name,
                    **number_heads(n_layers, n_heads),
                    "key_excess": keys.flatten(),
                    "value_excess": values.flatten(),
                    "random_heads_mean": null.mean(1).repeat_interleave(n_heads),
                    "random_heads_sd": spread.repeat_interleave(n_heads),
                }
            )
        )
    by_relation = Estimate.stack(estimates).map(lambda excess: excess.movedim(-1, -3))
    return pd.concat(parts, ignore_index=True).assign(**tabulate_tests(by_relation))


def _average_excess(ranked: RankedPairs, rows: slice, part: str) -> Float[Tensor, "layer head"]:
    """Mean percentile of keys or of values above that of the controls."""
    related, control = (getattr(ranked[side], part)[..., rows] for side in SIDES)
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
