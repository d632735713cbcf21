"""Topics of words, by which intervals cluster: WordNet's semantic fields."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from probes.words.lexicon import load_lexicon

NO_TOPIC = ("adj", "adv")
"""WordNet has no fields for adjectives and adverbs: all of them are in two or three files."""


def number_topics(words: Sequence[str]) -> Int[Tensor, " word"]:
    """Give each word the number of its topic: the field of its first sense as a noun.

    A word that is no noun has the field of its usual sense (verbs have fields); one without a
    field, or not in the shipped lexicon, is a topic of its own.
    """
    lexicon = load_lexicon().set_index("word").reindex(list(words))
    noun, usual = (lexicon[name].fillna("") for name in ("noun_lexname", "lexname"))
    usual = usual.where(~usual.str.startswith(NO_TOPIC), "")
    field = noun.where(noun != "", usual)
    alone = "the topic of " + pd.Series(list(words), dtype=object)
    names = field.reset_index(drop=True).where(field.to_numpy() != "", alone)
    return torch.tensor(pd.factorize(names)[0])
