"""The premise: whether words that a query attends to alike have similar keys.

The usual answer takes it for granted. ``compute`` asks how much more often keys are similar among
pairs whose query attends to both words than among all pairs; ``draw`` draws it. As a script:
``python -m analyses.premise --help``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analyses.answers import show
from analyses.captions import describe_intervals
from analyses.figures.common import select
from analyses.sections import Entry, Section, ShownTable, show_first
from analyses.tables.populations import FEWEST_PAIRS
from probes.capture.plan import locate_pairs
from probes.errors import TableError
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.catalogue import ATTENDED, TOPS
from probes.similarity.conditions import require_one_width
from probes.similarity.pairs import pair_cosines
from probes.similarity.premise import pair_attention, premise_lift
from probes.similarity.spaces import Space, read_heads, read_metrics, to_space
from probes.stats.estimates import Estimate, PairBootstrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.capture.store import Store

NAME = "premise"
SPACES: tuple[Space, ...] = ("raw", "functional")
CONDITIONS = ("trained", "mismatched")


@dataclass(frozen=True)
class PremiseSettings:
    """How much to compute.

    ``resamples`` of the words for every interval; ``attended``, the share of the attention weights
    that counts as high.
    """

    resamples: int = 300
    attended: float = ATTENDED
    seed: int = 0


@dataclass(frozen=True)
class _Located:
    """The pairs that are whole: their occurrences, and the queries that attend to each word."""

    left: Tensor
    right: Tensor
    left_query: Tensor
    right_query: Tensor


def compute(
    store: Store, pairs: pd.DataFrame, *, settings: PremiseSettings | None = None
) -> dict[str, pd.DataFrame]:
    """Measure the premise lift of every head, for its own keys and those of another head.

    Parameters
    ----------
    store
        A finished capture of `pairs`.

    Returns
    -------
    ``summary``
        Means over heads: ``space, measure, condition, value, ci_low, ci_high``. The measures are
        ``premise_lift_1%`` and so on. ``mismatched``: similarity of the keys of another head of the
        layer, which the query does not read; ``trained - mismatched``: the difference, in the same
        resamples.
    ``heads``
        The same per layer and kv head, trained only with ``mismatched_mean``.

    Raises
    ------
    TableError
        If fewer than 20 pairs can be compared.
    """
    settings = settings or PremiseSettings()
    require_one_width(store)
    queries, occurrences = store.table("queries"), store.table("occurrences")
    template_ids = list(dict.fromkeys(queries["template_id"]))
    located, words = _locate(store, pairs, queries, template_ids)
    bootstrap = PairBootstrap.draw(*words, resamples=settings.resamples, seed=settings.seed)
    templates = torch.tensor(occurrences["template_id"].map(template_ids.index).to_numpy())
    metrics = read_metrics(store)

    def measure(layer: int) -> dict[tuple[str, str], Estimate]:
        lift = partial(premise_lift, tops=TOPS, attended=settings.attended)
        attention = store.read("attention", layer)
        sides = [
            pair_attention(attention, side, n_kv_heads=store.number("n_kv_heads", layer))
            for side in (located.left_query, located.right_query)
        ]
        found: dict[tuple[str, str], Estimate] = {}
        for space in SPACES:
            s_k = _compare(store, layer, located, space, metrics[layer].key, templates)
            found[space, "trained"] = bootstrap.estimate(lift, s_k, *sides)
            if len(s_k) > 1:
                others = [s_k.roll(shift, dims=0) for shift in range(1, len(s_k))]
                estimates = [bootstrap.estimate(lift, other, *sides) for other in others]
                found[space, "mismatched"] = Estimate.mean(estimates)
        return found

    with progress_bar("Asking for the premise", total=store.n_layers, unit="layers") as advance:
        layers = map_threads(measure, range(store.n_layers), on_done=advance)
    tables = {"summary": _tabulate_means(layers), "heads": _tabulate_heads(layers)}
    for table in tables.values():
        table.insert(0, "model", store.manifest["model"])
        table.insert(1, "key_stage", store.manifest["identity"]["key_stage"])
    return tables


def _locate(
    store: Store, pairs: pd.DataFrame, queries: pd.DataFrame, template_ids: list[str]
) -> tuple[_Located, tuple[Tensor, Tensor]]:
    """Find the occurrences and the queries of every pair that is whole, and number its words."""
    rows = locate_pairs(pairs, queries, template_ids)
    places = locate_pairs(pairs, queries.assign(occurrence=queries["query"]), template_ids)
    whole = np.flatnonzero((np.stack(rows) >= 0).all(axis=(0, 2)))
    if len(whole) < FEWEST_PAIRS:
        raise TableError(
            f"only {len(whole)} of {len(pairs)} pairs can be compared in all templates; shares of "
            f"pairs need at least {FEWEST_PAIRS} to mean anything. Give more pairs."
        )
    kept = pairs.iloc[whole]
    numbers = pd.factorize(pd.concat([kept["m1"], kept["m2"]]))[0]
    left_word, right_word = torch.tensor(numbers).reshape(2, -1)
    return (
        _Located(*(torch.tensor(side[whole]) for side in (*rows, *places))),
        (left_word, right_word),
    )


def _compare(
    store: Store, layer: int, located: _Located, space: Space, metric: Tensor, templates: Tensor
) -> Tensor:
    """Compute s_K [head, pair], mean over templates."""
    keys = to_space(read_heads(store, "k", layer), space, metric=metric, templates=templates)
    cosines = pair_cosines(keys, located.left.flatten(), located.right.flatten())
    return cosines.reshape(-1, *located.left.shape).mean(2)


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
        if "mismatched" in means:
            means["trained - mismatched"] = means["trained"] - means["mismatched"]
        for condition, estimate in means.items():
            low, high = _bound(estimate)
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


def _bound(estimate: Estimate) -> tuple[Tensor, Tensor]:
    """Return the intervals; NaN where some resample holds no pair that is attended to."""
    whole = estimate.by_word.isfinite().all(0) & estimate.by_pair.isfinite().all(0)
    whole &= estimate.observed.isfinite()
    ends = estimate.map(lambda figures: figures.where(whole, 0.0)).interval()
    low, high = (end.where(whole, torch.nan) for end in ends)
    return low, high


def _tabulate_heads(layers: list[dict[tuple[str, str], Estimate]]) -> pd.DataFrame:
    tables = []
    for layer, found in enumerate(layers):
        for space in SPACES:
            estimate = found[space, "trained"]
            low, high = _bound(estimate)
            other = found.get((space, "mismatched"))
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
                    table["mismatched_mean"] = float(other.observed[:, place].nanmean())
                tables.append(table)
    return pd.concat(tables, ignore_index=True)


def describe_inputs(
    store: Store, pairs_hash: str, settings: PremiseSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "capture": store.identity_hash,
        "pairs": pairs_hash,
        "settings": asdict(settings or PremiseSettings()),
    }


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe whether the premise holds, and against which null."""
    summary = tables["summary"]
    attended = f"{100 * settings.get('attended', ATTENDED):.0f} %"
    rows: list[tuple[Entry, ...]] = []
    for space in SPACES:
        for top in TOPS:
            cells = [
                show_first(_find(summary, space, top, condition), signed=" - " in condition)
                for condition in (*CONDITIONS, "trained - mismatched")
            ]
            rows.append((space if top == TOPS[0] else "", f"top {top:.0%}", *cells))
    return Section(
        anchor="premise",
        title="The premise: do words that are attended alike have similar keys?",
        explanation=(
            "The usual answer begins with it: both words attract the query's attention, so their "
            "keys should be similar. The lift is the chance that the keys of a pair are among the "
            "most similar, given that the query gives both of its words high attention (each among "
            f"the highest {attended} of the weights of that query head), over the same chance for "
            "all pairs: 1 if attention says nothing of the similarity of keys. Mismatched: the "
            "keys of another head of the layer, which this query does not read.",
        ),
        answer=(_answer(summary),),
        captions={
            "lift": (
                "Premise lift by layer, functional space: a dot a kv head, lines the means over "
                "the heads of a layer; dashed at 1: attention says nothing of the similarity of "
                f"keys. Means over heads with {describe_intervals(settings)} stand in the table.",
                "Dots by layer of the premise lift of every head, with lines for trained and "
                "mismatched heads.",
            )
        },
        tables=(
            ShownTable(
                "Premise lift, means over heads.",
                "Intervals: 95 %, words resampled. Bold differences exclude 0.",
                ("space", "keys", "trained", "mismatched", "trained, less mismatched"),
                tuple(rows),
                n_words=2,
            ),
        ),
    )


