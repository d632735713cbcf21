"""Every measure beside every null: what is special about the keys and values of one head.

``compute`` sets each trained head against shuffled words, matched words, mismatched heads and
layers, random heads of three kinds and the untrained model; ``draw`` draws it. As a script:
``python -m analyses.nulls.compute --help``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analyses.nulls.compute.layers import compare_over_layers
from analyses.nulls.compute.strata import match_words
from analyses.nulls.section import describe
from analyses.shared.populations import populate
from kvprobes.captures.untrained import open_untrained
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.ceiling import disattenuated_similarity, template_reliability
from probes.similarity.compare import compare_templates
from probes.similarity.conditions import require_one_width
from probes.similarity.null_sides import Captured, choose_other_layers
from probes.similarity.shuffled import ShuffledPairs, shuffle_pairs
from probes.similarity.sides import Side, measure_sides
from probes.similarity.spaces import read_metrics
from probes.similarity.word_pairs import WordPairs
from probes.stats.null_comparison import compare_with_null
from probes.stats.reliability import spearman_brown
from probes.stats.word_permutation import permute_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.capture.store import Store

__all__ = ["NullSettings", "compute", "describe", "describe_inputs", "draw"]

NAME = "nulls"
SHUFFLES = ("shuffled words", "matched words")


@dataclass(frozen=True)
class NullSettings:
    """How much to compute.

    ``permutations`` of the words, within all words and within matched ones; ``draws`` of a random
    head of each kind for each trained one; ``neighbour_words`` words, drawn at random, among which
    neighbours are sought.
    """

    permutations: int = 1000
    draws: int = 1
    neighbour_words: int = 1500
    seed: int = 0


def compute(
    store: Store, pairs: pd.DataFrame, *, settings: NullSettings | None = None
) -> dict[str, pd.DataFrame]:
    """Measure all heads of a capture, functional space, against every null.

    Parameters
    ----------
    store
        A finished capture of `pairs`. A capture of the untrained model of the same sentences, in
        ``capture-untrained`` beside it, is taken in where it is there.
    pairs
        With ``head``, ``m1``, ``m2``; ``z_m1`` and ``z_m2``, if there, match words by frequency.

    Returns
    -------
    ``summary``
        Means over heads: ``measure, null, unit, value, null_mean, null_sd, difference, effect, p,
        p_bh, samples``. Where the unit is ``words``, the null samples are permutations of the
        words; where it is ``layers``, see `compare_over_layers`.
    ``heads``
        ``layer, kv_head, measure, null, value, null_mean, null_sd, effect, p, p_bh, p_max_t``; the
        p-values of the permutations only, over all layers and heads of a measure.
    ``ceiling``
        How alike keys and values could look at most, given how much templates disagree: ``layer,
        kv_head, key_reliability, value_reliability, disattenuated`` (see
        `probes.similarity.ceiling`). Empty for a single template.
    ``strata``
        How the matched words were matched: ``label, classes, words``.

    Raises
    ------
    TableError
        If fewer than 20 pairs can be compared.
    UnsupportedModelError
        If the layers have different numbers of kv heads.
    """
    settings = settings or NullSettings()
    require_one_width(store)
    queries = store.table("queries")
    template_ids = list(dict.fromkeys(queries["template_id"]))
    kept, (population, *_), _ = populate(store, pairs, template_ids, all_pairs=1, seed=0)
    words = WordPairs.of(population.left, population.right)
    occurrences = store.table("occurrences")
    templates = torch.tensor(occurrences["template_id"].map(template_ids.index).to_numpy())
    captured = Captured(store, read_metrics(store), templates)
    strata, labels = match_words(occurrences, words, kept)
    deal = partial(permute_words, len(words.rows), permutations=settings.permutations)
    permutations = {
        SHUFFLES[0]: deal(seed=settings.seed),
        SHUFFLES[1]: deal(seed=settings.seed + 1, strata=strata),
    }
    with progress_bar("Shuffling words", total=store.n_layers, unit="layers") as advance:
        shuffle = partial(_shuffle_layer, captured, words, permutations)
        shuffled = map_threads(shuffle, range(store.n_layers), on_done=advance)
    beside = open_untrained(store)
    untrained = None if beside is None else Captured(beside, read_metrics(beside), templates)
    names = torch.tensor(pd.factorize(occurrences["word"])[0])[words.rows[:, 0]]
    with progress_bar("Comparing with null heads", total=store.n_layers, unit="layers") as advance:
        compare = partial(_compare_layer, captured, untrained, words, names, settings)
        layers = map_threads(compare, range(store.n_layers), on_done=advance)
    heads, summary = _tabulate_shuffles([shuffles for shuffles, _ in shuffled])
    figures = pd.concat([table for layer in layers for table in layer], ignore_index=True)
    over_layers = compare_over_layers(figures, seed=settings.seed).assign(unit="layers")
    tables = {
        "summary": pd.concat([summary, over_layers], ignore_index=True),
        "heads": pd.concat([heads, _tabulate_heads(figures)], ignore_index=True),
        "ceiling": pd.concat([ceiling for _, ceiling in shuffled], ignore_index=True),
        "strata": labels,
    }
    for table in tables.values():
        table.insert(0, "model", store.manifest["model"])
    return tables


def _shuffle_layer(
    captured: Captured, words: WordPairs, permutations: dict[str, Tensor], layer: int
) -> tuple[dict[str, dict[str, ShuffledPairs]], pd.DataFrame]:
    """Measure one layer under both kinds of permutation, and the noise ceiling of its heads."""
    keys, values = captured.keys(layer), captured.values(layer)
    dealt = shuffle_pairs(
        keys,
        values,
        rows=words.rows,
        left_word=words.left_word,
        right_word=words.right_word,
        permutations=torch.cat(list(permutations.values())),
    )
    parts = {
        name: both.split([len(p) for p in permutations.values()]) for name, both in dealt.items()
    }
    shuffles = {
        null: {name: part[number] for name, part in parts.items()}
        for number, null in enumerate(permutations)
    }
    return shuffles, _find_ceiling(keys, values, words, layer)


def _find_ceiling(keys: Tensor, values: Tensor, words: WordPairs, layer: int) -> pd.DataFrame:
    """Tabulate how much of the pairs' distances comes again in another template."""
    n_templates = words.rows.shape[1]
    if n_templates < 2:
        return pd.DataFrame()
    compared = compare_templates(keys, values, words.left, words.right)
    return pd.DataFrame(
        {
            "layer": layer,
            "kv_head": np.arange(len(keys)),
            "key_reliability": spearman_brown(template_reliability(compared.d_k), n_templates),
            "value_reliability": spearman_brown(template_reliability(compared.d_v), n_templates),
            "disattenuated": disattenuated_similarity(compared.d_k, compared.d_v),
        }
    )


