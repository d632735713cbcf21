"""The founding example: before "network", like keys and unlike values of "neural" and "social".

Both words should attract the attention of "network", so their keys should be alike, while their
values should tell the two topics apart. ``compute`` looks at this one example in every head of a
capture and says how special it is among the other pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from analyses.attention_example.find import choose_language, find_example
from analyses.shared.given import Given
from probes.capture.located import CapturedWords, LocatedPairs
from probes.parallel import one_core_operations
from probes.progress import progress_bar
from probes.similarity.catalogue import RANDOM_PAIRS, WORD_PAIRS
from probes.similarity.pairs import pair_cosines
from probes.similarity.spaces import Space, read_heads, read_metrics, to_space

if TYPE_CHECKING:
    from analyses.attention_example import ExampleSettings
    from probes.capture.store import Store

COMPARED: tuple[Space, ...] = ("raw", "functional")
Array = NDArray[Any]


@one_core_operations()
def compute(given: Given, settings: ExampleSettings) -> dict[str, pd.DataFrame]:
    """Look at one example in every head, and rank it among the other compounds and pairs.

    A percentile is the share, in %, of the *others* below the example, a tie counting half; 50 is
    the middle. The *pattern* is the claim in one head: key percentile above 50, value percentile
    below. The example itself is not ranked against itself. Where a capture is of the language of
    another founding pair, that one replaces the English one.

    Parameters
    ----------
    given
        A finished capture that holds both compounds of the example in every template.

    Returns
    -------
    ``attention``
        Per word, template, layer and query head: ``head_word, word, template_id, layer, head,
        kv_head, weight, expected, percentile``; the weight the head word gives the word, the mean
        of the other compounds in this template, layer and head, and its percentile among them.
    ``similarity``
        Per kv head, space and population: ``layer, kv_head, space, population, s_k, s_v,
        key_percentile, value_percentile``; cosines, means over templates.
    ``summary``
        ``measure, word, space, population, value, expected, percentile, others``: the example's
        mean over heads (for ``pattern_share`` the share of heads), the mean of as many `others`
        (compounds or pairs), and the percentile of the example's value among theirs.

    Raises
    ------
    TableError
        If a compound of the example is not in the capture, or fewer than 20 pairs can be compared.
    """
    store = given.store
    settings = choose_language(store, settings)
    captured = CapturedWords.of(store)
    example = find_example(store, settings)
    populations = {
        WORD_PAIRS: LocatedPairs.of(store).take_whole(),
        RANDOM_PAIRS: LocatedPairs.draw(captured, count=settings.random_pairs, seed=settings.seed),
    }
    with progress_bar("Looking at the example", total=2 * store.n_layers, unit="layers") as advance:
        attention, attended = _rank_attention(store, settings, advance)
        compared = {name: _put_first(example, pairs) for name, pairs in populations.items()}
        similarity, ranked = _rank_pairs(store, compared, captured.template, advance)
    tables = {
        "attention": attention,
        "similarity": similarity,
        "summary": pd.concat([attended, ranked], ignore_index=True),
    }
    for table in tables.values():
        table.insert(0, "model", store.manifest["model"])
        table.insert(1, "head_word", settings.head)
    return tables


def _put_first(example: Array, pairs: LocatedPairs) -> torch.Tensor:
    """Put the example before the other pairs of a population: rows [side, pair, template]."""
    sides = np.stack([pairs.left.numpy(), pairs.right.numpy()])
    same = (sides == example[:, None]).all(axis=(0, 2))
    same |= (sides == example[::-1, None]).all(axis=(0, 2))
    return torch.tensor(np.concatenate([example[:, None], sides[:, ~same]], axis=1))


def percentiles(figures: Array, axis: int = -1) -> Array:
    """Percentile of each figure among the others: below, and half of the tied, in % of n - 1."""
    ranks = rankdata(figures, axis=axis)
    scaled: Array = 100 * (ranks - 1) / (ranks.shape[axis] - 1)
    return scaled


def _rank_attention(
    store: Store, settings: ExampleSettings, advance: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank the attention to the two words among all compounds: per head, and of the means."""
    n_layers, queries = store.n_layers, store.table("queries")
    templates = queries["template_id"].to_numpy()
    words = [settings.first, settings.second]
    rows = np.flatnonzero((queries["head"] == settings.head) & queries["modifier"].isin(words))
    parts, means = [], np.zeros((2, len(queries)))
    for layer in range(n_layers):
        weights = store.read("attention", layer).double().numpy()
        n_heads = weights.shape[1]
        group_size = n_heads // store.number("n_kv_heads", layer)
        ranked, expected = np.empty_like(weights), np.empty_like(weights)
        for template in np.unique(templates):
            mine = templates == template
            ranked[mine] = percentiles(weights[mine], axis=0)
            expected[mine] = (weights[mine].sum(0) - weights[mine]) / (mine.sum() - 1)
        means += np.stack([weights.mean(1), ranked.mean(1)]) / n_layers
        parts.append(
            pd.DataFrame(
                {
                    "word": queries["modifier"].to_numpy()[rows].repeat(n_heads),
                    "template_id": templates[rows].repeat(n_heads),
                    "layer": layer,
                    "head": np.tile(np.arange(n_heads), len(rows)),
                    "kv_head": np.tile(np.arange(n_heads) // group_size, len(rows)),
                    "weight": weights[rows].flatten(),
                    "expected": expected[rows].flatten(),
                    "percentile": ranked[rows].flatten(),
                }
            )
        )
        advance(1)
    table = pd.concat(parts, ignore_index=True)
    compounds = queries.assign(attention=means[0], attention_percentile=means[1]).groupby(
        ["head", "modifier"]
    )[["attention", "attention_percentile"]]
    # Only compounds that are in every template have a mean like the example's.
    whole = compounds.mean()[compounds.size() == len(np.unique(templates))]
    summary = [
        {"measure": measure, "word": word, "population": "compounds"}
        | _stand_out(whole[measure].to_numpy(), list(whole.index).index((settings.head, word)))
        for measure in ("attention", "attention_percentile")
        for word in words
    ]
    return table, pd.DataFrame(summary)


def _rank_pairs(
    store: Store, compared: dict[str, torch.Tensor], templates: torch.Tensor, advance: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank the example, the first pair [side, pair, template] of each population, in every head."""
    n_heads = sum(store.number("n_kv_heads", layer) for layer in range(store.n_layers))
    left, right = torch.cat(list(compared.values()), dim=1)
    parts: list[pd.DataFrame] = []
    totals = {
        (space, name): {
            measure: np.zeros(sides.shape[1])
            for measure in (
                *("key_similarity", "value_similarity"),
                *("key_percentile", "value_percentile", "pattern_share"),
            )
        }
        for space in COMPARED
        for name, sides in compared.items()
    }
    for layer, metrics in enumerate(read_metrics(store)):
        keys, values = read_heads(store, "k", layer), read_heads(store, "v", layer)
        for space in COMPARED:
            similarities = [
                pair_cosines(
                    to_space(vectors, space, metric=metric, templates=templates),
                    left.flatten(),
                    right.flatten(),
                )
                .reshape(-1, *left.shape)
                .mean(2)
                .numpy()
                for vectors, metric in ((keys, metrics.key), (values, metrics.value))
            ]
            start = 0
            for name, sides in compared.items():
                mine = slice(start, start + sides.shape[1])
                start = mine.stop
                s_k, s_v = (similarity[:, mine] for similarity in similarities)
                of_keys, of_values = percentiles(s_k), percentiles(s_v)
                figures = (s_k, s_v, of_keys, of_values, (of_keys > 50) & (of_values < 50))
                for total, figure in zip(totals[space, name].values(), figures, strict=True):
                    total += figure.sum(axis=0) / n_heads
                parts.append(
                    pd.DataFrame(
                        {
                            "layer": layer,
                            "kv_head": np.arange(len(s_k)),
                            "space": space,
                            "population": name,
                            "s_k": s_k[:, 0],
                            "s_v": s_v[:, 0],
                            "key_percentile": of_keys[:, 0],
                            "value_percentile": of_values[:, 0],
                        }
                    )
                )
        advance(1)
    summary = [
        {"measure": measure, "space": space, "population": name} | _stand_out(figures, 0)
        for (space, name), measures in totals.items()
        for measure, figures in measures.items()
    ]
    return pd.concat(parts, ignore_index=True), pd.DataFrame(summary)


def _stand_out(figures: Array, example: int) -> dict[str, float]:
    """Compare one figure with the others: it, their mean, its percentile among them."""
    others = np.delete(figures, example)
    return {
        "value": float(figures[example]),
        "expected": float(others.mean()),
        "percentile": float(percentiles(figures)[example]),
        "others": len(others),
    }
