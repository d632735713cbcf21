"""One pair of words among all that one query attends to: the numbers of the four answers for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from analyses.co_attended.measured import Gathering, Measured
from analyses.co_attended.sources import name_source
from analyses.co_attended.tables import bound, read_excess, relate_value_gaps
from analyses.co_attended.verdict import ANSWERS
from analyses.shared.tables import select
from probes.capture.contexts import ContextPairs
from probes.capture.store import Store
from probes.similarity.catalogue import WORD_PAIRS
from probes.similarity.co_attended.choose import weigh_heads
from probes.similarity.co_attended.contributions import Contributions
from probes.similarity.co_attended.figures import STATISTICS, find_range
from probes.similarity.co_attended.ranks import stratum_means
from probes.similarity.co_attended.sentences import (
    ChosenLayer,
    choose_layer,
    read_sizes,
    take_comparable,
)
from probes.similarity.spaces import read_metrics
from probes.stats.clusters import Clusters, RatioEstimate

SELECTIONS = ("own", "mismatched_heads", "matched")


def measure_pair(
    contexts: Store, head: str, first: str, second: str, *, share: float, seed: int
) -> Measured | None:
    """Measure one pair in the sentences in which a query attends to both of its words.

    It is ranked among all events of the capture, and chosen among them. Its unit is the sentence
    template (of a user's sentences the sentence), so its intervals are about other sentences, and
    not about other pairs.

    Parameters
    ----------
    contexts
        The capture of contexts.
    head, first, second
        What attends, and the two words, in either order.
    share, seed
        As in `analyses.co_attended.CoAttendedSettings`.

    Returns
    -------
    None where the capture does not hold the pair.
    """
    events = take_comparable(ContextPairs.of(contexts))
    mine = find_events(events.table, head, first, second)
    if not bool(mine.any()):
        return None
    own = events.table[mine.numpy()]
    by = "template_id" if len(contexts.table("templates")) else "context"
    unit = torch.tensor(pd.factorize(own[by])[0])
    count = int(unit.max()) + 1
    # One sentence has no other to be compared with: its interval is the whole range.
    clusters = Clusters.of_documents(max(count, 2))
    gathering = Gathering(name_source(contexts), clusters, count, count)
    metrics = read_metrics(contexts)
    for layer in range(contexts.n_layers):
        chosen = choose_layer(
            contexts, layer, events, metrics=metrics[layer], share=share, seed=seed
        )
        written, stream = read_sizes(contexts, layer)
        gathering.add(
            _contribute(chosen, mine).add_up(unit, max(count, 2)),
            layer=layer,
            n_kv_heads=contexts.number("n_kv_heads", layer),
            attention=weigh_heads(*(side[:, mine] for side in chosen.attention)),
            written_square=written,
            stream_square=stream,
        )
    return gathering.finish()


def find_events(table: pd.DataFrame, head: str, first: str, second: str) -> Bool[Tensor, " event"]:
    """Say which events are of a pair of words, in either order, before a head."""
    sides = zip(table["left_word"], table["right_word"], strict=True)
    both = torch.tensor([set(pair) == {first, second} for pair in sides], dtype=torch.bool)
    return both & torch.tensor((table["head"] == head).to_numpy(dtype=bool))


def _contribute(layer: ChosenLayer, mine: Bool[Tensor, " event"]) -> Contributions:
    """Add up each event of the pair by itself; ``matched`` are the means of their strata."""
    statistics = layer.ranked.statistics
    n_heads, n_kv_heads = len(layer.attention[0]), statistics.shape[1]

    def widen(part: Tensor, n: int) -> Tensor:
        return part.double().repeat_interleave(n_heads // n, -2)

    plain, of_strata = (
        widen(part[..., mine], n_kv_heads)
        for part in (statistics, stratum_means(statistics, layer.ranked.strata))
    )
    above, below = [], []
    for name in SELECTIONS:
        choice = layer.chosen["own" if name == "matched" else name][:, mine]
        below.append(widen(choice, len(choice)))
        above.append(below[-1] * (of_strata if name == "matched" else plain))
    chosen = torch.stack(below)
    return Contributions(SELECTIONS, STATISTICS, torch.stack(above), chosen, (chosen > 0).double())


def tabulate_pair(
    measured: Measured | None, swaps: pd.DataFrame | None, words: tuple[str, str, str]
) -> pd.DataFrame:
    """Tabulate the numbers behind each answer: ``name, question, measure, value, ci_low, ci_high``.

    An end is missing where there is no interval. What the pair has no number for has no row.

    Parameters
    ----------
    measured
        Of `measure_pair`.
    swaps
        The table ``pairs`` of `analyses.swaps`; None where swaps were not made.
    words
        Head, first and second word.
    """
    rows = [] if measured is None else list(_list_numbers(measured))
    index = None if swaps is None else read_index(swaps, *words)
    if index is not None:
        rows.append({"name": "difference used", "measure": "swap_index", "value": index})
    columns = ["name", "question", "measure", "value", "ci_low", "ci_high"]
    found = pd.DataFrame([row | {"question": ANSWERS[row["name"]]} for row in rows])
    return found.reindex(columns=columns)


def _list_numbers(measured: Measured) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def add(
        name: str, measure: str, estimate: RatioEstimate | None, low: float, high: float
    ) -> None:
        if estimate is None or not bool(estimate.observed.isfinite()):
            return
        told = bound(measured, estimate, (low, high))
        if (told["ci_low"], told["ci_high"]) == (low, high):  # all of it is in one sentence
            told |= {"ci_low": math.nan, "ci_high": math.nan}
        rows.append({"name": name, "measure": measure} | told)

    if not measured.has("own"):
        return rows
    for name, measure in (
        ("keys alike", "key_percentile"),
        ("values less alike", "difference"),
        ("values dissimilar", "value_percentile"),
        ("values dissimilar", "quadrant"),
    ):
        low, high = find_range(measure)
        null = "matched" if measure == "quadrant" else "mismatched_heads"
        add(name, measure, measured.read("own", measure), low, high)
        add(
            name,
            f"{measure}_excess",
            read_excess(measured, null, measure),
            low - high,
            high - low,
        )
    add("keys alike", "key_gap", measured.read("own", "key_gap").root(), 0.0, math.inf)
    gaps = relate_value_gaps(measured)
    add("values dissimilar", "value_gap_over_matched", gaps, 0.0, math.inf)
    return rows


def read_index(swaps: pd.DataFrame, head: str, first: str, second: str) -> float | None:
    """Return (d_v - d_k) / (d_v + d_k) of one pair, swapped everywhere at once; None if not."""
    rows = select(swaps, population=WORD_PAIRS, scope="all", head=head)
    mine = (rows["m1"].eq(first) & rows["m2"].eq(second)) | (
        rows["m1"].eq(second) & rows["m2"].eq(first)
    )
    own = rows[mine]
    moved: Mapping[Any, float] = own.groupby("part")["total_variation"].mean().to_dict()
    if not {"keys", "values"} <= set(moved):
        return None
    return (moved["values"] - moved["keys"]) / (moved["values"] + moved["keys"])