def _find(summary: pd.DataFrame, space: str, top: float, condition: str) -> pd.DataFrame:
    measure = f"premise_lift_{top:.0%}"
    return select(summary, space=space, measure=measure, condition=condition)


def _answer(summary: pd.DataFrame) -> str:
    """Say by rule whether the premise holds, and whether more than for another head's keys."""
    lift = _find(summary, "functional", TOPS[1], "trained").iloc[0]
    low, high = float(lift["ci_low"]), float(lift["ci_high"])
    if low > 1:
        text = "The premise holds"
    elif high < 1:
        text = "The opposite of the premise holds"
    else:
        text = "The premise cannot be told from chance"
    times = f"{show(float(lift['value']))} times as often ({show(low)} to {show(high)})"
    text += (
        ": where the query attends to both words of a pair, their keys are among the 5 % most "
        f"similar {times} as among all pairs"
    )
    gaps = _find(summary, "functional", TOPS[1], "trained - mismatched")
    if gaps.empty:
        return f"{text}. A layer has a single kv head, so there is no mismatched one to compare."
    gap = gaps.iloc[0]
    bounds = f"{show(float(gap['ci_low']))} to {show(float(gap['ci_high']))}"
    if gap["ci_low"] > 0:
        versus = "more than for the keys of another head, which the query does not read"
    elif gap["ci_high"] < 0:
        versus = "less than for the keys of another head, which the query does not even read"
    else:
        versus = "no differently from the keys of another head, which the query does not read"
    return f"{text}, {versus} (difference {show(float(gap['value']))}, {bounds})."


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the lift by layer, from the tables alone."""
    from analyses.figures.premise import draw_lift

    return {"lift": draw_lift(tables["heads"])}


if __name__ == "__main__":
    from analyses.cli import run_analysis_script

    run_analysis_script(NAME)
