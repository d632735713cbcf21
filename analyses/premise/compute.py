"""The premise: whether words that a query attends to alike have similar keys.

The usual answer takes it for granted. ``compute`` asks how much more often keys are similar among
pairs whose query attends to both words than among all pairs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analyses.shared.given import Given
from analyses.shared.tables import name_capture
from probes.capture.located import LocatedPairs
from probes.errors import TableError
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.catalogue import TOPS, TRAINED, name_difference
from probes.similarity.conditions import require_one_width
from probes.similarity.pairs import average_pairs, pair_cosines
from probes.similarity.premise import pair_attention, premise_lift
from probes.similarity.spaces import Space, read_heads, read_metrics, to_space
from probes.stats.estimates import Estimate, PairBootstrap

if TYPE_CHECKING:
    from analyses.premise import PremiseSettings
    from probes.capture.store import Store

SPACES: tuple[Space, ...] = ("raw", "functional")
CONDITIONS = (TRAINED, "mismatched_heads")
DIFFERENCE = name_difference("mismatched_heads")


def compute(given: Given, settings: PremiseSettings) -> dict[str, pd.DataFrame]:
    """Measure the premise lift of every head, for its own keys and those of another head.

    Parameters
    ----------
    given
        A finished capture of word pairs.

    Returns
    -------
    ``summary``
        Means over heads: ``space, measure, condition, value, ci_low, ci_high``. The measures are
        ``premise_lift_1%`` and so on. ``mismatched_heads``: similarity of the keys of another head
        of the layer, which the query does not read; ``trained - mismatched_heads``: the difference,
        in the same resamples.
    ``heads``
        The same per layer and kv head, trained only with ``mismatched_heads_mean``.

    Raises
    ------
    TableError
        If fewer than 20 pairs can be compared, or no head word attends to them.
    """
    store = given.store
    require_one_width(store)
    pairs = LocatedPairs.of(store).take_whole()
    if pairs.left_query is None or pairs.right_query is None:
        raise TableError(
            f"the capture in {store.folder} is of words that no head word attends to. Capture a "
            "table of pairs with a column head."
        )
    queries = pairs.left_query, pairs.right_query
    # Only the words of these pairs are resampled, of all that were captured.
    numbers, _ = pd.factorize(torch.cat([pairs.left_word, pairs.right_word]).numpy())
    left_word, right_word = torch.tensor(numbers).reshape(2, -1)
    bootstrap = PairBootstrap.draw(
        left_word, right_word, resamples=settings.resamples, seed=settings.seed
    )
    metrics = read_metrics(store)

    def measure(layer: int) -> dict[tuple[str, str], Estimate]:
        lift = partial(premise_lift, tops=TOPS, attended=settings.attended)
        attention = store.read("attention", layer)
        sides = [
            pair_attention(attention, side, n_kv_heads=store.number("n_kv_heads", layer))
            for side in queries
        ]
        found: dict[tuple[str, str], Estimate] = {}
        for space in SPACES:
            s_k = _compare(store, layer, pairs, space, metrics[layer].key)
            found[space, TRAINED] = bootstrap.estimate(lift, s_k, *sides)
            if len(s_k) > 1:
                others = [s_k.roll(shift, dims=0) for shift in range(1, len(s_k))]
                estimates = [bootstrap.estimate(lift, other, *sides) for other in others]
                found[space, "mismatched_heads"] = Estimate.mean(estimates)
        return found

    with progress_bar("Measuring the premise", total=store.n_layers, unit="layers") as advance:
        layers = map_threads(measure, range(store.n_layers), on_done=advance)
    tables = {"summary": _tabulate_means(layers), "heads": _tabulate_heads(layers)}
    name_capture(tables.values(), store)
    return tables


def _compare(store: Store, layer: int, pairs: LocatedPairs, space: Space, metric: Tensor) -> Tensor:
    """Compute s_K [head, pair], mean over templates."""
    keys = read_heads(store, "k", layer)
    keys = to_space(keys, space, metric=metric, templates=pairs.captured.template)
    return average_pairs(pair_cosines, keys, pairs.left, pairs.right)


def _tabulate_means(layers: list[dict[tuple[str, str], Estimate]]) -> pd.DataFrame:
    rows = []
    for space in SPACES:
        means = {
            condition: Estimate.mean(
                [layer[space, condition].map(lambda t: t.nanmean(-2)) for layer in layers]
            )
            for condition in CONDITIONS
            if (space, condition) in layers[0]
        }
        if "mismatched_heads" in means:
            means[DIFFERENCE] = means[TRAINED] - means["mismatched_heads"]
        for condition, estimate in means.items():
            low, high = _bound(estimate, difference=condition == DIFFERENCE)
            rows += [
                {
                    "space": space,
                    "measure": f"premise_lift_{top:.0%}",
                    "condition": condition,
                    "value": float(estimate.observed[place]),
                    "ci_low": float(low[place]),
                    "ci_high": float(high[place]),
                }
                for place, top in enumerate(TOPS)
            ]
    return pd.DataFrame(rows)


def _bound(estimate: Estimate, *, difference: bool = False) -> tuple[Tensor, Tensor]:
    """Return the intervals, [..., top]; no end leaves the possible range of a lift, 0 to 1 / top.

    NaN where some resample holds no pair that is attended to.
    """
    whole = estimate.by_word.isfinite().all(0) & estimate.by_pair.isfinite().all(0)
    whole &= estimate.observed.isfinite()
    ends = estimate.map(lambda figures: figures.where(whole, 0.0)).interval()
    most = 1 / torch.tensor(TOPS, dtype=torch.float64)
    least = -most if difference else torch.zeros_like(most)
    low, high = (end.clamp(least, most).where(whole, torch.nan) for end in ends)
    return low, high


def _tabulate_heads(layers: list[dict[tuple[str, str], Estimate]]) -> pd.DataFrame:
    tables = []
    for layer, found in enumerate(layers):
        for space in SPACES:
            estimate = found[space, TRAINED]
            low, high = _bound(estimate)
            other = found.get((space, "mismatched_heads"))
            for place, top in enumerate(TOPS):
                table = pd.DataFrame(
                    {
                        "layer": layer,
                        "kv_head": np.arange(len(estimate.observed)),
                        "space": space,
                        "measure": f"premise_lift_{top:.0%}",
                        "value": estimate.observed[:, place],
                        "ci_low": low[:, place],
                        "ci_high": high[:, place],
                    }
                )
                if other is not None:
                    table["mismatched_heads_mean"] = float(other.observed[:, place].nanmean())
                tables.append(table)
    return pd.concat(tables, ignore_index=True)
