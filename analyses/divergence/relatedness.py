"""The dissociation ratio within related, middling and unrelated pairs: beside the headline, always.

A table of pairs may have been chosen by how related the two words are. Ranks over all of its pairs
then tell kinds of pairs apart, and the ratio follows from the mixture. Within one kind it does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch

from analyses.divergence import KINDS, RATIO
from analyses.divergence.tables import Comparisons, average_measures, cut
from analyses.shared.numbers import Quantity, join, show, show_interval
from analyses.shared.significance import tabulate_estimate
from analyses.shared.tables import present, select
from probes.capture.located import FEWEST_PAIRS, LocatedPairs
from probes.similarity.catalogue import TRAINED, WORD_PAIRS, find_measure
from probes.stats.estimates import PairBootstrap

COLUMNS = ("population", "space", "measure", "condition", "pairs", "value", "ci_low", "ci_high")


def tabulate_kinds(
    pairs: LocatedPairs, comparisons: Comparisons, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Measure DR(5 %) within the pairs of each ``relatedness``; ranks are computed again in each.

    Returns
    -------
    The columns of the summary and ``pairs``, how many there are; the population is "word pairs,
    KIND". No rows where the table of pairs says nothing about relatedness, and none for a kind of
    fewer than `FEWEST_PAIRS`.
    """
    rows = []
    kind = pairs.table["relatedness"] if "relatedness" in pairs.table else pd.Series(dtype=str)
    for name in present(kind[kind != ""], KINDS):
        chosen = torch.tensor((kind == name).to_numpy())
        own = pairs.take(chosen)
        if len(own) < FEWEST_PAIRS:
            continue
        bootstrap = PairBootstrap.draw(
            own.left_word, own.right_word, resamples=resamples, seed=seed
        )
        means = average_measures(
            cut(comparisons, chosen), "functional", bootstrap, [find_measure(RATIO)]
        )
        place = {"population": f"{WORD_PAIRS}, {name}", "space": "functional", "pairs": len(own)}
        for (measure, condition), estimate in means.items():
            told = {"measure": measure, "condition": condition}
            rows.append(place | told | tabulate_estimate(estimate, (0.0, 2.0)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def find_kinds(tables: Mapping[str, pd.DataFrame]) -> dict[str, Quantity]:
    """Return DR(5 %) of trained heads by kind of pairs; empty where kinds are not known."""
    if "kinds" not in tables:
        return {}
    rows = select(tables["kinds"], condition=TRAINED)
    names = rows["population"].str.removeprefix(f"{WORD_PAIRS}, ")
    return {name: Quantity.of(row) for name, (_, row) in zip(names, rows.iterrows(), strict=True)}


def tell_kinds(kinds: Mapping[str, Quantity]) -> str:
    """Say the ratio of every kind, as it is in brackets beside the headline."""
    told = "DR is an association of ranks"
    if not kinds:
        return f"{told}; the table of pairs does not say which are related"
    parts = [
        f"{name} pairs {show(ratio.value)}"
        + (f" ({show_interval(ratio)})" if ratio.bounded else "")
        for name, ratio in kinds.items()
    ]
    return f"{told}; DR(5 %) within {join(parts)}"
