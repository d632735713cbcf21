"""The shipped lexicon: what is known of a word by itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import pandas as pd

from probes.words.tables import data_folder, read_table


def load_lexicon() -> pd.DataFrame:
    """Read the shipped lexicon: ``word, pos, pos_share, lexname, noun_lexname, z``.

    Part of speech and semantic field of the usual sense, and frequency; see ``data/README.md``.
    """
    return read_table(data_folder() / "lexicon.tsv", numeric=("pos_share", "z"))


@cache
def read_frequencies() -> Mapping[str, float]:
    """Read each word's ``z``: log10 of its occurrences per 10^9 words."""
    lexicon = load_lexicon()
    return MappingProxyType(dict(zip(lexicon["word"], lexicon["z"], strict=True)))
