"""Do similar keys map to dissimilar values? The headline question, against both nulls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.divergence.relatedness import tabulate_kinds
from analyses.divergence.tables import (
    Comparisons,
    cut,
    tabulate_cosines,
    tabulate_curves,
    tabulate_dimensions,
    tabulate_measures,
    tabulate_pair_heads,
    tabulate_pairs,
    tabulate_tieability,
)
from analyses.shared.given import Given
from analyses.shared.tables import name_capture
from probes.capture.located import LocatedPairs
from probes.memory import return_large_blocks
from probes.parallel import one_core_operations
from probes.progress import progress_bar
from probes.similarity.catalogue import RANDOM_PAIRS, WORD_PAIRS, find_measure, list_pair_measures
from probes.similarity.conditions import Measurements, measure_conditions
from probes.similarity.measure import Measure
from probes.stats.estimates import PairBootstrap

if TYPE_CHECKING:
    from analyses.divergence import DivergenceSettings
    from probes.capture.store import Store


def compute(given: Given, settings: DivergenceSettings) -> dict[str, pd.DataFrame]:
    """Measure all heads of a capture, in every space, under every condition.

    Parameters
    ----------
    given
        A finished capture of word pairs. Pairs that lost a word in alignment are left out (the
        capture's ``losses`` name them).

    Returns
    -------
    ``summary``
        Means over heads: ``population, space, measure, condition, value, ci_low, ci_high``; a
        condition ``trained - mismatched_heads`` is the difference, with its own interval.
    ``heads``
        The same per layer and kv head, with the null of that layer (``mismatched_heads_mean``,
        ``random_heads_mean``, ``random_heads_sd``).
    ``curve``
        E[1 - s_V] by rank of s_K: ``population, condition, bin, value, ci_low, ci_high``.
    ``pairs``
        Per pair, means over heads: similarities, percentile ranks, ``dissociation``.
    ``kinds``
        DR(5 %) within related, mid and unrelated pairs; see `tabulate_kinds`.
    ``pair_heads``
        s_K, s_V, d_K, d_V of every pair, layer and kv head, in every space.

    Raises
    ------
    TableError
        If fewer than 20 pairs can be compared.
    """
    return tabulate(given.store, measure(given.store, settings), settings)


def identify(given: Given, settings: DivergenceSettings) -> dict[str, Any]:
    """Name the measures, so that tables are made again when the catalogue has another one."""
    return {"measures": [measure.name for measure in choose_measures(settings)]}


def choose_measures(settings: DivergenceSettings) -> tuple[Measure, ...]:
    """Return the measures that were asked for, or all that the catalogue has of pairs."""
    return tuple(map(find_measure, settings.measures)) or list_pair_measures()


@dataclass(frozen=True)
class MeasuredCapture:
    """A capture's keys and values, compared, before any table is made of them.

    ``populations``: the pairs that could be compared, and random ones; ``measured``: the
    comparisons of all populations, one behind the other.
    """

    populations: dict[str, LocatedPairs]
    measured: Measurements

    @property
    def words(self) -> tuple[str, ...]:
        """Every captured word, by its number."""
        return self.populations[WORD_PAIRS].captured.names

    def comparisons(self) -> Iterator[tuple[str, LocatedPairs, Comparisons]]:
        """Yield every population with its own part of the comparisons."""
        start = 0
        for name, pairs in self.populations.items():
            yield name, pairs, cut(self.measured.pairs, slice(start, start + len(pairs)))
            start += len(pairs)


@one_core_operations()
def measure(store: Store, settings: DivergenceSettings) -> MeasuredCapture:
    """Compare keys and values in every head, space and condition; see `compute`."""
    return_large_blocks(4 << 20)  # one head's vectors, of which hundreds come and go
    given = LocatedPairs.of(store).take_whole()
    drawn = LocatedPairs.draw(given.captured, count=settings.random_pairs, seed=settings.seed)
    with progress_bar("Comparing keys and values", total=store.n_layers, unit="layers") as advance:
        measured = measure_conditions(
            store,
            LocatedPairs.join([given, drawn]),
            draws=settings.draws,
            seed=settings.seed,
            on_layer=advance,
        )
    return MeasuredCapture({WORD_PAIRS: given, RANDOM_PAIRS: drawn}, measured)


@one_core_operations()
def tabulate(
    store: Store, found: MeasuredCapture, settings: DivergenceSettings
) -> dict[str, pd.DataFrame]:
    """Resample words and make the tables; see `compute`."""
    measures = choose_measures(settings)
    heads, summaries, curves = [], [], []
    with progress_bar("Resampling words", total=2 * len(found.populations)) as advance:
        for name, pairs, comparisons in found.comparisons():
            bootstrap = PairBootstrap.draw(
                pairs.left_word,
                pairs.right_word,
                resamples=settings.resamples,
                seed=settings.seed,
            )
            table, means = tabulate_measures(name, comparisons, bootstrap, measures)
            heads.append(table)
            summaries.append(means)
            advance(1)
            summaries.append(tabulate_cosines(name, comparisons))
            curves.append(tabulate_curves(name, comparisons, bootstrap, settings.bins))
            advance(1)
    table, means = tabulate_tieability(
        found.measured, resamples=settings.resamples, seed=settings.seed
    )
    tables = {
        "summary": pd.concat([*summaries, means, tabulate_dimensions(found.measured)]),
        "heads": pd.concat([*heads, table]),
        "curve": pd.concat(curves),
    }
    _, pairs, comparisons = next(found.comparisons())
    tables["kinds"] = tabulate_kinds(
        pairs, comparisons, resamples=settings.resamples, seed=settings.seed
    )
    name_capture(tables.values(), store)
    return {
        **tables,
        "pairs": tabulate_pairs(pairs.table, comparisons),
        "pair_heads": tabulate_pair_heads(pairs.table, comparisons),
    }
