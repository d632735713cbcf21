"""The founding example: before "network", like keys and unlike values of "neural" and "social".

Both words should attract the attention of "network", so their keys should be alike, while their
values should tell the two topics apart. ``compute`` looks at this one example in every head of a
capture and says how special it is among the other pairs; ``draw`` draws it. As a script:
``python -m analyses.attention_example.compute --help``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from analyses.attention_example.section import describe
from analyses.shared.populations import populate
from probes.capture.plan import locate_pairs
from probes.errors import TableError
from probes.parallel import one_core_operations
from probes.progress import progress_bar
from probes.similarity.pairs import pair_cosines
from probes.similarity.spaces import Space, read_heads, read_metrics, to_space

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.capture.store import Store

__all__ = ["ExampleSettings", "compute", "describe", "describe_inputs", "draw"]

NAME = "attention_example"
FOUNDING = (("network", "neural", "social"), ("网络", "神经", "社交"))
"""The pair that the question came from, and the same in Chinese."""

COMPARED: tuple[Space, ...] = ("raw", "functional")
Array = NDArray[Any]


@dataclass(frozen=True)
class ExampleSettings:
    """Which example, and among how many random pairs of the captured words it is ranked.

    ``head`` attends; ``first`` and ``second`` are the modifiers it attends to.
    """

    head: str = FOUNDING[0][0]
    first: str = FOUNDING[0][1]
    second: str = FOUNDING[0][2]
    all_pairs: int = 6000
    seed: int = 0


@one_core_operations()
def compute(
    store: Store, pairs: pd.DataFrame, *, settings: ExampleSettings | None = None
) -> dict[str, pd.DataFrame]:
    """Look at one example in every head, and rank it among the other compounds and pairs.

    A percentile is the share, in %, of the *others* below the example, a tie counting half; 50 is
    the middle. The *pattern* is the claim in one head: key percentile above 50, value percentile
    below.

    Parameters
    ----------
    store
        A finished capture that holds both compounds of the example in every template.
    pairs
        With ``pair_id``, ``head``, ``m1``, ``m2``: the pairs to rank the example among. The example
        itself, if it is there, is not ranked against itself.

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
        (compounds or pairs), and the percentile of the example's figure among theirs.

    Raises
    ------
    TableError
        If a compound of the example is not in the capture, or fewer than 20 pairs can be compared.
    """
    settings = settings or ExampleSettings()
    queries = store.table("queries")
    template_ids = list(dict.fromkeys(queries["template_id"]))
    settings = _in_the_captures_language(queries, settings)
    left, right = find_example(store, queries, template_ids, settings)
    n_layers = store.n_layers
    with progress_bar("Looking at the example", total=2 * n_layers, unit="layers") as advance:
        attention, attended = _rank_attention(store, queries, settings, advance)
        _, populations, _ = populate(
            store, pairs, template_ids, all_pairs=settings.all_pairs, seed=settings.seed
        )
        compared = {}
        for population in populations:
            sides = np.stack([population.left.numpy(), population.right.numpy()])
            sides = sides[:, ~_is_pair(sides, left, right)]
            compared[population.name] = torch.tensor(
                np.concatenate([np.stack([left, right])[:, None], sides], axis=1)
            )
        similarity, ranked = _rank_pairs(store, compared, template_ids, advance)
    tables = {
        "attention": attention,
        "similarity": similarity,
        "summary": pd.concat([attended, ranked], ignore_index=True),
    }
    for table in tables.values():
        table.insert(0, "model", store.manifest["model"])
        table.insert(1, "head_word", settings.head)
    return tables


def _in_the_captures_language(queries: pd.DataFrame, settings: ExampleSettings) -> ExampleSettings:
    """Take the founding pair of another language, if the capture has that one and not English."""
    asked = (settings.head, settings.first, settings.second)
    if asked != FOUNDING[0] or (queries["head"] == asked[0]).any():
        return settings
    for head, first, second in FOUNDING[1:]:
        if (queries["head"] == head).any():
            return replace(settings, head=head, first=first, second=second)
    return settings


def find_example(
    store: Store, queries: pd.DataFrame, template_ids: Sequence[str], settings: ExampleSettings
) -> tuple[Array, Array]:
    """Find the occurrence rows [template] of the example's two modifiers before its head word.

    Raises
    ------
    TableError
        If a compound is missing in a template, or the two words are the same.
    """
    words = (settings.first, settings.second)
    if words[0] == words[1]:
        raise TableError(
            f"the example compares {words[0]!r} with itself; name two different words."
        )
    pair = pd.DataFrame({"head": [settings.head], "m1": words[:1], "m2": words[1:]})
    left, right = (rows[0] for rows in locate_pairs(pair, queries, template_ids))
    for word, rows in zip(words, (left, right), strict=True):
        absent = [name for name, row in zip(template_ids, rows, strict=True) if row < 0]
        if absent:
            losses = store.table("losses")
            reasons = losses.loc[
                (losses["modifier"] == word) & (losses["head"] == settings.head), "reason"
            ]
            why = f" ({reasons.iloc[0]})" if len(reasons) else ""
            held = queries.groupby("head")["modifier"].unique()
            held = held[held.map(len) > 1]
            other = (
                f"; here, for instance, ExampleSettings(head={held.index[0]!r}, "
                f"first={held.iloc[0][0]!r}, second={held.iloc[0][1]!r})"
                if len(held)
                else ""
            )
            raise TableError(
                f"the capture in {store.folder} does not hold the compound "
                f"'{word} {settings.head}' in {', '.join(absent)}{why}. Capture pairs that have "
                f"it, or name another example, two modifiers of one captured head word{other}."
            )
    return left, right


def percentiles(figures: Array, axis: int = -1) -> Array:
    """Percentile of each figure among the others: below, and half of the tied, in % of n - 1."""
    ranks = rankdata(figures, axis=axis)
    scaled: Array = 100 * (ranks - 1) / (ranks.shape[axis] - 1)
    return scaled


def _is_pair(sides: Array, left: Array, right: Array) -> Array:
    """Whether a pair [side, pair, template] has the example's own rows, in either order."""
    same: Array = (sides == np.stack([left, right])[:, None]).all(axis=(0, 2))
    swapped: Array = (sides == np.stack([right, left])[:, None]).all(axis=(0, 2))
    return same | swapped


