"""Matching words by how often they occur, how many tokens they are, and their part of speech."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from probes.similarity.word_pairs import WordPairs
from probes.stats.word_permutation import combine_strata
from probes.words.lexicon import load_lexicon

_KNOWN = 0.5

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
        ``z_m1`` and ``z_m2``, where they are, give the frequencies of ``m1`` and ``m2``. Parts of
        speech come from the shipped lexicon, if it knows half of the words; those it does not know
        are a class of their own.

    Returns
    -------
    A number a word, and a table ``label, classes, words`` of what was matched.
    """
    rows = occurrences.set_index("occurrence").loc[words.rows[:, 0].numpy()]
    names = rows["word"]
    labels = {"tokens": (rows["last_token"] - rows["first_token"] + 1).to_numpy()}
    frequency = _read_frequency(pairs)
    if frequency is not None:
        ranks = names.map(frequency).rank(method="first", na_option="bottom").to_numpy()
        labels["frequency"] = np.minimum(BINS * (ranks - 1) // len(ranks), BINS - 1).astype(int)
    part_of_speech = names.map(load_lexicon().set_index("word")["pos"].to_dict())
    if part_of_speech.notna().mean() >= _KNOWN:
        labels["part of speech"] = pd.factorize(part_of_speech)[0]
    strata = combine_strata(*(torch.tensor(label).long() for label in labels.values()))
    table = pd.DataFrame(
        [
            {"label": name, "classes": len(np.unique(label)), "words": len(label)}
            for name, label in [*labels.items(), ("all together", strata.numpy())]
        ]
    )
    return strata, table


def _read_frequency(pairs: pd.DataFrame) -> dict[str, float] | None:
    """Collect the frequencies of words from the columns of their pairs; None without these."""
    if not {"z_m1", "z_m2"} <= set(pairs):
        return None
    both = [pairs.set_index(side)[f"z_{side}"] for side in ("m1", "m2")]
    found: dict[str, float] = pd.concat(both).dropna().to_dict()
    return found
