"""Matching words: by how often they occur in the language, and by how many tokens they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from probes.similarity.word_pairs import WordPairs
from probes.stats.word_permutation import combine_strata

BINS = 10
"""Classes of frequency, with equally many words each."""


def match_words(
    occurrences: pd.DataFrame, words: WordPairs, pairs: pd.DataFrame
) -> tuple[Int[Tensor, " word"], pd.DataFrame]:
    """Give every word a stratum; words of one stratum are alike but for what they mean.

    Parameters
    ----------
    occurrences
        Of the capture.
    words
        The words, by their occurrences.
    pairs
        ``z_m1`` and ``z_m2``, where they are, give the frequencies of ``m1`` and ``m2``; ``pos1``
        and ``pos2``, where they are, the parts of speech.

    Returns
    -------
    A number a word, and a table ``label, classes, words`` of what was matched.
    """
    rows = occurrences.set_index("occurrence").loc[words.rows[:, 0].numpy()]
    names = rows["word"]
    labels = {"tokens": (rows["last_token"] - rows["first_token"] + 1).to_numpy()}
    frequency = _look_up(pairs, ("z_m1", "z_m2"))
    if frequency is not None:
        ranks = names.map(frequency).rank(method="first", na_option="bottom").to_numpy()
        labels["frequency"] = np.minimum(BINS * (ranks - 1) // len(ranks), BINS - 1).astype(int)
    part_of_speech = _look_up(pairs, ("pos1", "pos2"))
    if part_of_speech is not None:
        labels["part of speech"] = pd.factorize(names.map(part_of_speech))[0]
    strata = combine_strata(*(torch.tensor(label).long() for label in labels.values()))
    table = pd.DataFrame(
        [
            {"label": name, "classes": len(np.unique(label)), "words": len(label)}
            for name, label in [*labels.items(), ("all together", strata.numpy())]
        ]
    )
    return strata, table


def _look_up(pairs: pd.DataFrame, columns: tuple[str, str]) -> dict[str, Any] | None:
    """Collect a property of words from the columns of their pairs; None where these are not."""
    if not set(columns) <= set(pairs):
        return None
    both = [
        pairs.set_index(side)[column] for side, column in zip(("m1", "m2"), columns, strict=True)
    ]
    found: dict[str, Any] = pd.concat(both).dropna().to_dict()
    return found