def _rank_attention(
    store: Store, queries: pd.DataFrame, settings: ExampleSettings, advance: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank the attention to the two words among all compounds: per head, and of the means."""
    n_layers = store.n_layers
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
    # Only compounds that stand in every template have a mean like the example's.
    whole = compounds.mean()[compounds.size() == len(np.unique(templates))]
    summary = [
        {"measure": measure, "word": word, "population": "compounds"}
        | _stand_out(whole[measure].to_numpy(), list(whole.index).index((settings.head, word)))
        for measure in ("attention", "attention_percentile")
        for word in words
    ]
    return table, pd.DataFrame(summary)


def _rank_pairs(
    store: Store, compared: dict[str, torch.Tensor], template_ids: Sequence[str], advance: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank the example, the first pair [side, pair, template] of each population, in every head."""
    n_heads = sum(store.number("n_kv_heads", layer) for layer in range(store.n_layers))
    occurrences = store.table("occurrences")
    templates = torch.tensor(occurrences["template_id"].map(list(template_ids).index).to_numpy())
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


def describe_inputs(
    store: Store, pairs_hash: str, settings: ExampleSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "capture": store.identity_hash,
        "pairs": pairs_hash,
        "settings": asdict(settings or ExampleSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the attention to the two words and how alike they are, from tables alone."""
    from analyses.attention_example.compute import figures

    return {
        "attention": figures.draw_attention(tables["attention"]),
        "similarity": figures.draw_similarity(
            tables["similarity"], tables["summary"], list(tables["attention"]["word"].unique())
        ),
    }


if __name__ == "__main__":
    from kvprobes.command.cli import run_analysis_script

    run_analysis_script(NAME)
