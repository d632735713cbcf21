"""Small synthetic tables in the form of `analyses.divergence.compute`, for figures and report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analyses.divergence.relatedness import COLUMNS
from probes.similarity.catalogue import (
    OCCURRENCES,
    RANDOM_PAIRS,
    SPACES,
    TRAINED,
    WORD_PAIRS,
    list_pair_measures,
    name_difference,
    sort_conditions,
)

RATIO = "dissociation_ratio_5%"


def make_tables(
    *,
    n_layers=3,
    n_kv_heads=2,
    n_pairs=60,
    populations=(WORD_PAIRS, RANDOM_PAIRS),
    relatedness=True,
    seed=0,
):
    """All tables; without mismatched heads if a layer has one kv head."""
    random = np.random.default_rng(seed)
    nulls = ("mismatched_heads", "random_heads") if n_kv_heads > 1 else ("random_heads",)
    tables = {
        "summary": _summary(populations, nulls),
        "heads": _heads(random, n_layers, n_kv_heads, populations, nulls),
        "curve": _curve(populations, nulls),
        "kinds": _kinds(relatedness, n_pairs),
    }
    for table in tables.values():
        table.insert(0, "model", "tiny")
        table.insert(1, "key_stage", "normed")
    pairs = _pairs(random, n_pairs, relatedness)
    pair_heads = pd.DataFrame(
        {"pair_id": pairs["pair_id"], "layer": 0, "kv_head": 0, "s_k": pairs["s_k"]}
    )
    return {**tables, "pairs": pairs, "pair_heads": pair_heads}


def set_figure(summary, value, low=np.nan, high=np.nan, **place):
    """A copy of the summary in which one figure is another."""
    keep = np.ones(len(summary), dtype=bool)
    for column, wanted in place.items():
        keep &= (summary[column] == wanted).to_numpy()
    assert keep.sum() == 1, place
    changed = summary.copy()
    changed.loc[keep, ["value", "ci_low", "ci_high"]] = [value, low, high]
    return changed


def drop_figures(summary, **place):
    """A copy of the summary without the rows that have these values."""
    keep = np.ones(len(summary), dtype=bool)
    for column, wanted in place.items():
        keep &= (summary[column] == wanted).to_numpy()
    assert keep.any(), place
    return summary[~keep].reset_index(drop=True)


def _summary(populations, nulls):
    rows = []

    def add(population, space, measure, condition, value, half=np.nan):
        rows.append((population, space, measure, condition, value, value - half, value + half))

    levels = {TRAINED: 0.10, "mismatched_heads": 0.15, "random_heads": 0.20}
    for population in populations:
        wider = 0.3 if population == RANDOM_PAIRS else 0.0
        for measure in [measure.name for measure in list_pair_measures()]:
            for space in SPACES:
                for condition in (TRAINED, *nulls):
                    half = 0.031 if space == "functional" else np.nan
                    add(population, space, measure, condition, levels[condition] + wider, half)
            for null in nulls:
                difference = levels[TRAINED] - levels[null]
                add(population, "functional", measure, name_difference(null), difference, 0.017)
        for space, key, value in (("raw", 0.9, 0.4), ("centred", 0.01, 0), ("functional", 0, 0)):
            for condition in (TRAINED, "random_heads"):
                add(population, space, "mean_key_cosine", condition, key)
                add(population, space, "mean_value_cosine", condition, value)
    place = (OCCURRENCES, "functional")
    r2 = {TRAINED: 0.5, "mismatched_heads": 0.42, "random_heads": 0.36, "random_slice": 0.37}
    for condition in sort_conditions((TRAINED, *nulls, "random_slice")):
        add(*place, "tieability", condition, r2[condition], 0.012)
        if condition != TRAINED:
            excess = (0.5 - r2[condition]) / (1 - r2[condition])
            add(*place, f"excess_tieability_vs_{condition}", TRAINED, excess, 0.013)
    for space, dimension in (("raw", 30.3), ("centred", 30.3), ("functional", 4.7)):
        for condition in (TRAINED, "random_heads"):
            add(OCCURRENCES, space, "key_dimension", condition, dimension)
            add(OCCURRENCES, space, "value_dimension", condition, 31.0)
    for part, share in (("key", 0.88), ("value", 0.35)):
        add(OCCURRENCES, "raw", f"{part}_common_share", TRAINED, share)
    names = ["population", "space", "measure", "condition", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names)


def _heads(random, n_layers, n_kv_heads, populations, nulls):
    places = [(population, space, RATIO, nulls) for population in populations for space in SPACES]
    tied = sort_conditions((*nulls, "random_slice"))
    places.append((OCCURRENCES, "functional", "tieability", tied))
    places += [(OCCURRENCES, "functional", f"excess_tieability_vs_{n}", ()) for n in tied]
    tables = []
    for population, space, measure, beside in places:
        value = random.uniform(0, 0.4, (n_layers, n_kv_heads))
        if measure.startswith("excess"):
            value -= 0.2
        table = pd.DataFrame(
            {
                "layer": np.repeat(np.arange(n_layers), n_kv_heads),
                "kv_head": np.tile(np.arange(n_kv_heads), n_layers),
                "population": population,
                "space": space,
                "measure": measure,
                "value": value.flatten(),
                "ci_low": value.flatten() - 0.1,
                "ci_high": value.flatten() + 0.1,
            }
        )
        for null in beside:
            table[f"{null}_mean"] = np.repeat(random.uniform(0, 0.4, n_layers), n_kv_heads)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _curve(populations, nulls, bins=8):
    rank = (np.arange(bins) + 0.5) / bins
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "population": population,
                    "condition": condition,
                    "bin": np.arange(bins),
                    "rank": rank,
                    "value": 0.6 + 0.5 * rank,
                    "ci_low": 0.55 + 0.5 * rank,
                    "ci_high": 0.65 + 0.5 * rank,
                }
            )
            for population in populations
            for condition in (TRAINED, *nulls)
        ],
        ignore_index=True,
    )


def _kinds(relatedness, n_pairs):
    values = {"related": 0.11, "mid": 0.31, "unrelated": 0.44} if relatedness else {}
    place = ("functional", "dissociation_ratio_5%", "trained")
    rows = [
        (f"{WORD_PAIRS}, {name}", *place, n_pairs // 3, value, value - 0.05, value + 0.05)
        for name, value in values.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _pairs(random, n_pairs, relatedness):
    s_k = random.uniform(-0.5, 0.9, n_pairs)
    s_v = 0.6 * s_k + random.normal(0, 0.12, n_pairs)
    rank_k, rank_v = (100 * (s.argsort().argsort() + 0.5) / n_pairs for s in (s_k, s_v))
    pairs = pd.DataFrame(
        {
            "pair_id": [f"p{n}" for n in range(n_pairs)],
            "head": [f"head{n % 7}" for n in range(n_pairs)],
            "m1": [f"left{n}" for n in range(n_pairs)],
            "m2": [f"right{n}" for n in range(n_pairs)],
            "relatedness": np.array(["related", "mid", "unrelated"])[np.arange(n_pairs) % 3],
            "s_k": s_k,
            "s_v": s_v,
            "raw_key_cosine": 0.9,
            "raw_value_cosine": 0.4,
            "key_percentile": rank_k,
            "value_percentile": rank_v,
            "dissociation": rank_k - rank_v,
        }
    )
    pairs.loc[0, ["head", "m1", "m2"]] = ["network", "social", "neural"]
    return pairs if relatedness else pairs.drop(columns="relatedness")