def _compare_layer(
    captured: Captured,
    untrained: Captured | None,
    words: WordPairs,
    names: Tensor,
    settings: NullSettings,
    layer: int,
) -> list[pd.DataFrame]:
    """Measure one layer's trained heads and all its null heads: a row a head and measure."""
    rows = words.sample_rows(settings.neighbour_words, seed=settings.seed)
    make = partial(Side.of, pairs=words, neighbour_rows=rows)
    measure = partial(measure_sides, words=names, seed=settings.seed)
    keys, values = make(captured.keys(layer)), make(captured.values(layer))
    found = [("trained", measure(keys, values))]
    for shift in range(1, len(keys.cosine)):
        found.append(("mismatched heads", measure(keys, values.roll(shift))))
    others = choose_other_layers(captured.store.n_layers, seed=settings.seed)
    if others:
        found.append(("mismatched layers", measure(keys, make(captured.values(others[layer])))))
    del keys, values
    drawn = captured.draw(layer, draws=settings.draws, seed=settings.seed)
    found += [(null, measure(*map(make, both))) for null, *both in drawn]
    if untrained is not None:
        sides = make(untrained.keys(layer)), make(untrained.values(layer))
        found.append(("untrained model", measure(*sides)))
    return [
        pd.DataFrame(
            {
                "layer": layer,
                "kv_head": np.arange(len(value)),
                "measure": name,
                "null": null,
                "value": value,
            }
        )
        for null, measured in found
        for name, value in measured.items()
    ]


def _tabulate_shuffles(
    layers: Sequence[dict[str, dict[str, ShuffledPairs]]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate every measure under the permutations, per head and on average over heads."""
    heads, means = [], []
    for null, measures in layers[0].items():
        for measure in measures:
            observed = torch.stack([layer[null][measure].observed for layer in layers])
            samples = torch.stack([layer[null][measure].samples for layer in layers], dim=1)
            place = {"measure": measure, "null": null}
            n_layers, n_heads = observed.shape
            heads.append(
                pd.DataFrame(
                    {
                        "layer": np.repeat(np.arange(n_layers), n_heads),
                        "kv_head": np.tile(np.arange(n_heads), n_layers),
                        **place,
                        **compare_with_null(observed, samples).columns(),
                    }
                )
            )
            mean = compare_with_null(observed.mean()[None], samples.mean((1, 2))[:, None])
            row = pd.DataFrame({**place, "unit": "words", **mean.columns()}, index=[0])
            means.append(row.assign(samples=len(samples)))
    summary = pd.concat(means, ignore_index=True).drop(columns="p_max_t")
    summary["difference"] = summary["value"] - summary["null_mean"]
    return pd.concat(heads, ignore_index=True), summary


def _tabulate_heads(figures: pd.DataFrame) -> pd.DataFrame:
    """Give every trained head the mean and spread of its layer's null heads."""
    trained = figures[figures["null"] == "trained"].drop(columns="null")
    by_null = figures[figures["null"] != "trained"].groupby(
        ["layer", "measure", "null"], sort=False
    )
    moments = by_null["value"].agg(null_mean="mean", null_sd="std").reset_index()
    table = trained.merge(moments, on=["layer", "measure"])
    spread = table["null_sd"].where(table["null_sd"] > 0)
    return table.assign(effect=(table["value"] - table["null_mean"]) / spread)


def describe_inputs(
    store: Store, pairs_hash: str, settings: NullSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    untrained = open_untrained(store)
    return {
        "capture": store.identity_hash,
        "untrained": None if untrained is None else untrained.identity_hash,
        "pairs": pairs_hash,
        "settings": asdict(settings or NullSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw every measure beside every null, from the tables alone."""
    from analyses.nulls.compute import figures

    return {
        "measures": figures.draw_measures(tables["summary"]),
        "heads": figures.draw_heads(tables["heads"]),
    }


if __name__ == "__main__":
    from kvprobes.command.cli import run_analysis_script

    run_analysis_script(NAME)
