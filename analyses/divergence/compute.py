"""Do similar keys map to dissimilar values? The headline analysis, against both nulls.

``compute`` turns a capture into tables, ``draw`` turns the tables into figures. As a script:
``python -m analyses.divergence.compute --help``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from analyses.divergence.compute.pair_tables import tabulate_pair_heads, tabulate_pairs
from analyses.divergence.compute.tieability_tables import tabulate_dimensions, tabulate_tieability
from analyses.divergence.tables import (
    Comparisons,
    cut,
    tabulate_cosines,
    tabulate_curves,
    tabulate_measures,
)
from analyses.shared.populations import Population, populate
from probes.memory import return_large_blocks
from probes.parallel import one_core_operations
from probes.progress import progress_bar
from probes.similarity.conditions import Measurements, measure_conditions
from probes.stats.estimates import PairBootstrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.capture.store import Store

NAME = "divergence"


@dataclass(frozen=True)
class DivergenceSettings:
    """How much to compute.

    ``resamples`` of the words for every interval; ``draws`` of a random head for each trained one;
    ``all_pairs`` random pairs of the captured words, the second population; ``bins`` of the curve.
    """

    resamples: int = 300
    draws: int = 1
    all_pairs: int = 6000
    bins: int = 20
    seed: int = 0


def compute(
    store: Store, pairs: pd.DataFrame, *, settings: DivergenceSettings | None = None
) -> dict[str, pd.DataFrame]:
    """Measure all heads of a capture, in every space, under every condition.

    Parameters
    ----------
    store
        A finished capture of `pairs`.
    pairs
        With ``pair_id``, ``head``, ``m1``, ``m2``. Pairs that lost a word in alignment are left out
        (the capture's ``losses`` name them).

    Returns
    -------
    ``summary``
        Means over heads: ``population, space, measure, condition, value, ci_low, ci_high``; a
        condition ``trained - mismatched`` is the difference, with its own interval.
    ``heads``
        The same per layer and kv head, with the null of that layer (``mismatched_mean``,
        ``random_mean``, ``random_sd``).
    ``curve``
        E[1 - s_V] by rank of s_K: ``population, condition, bin, value, ci_low, ci_high``.
    ``pairs``
        Per pair, means over heads: similarities, percentile ranks, ``dissociation``.
    ``pair_heads``
        s_K, s_V, d_K, d_V of every pair, layer and kv head, in every space.

    Raises
    ------
    TableError
        If fewer than 20 pairs can be compared.
    """
    settings = settings or DivergenceSettings()
    return tabulate(store, measure(store, pairs, settings), settings)


@dataclass(frozen=True)
class MeasuredCapture:
    """A capture's keys and values, compared, before any table is made of them.

    ``kept``: the pairs that could be compared; ``populations``: those, and random ones;
    ``words``: the words by number; ``measured``: the comparisons of all populations, one behind the
    other.
    """

    kept: pd.DataFrame
    populations: list[Population]
    words: list[str]
    measured: Measurements

    def comparisons(self) -> Iterator[tuple[Population, Comparisons]]:
        """Yield every population with its own part of the comparisons."""
        start = 0
        for population in self.populations:
            yield population, cut(self.measured.pairs, slice(start, start + len(population.left)))
            start += len(population.left)


@one_core_operations()
def measure(store: Store, pairs: pd.DataFrame, settings: DivergenceSettings) -> MeasuredCapture:
    """Compare keys and values in every head, space and condition; see `compute`."""
    return_large_blocks(4 << 20)  # one head's vectors, of which hundreds come and go
    occurrences = store.table("occurrences")
    template_ids = list(dict.fromkeys(store.table("queries")["template_id"]))
    kept, populations, word_numbers = populate(
        store, pairs, template_ids, all_pairs=settings.all_pairs, seed=settings.seed
    )
    with progress_bar("Comparing keys and values", total=store.n_layers, unit="layers") as advance:
        measured = measure_conditions(
            store,
            left=torch.cat([population.left for population in populations]),
            right=torch.cat([population.right for population in populations]),
            templates=torch.tensor(occurrences["template_id"].map(template_ids.index).to_numpy()),
            words=torch.tensor(occurrences["word"].map(word_numbers).to_numpy()),
            draws=settings.draws,
            seed=settings.seed,
            on_layer=advance,
        )
    return MeasuredCapture(kept, populations, list(word_numbers), measured)


@one_core_operations()
def tabulate(
    store: Store, found: MeasuredCapture, settings: DivergenceSettings
) -> dict[str, pd.DataFrame]:
    """Resample words and make the tables; see `compute`."""
    measured = found.measured
    heads, summaries, curves = [], [], []
    with progress_bar("Resampling words", total=2 * len(found.populations)) as advance:
        for population, comparisons in found.comparisons():
            bootstrap = PairBootstrap.draw(
                population.left_word,
                population.right_word,
                resamples=settings.resamples,
                seed=settings.seed,
            )
            table, means = tabulate_measures(population.name, comparisons, bootstrap)
            heads.append(table)
            summaries.append(means)
            advance(1)
            summaries.append(tabulate_cosines(population.name, comparisons))
            curves.append(tabulate_curves(population.name, comparisons, bootstrap, settings.bins))
            advance(1)
    table, means = tabulate_tieability(measured, resamples=settings.resamples, seed=settings.seed)
    _, given = next(found.comparisons())
    tables = {
        "summary": pd.concat([*summaries, means, tabulate_dimensions(measured)]),
        "heads": pd.concat([*heads, table]),
        "curve": pd.concat(curves),
    }
    for table in tables.values():
        table.insert(0, "model", store.manifest["model"])
        table.insert(1, "key_stage", store.manifest["identity"]["key_stage"])
    return {
        **tables,
        "pairs": tabulate_pairs(found.kept, given),
        "pair_heads": tabulate_pair_heads(found.kept, given),
    }


def describe_inputs(
    store: Store, pairs_hash: str, settings: DivergenceSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "capture": store.identity_hash,
        "pairs": pairs_hash,
        "settings": asdict(settings or DivergenceSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw headline, divergence curve, maps and spaces, from the tables alone."""
    from analyses.divergence.compute import figures

    return {
        "headline": figures.draw_headline(tables["pairs"], tables["summary"]),
        "curve": figures.draw_curve(tables["curve"]),
        "maps": figures.draw_maps(tables["heads"]),
        "spaces": figures.draw_spaces(tables["summary"]),
    }


if __name__ == "__main__":
    from kvprobes.command.cli import run_analysis_script

    run_analysis_script(NAME)
