"""Pairs of words that have scores of meaning, with what else might make them alike.

Compounds have GloVe cosine, Wu-Palmer and Lin similarity; the nouns of the relations path and
Wu-Palmer similarity; tables of human scores their score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.shared.word_pairs import PairRows
from kvprobes.captures.words import HUMAN, WORDS
from probes.capture.plan import locate_pairs
from probes.capture.plan_words import locate_words
from probes.words.pairs import load_pairs
from probes.words.relations import CONTROL, load_relations

if TYPE_CHECKING:
    from probes.capture.store import Store

COMPOUNDS, NOUNS = "compounds", "related nouns"
OF_COMPOUNDS, OF_NOUNS = ("glove_cos", "wup", "lin"), ("wup", "path")
FEWEST_PAIRS = 30


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of one capture with their scores and covariates.

    ``table`` has a row a pair: ``w1, w2`` and the scores; ``given`` counts the pairs before some
    were left out, with ``missing`` words.
    """

    dataset: str
    store: Store
    rows: PairRows
    table: pd.DataFrame
    scores: tuple[str, ...]
    covariates: Float[Tensor, "covariate pair"]
    given: int
    missing: tuple[str, ...]


def find_scored(store: Store, pairs: pd.DataFrame, words: dict[str, Store]) -> list[ScoredPairs]:
    """Find every list of scored pairs that the captures hold; each has 30 pairs or more.

    Parameters
    ----------
    store, pairs
        The main capture and its pairs.
    words
        The captures of words (`find_word_captures`).
    """
    frequency = read_frequencies()
    found = [_find_compounds(store, pairs, frequency)]
    for name, capture in words.items():
        table = capture.table("pairs")
        if name == WORDS:
            table = table[table["pos"] == "n"]
            found.append(_find_words(NOUNS, capture, table, OF_NOUNS, frequency))
        else:
            dataset = name.removeprefix(HUMAN)
            found.append(_find_words(dataset, capture, table, ("score",), frequency))
    return [scored for scored in found if scored is not None]


def read_frequencies() -> dict[str, float]:
    """Return log10 of occurrences per 10^9 words, of every word of the shipped English tables."""
    compounds, relations = load_pairs(), load_relations()
    columns = [
        *((compounds, word, f"z_{word}") for word in ("head", "m1", "m2")),
        *((relations, w, z) for w, z in (("w1", "zlm1"), ("w2", "zlm2"), (CONTROL, "zlm_ctl"))),
    ]
    return {
        word: float(z)
        for table, words, scores in columns
        for word, z in zip(table[words], table[scores], strict=True)
        if word and np.isfinite(z)
    }


def _find_compounds(
    store: Store, pairs: pd.DataFrame, frequency: dict[str, float]
) -> ScoredPairs | None:
    queries = store.table("queries")
    template_ids = list(dict.fromkeys(queries["template_id"]))
    left, right = locate_pairs(pairs, queries, template_ids)
    table = pairs.rename(columns={"m1": "w1", "m2": "w2"})
    return _make(COMPOUNDS, store, table, left, right, OF_COMPOUNDS, frequency)


def _find_words(
    dataset: str,
    store: Store,
    table: pd.DataFrame,
    scores: tuple[str, ...],
    frequency: dict[str, float],
) -> ScoredPairs | None:
    queries, templates = store.table("queries"), store.table("templates")
    left, right = (
        locate_words(table["pos"], table[side], queries, templates) for side in ("w1", "w2")
    )
    return _make(dataset, store, table, left, right, scores, frequency)


def _make(
    dataset: str,
    store: Store,
    table: pd.DataFrame,
    left: np.ndarray,
    right: np.ndarray,
    scores: tuple[str, ...],
    frequency: dict[str, float],
) -> ScoredPairs | None:
    """Keep the pairs that have all scores and both words; None where they are too few."""
    scores = tuple(name for name in scores if name in table and table[name].notna().any())
    if not scores:
        return None
    scored = table[list(scores)].notna().all(axis=1).to_numpy()
    there = [(rows >= 0).all(axis=1) for rows in (left, right)]
    keep = np.flatnonzero(scored & there[0] & there[1])
    lost = {
        str(word)
        for side, found in zip(("w1", "w2"), there, strict=True)
        for word in table.loc[scored & ~found, side]
    }
    if len(keep) < FEWEST_PAIRS:
        return None
    kept = table.iloc[keep][["w1", "w2", *scores]].reset_index(drop=True)
    w1, w2 = (kept[side].to_numpy(dtype=object) for side in ("w1", "w2"))
    rows = PairRows(torch.tensor(left[keep]), torch.tensor(right[keep]), w1, w2)
    return ScoredPairs(
        dataset,
        store,
        rows,
        kept,
        scores,
        _collect_covariates(store, rows, frequency),
        int(scored.sum()),
        tuple(sorted(lost)),
    )


def _collect_covariates(
    store: Store, rows: PairRows, frequency: dict[str, float]
) -> Float[Tensor, "covariate pair"]:
    """Sum and absolute difference of the two words' frequency, letters and tokens.

    A word of unknown frequency gets the median; how many of a pair are unknown is a covariate too.
    """
    occurrences = store.table("occurrences")
    pieces = (occurrences["last_token"] - occurrences["first_token"] + 1).to_numpy()
    words = (rows.left_word, rows.right_word)
    known = [[word in frequency for word in side] for side in words]
    middle = float(np.median(list(frequency.values())))
    counts: list[Callable[[int], np.ndarray]] = [
        lambda side: np.array([frequency.get(word, middle) for word in words[side]]),
        lambda side: np.array([len(word) for word in words[side]]),
        lambda side: pieces[(rows.left, rows.right)[side][:, 0].numpy()],
    ]
    columns = [np.array(known[0], dtype=float) + np.array(known[1], dtype=float)]
    for count in counts:
        first, second = count(0), count(1)
        columns += [first + second, np.abs(first - second)]
    return torch.tensor(np.stack(columns).astype(float))
