"""Pairs of words that have scores of meaning, with what else might make them alike.

Compounds have GloVe cosine, Wu-Palmer and Lin similarity; the nouns of the relations path and
Wu-Palmer similarity; tables of human scores their score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.shared.word_pairs import FEWEST_PAIRS, RELATIONS
from probes.capture.located import LocatedPairs
from probes.words.pairs import load_pairs
from probes.words.relations import CONTROL, load_relations

if TYPE_CHECKING:
    from probes.capture.store import Store

COMPOUNDS, NOUNS = "compounds", "related nouns"
OF_COMPOUNDS, OF_NOUNS, OF_HUMANS = ("glove_cos", "wup", "lin"), ("wup", "path"), ("score",)


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of one capture with their scores and covariates.

    Attributes
    ----------
    scores
        Columns of the pairs' table.
    given
        How many pairs have scores, with those left out because of `missing` words.
    """

    dataset: str
    store: Store
    pairs: LocatedPairs
    scores: tuple[str, ...]
    covariates: Float[Tensor, "covariate pair"]
    given: int
    missing: tuple[str, ...]


def find_scored(store: Store, words: Mapping[str, Store]) -> list[ScoredPairs]:
    """Find every list of scored pairs that the captures hold; each has 30 pairs or more.

    Parameters
    ----------
    store
        The main capture.
    words
        The captures of words: ``relations``, and tables of human scores by name.
    """
    frequency = read_frequencies()
    found = [_select(COMPOUNDS, store, LocatedPairs.of(store), OF_COMPOUNDS, frequency)]
    for name, capture in words.items():
        pairs = LocatedPairs.of(capture)
        if name == RELATIONS:
            nouns = pairs.take(torch.tensor((pairs.table["pos"] == "n").to_numpy()))
            found.append(_select(NOUNS, capture, nouns, OF_NOUNS, frequency))
        else:
            found.append(_select(name, capture, pairs, OF_HUMANS, frequency))
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


def _select(
    dataset: str,
    store: Store,
    pairs: LocatedPairs,
    known: Sequence[str],
    frequency: Mapping[str, float],
) -> ScoredPairs | None:
    """Keep the pairs that have all scores and both words; None where they are too few."""
    table = pairs.table
    scores = [name for name in known if name in table and table[name].notna().any()]
    if not scores:
        return None
    known_scores = torch.tensor(table[scores].notna().all(axis=1).to_numpy())
    scored = pairs.take(known_scores).take_distinct()
    kept = scored.take(scored.whole)
    if len(kept) < FEWEST_PAIRS:
        return None
    sides = zip(
        ("m1", "m2") if "m1" in table else ("w1", "w2"), (scored.left, scored.right), strict=True
    )
    lost = {
        str(word)
        for side, rows in sides
        for word in scored.table.loc[(rows < 0).any(dim=1).numpy(), side]
    }
    return ScoredPairs(
        dataset,
        store,
        kept,
        tuple(scores),
        _collect_covariates(store, kept, frequency),
        len(scored),
        tuple(sorted(lost)),
    )


def _collect_covariates(
    store: Store, pairs: LocatedPairs, frequency: Mapping[str, float]
) -> Float[Tensor, "covariate pair"]:
    """Sum and absolute difference of the two words' frequency, letters and tokens.

    A word of unknown frequency gets the median; how many of a pair are unknown is a covariate too.
    """
    occurrences = store.table("occurrences")
    pieces = (occurrences["last_token"] - occurrences["first_token"] + 1).to_numpy()
    words = (pairs.left_name, pairs.right_name)
    known = [[word in frequency for word in side] for side in words]
    middle = float(np.median(list(frequency.values())))
    counts: list[Callable[[int], np.ndarray]] = [
        lambda side: np.array([frequency.get(word, middle) for word in words[side]]),
        lambda side: np.array([len(word) for word in words[side]]),
        lambda side: pieces[(pairs.left, pairs.right)[side][:, 0].numpy()],
    ]
    columns = [np.array(known[0], dtype=float) + np.array(known[1], dtype=float)]
    for count in counts:
        first, second = count(0), count(1)
        columns += [first + second, np.abs(first - second)]
    return torch.tensor(np.stack(columns).astype(float))
