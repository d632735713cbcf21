"""How alike two words are, by their keys and by their values, in every head."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.naming import require_known
from probes.reading.words import Words
from probes.similarity.catalogue.places import SPACES
from probes.similarity.word_matrix import word_cosines

FEWEST_PAIRS = 20
"""A percentile among fewer other pairs says nothing."""


def compare(words: Words, left: str, right: str) -> pd.DataFrame:
    """Compare two words in every head and space, beside all other pairs of the words read.

    Parameters
    ----------
    words
        Of `read`: both words, and others, among whose pairs these two are ranked.
    left, right
        Two different words, in every group.

    Returns
    -------
    A row per layer, kv head and space: ``layer, kv_head, space, s_k, s_v, key_percentile,
    value_percentile, other_pairs, note``. ``s_k`` and ``s_v`` are cosines of the two keys and of
    the two values, means over groups. A percentile is the share, in %, of the other pairs that are
    less alike, a tie counting half; 50 is the middle. Numbers are NaN where there are too few
    words, and ``note`` says why: centring needs 10 words, a percentile 20 other pairs.

    Raises
    ------
    UsageError
        If a word was not read, is not in every group, or both are the same.

    Examples
    --------
    >>> compare(words, "neural", "social")  # doctest: +SKIP
    """
    names, rows = words.locate()
    for word in (left, right):
        require_known("word that was read in every group", word, names)
    if left == right:
        raise UsageError(f"both words are {left!r}: give two different ones.")
    first, second = names.index(left), names.index(right)
    above = np.triu_indices(len(names), 1)
    own = int(
        np.flatnonzero((above[0] == min(first, second)) & (above[1] == max(first, second)))[0]
    )
    others = len(above[0]) - 1
    obstacles = {space: words.find_obstacle(space) for space in SPACES}
    few = (
        "" if others >= FEWEST_PAIRS else f"{others} other pairs: a percentile needs {FEWEST_PAIRS}"
    )
    tables = []
    for layer in range(words.n_layers):
        for space, obstacle in obstacles.items():
            columns: dict[str, object] = {"layer": layer, "kv_head": 0, "space": space}
            if obstacle is not None:
                n_heads = words.k[layer].shape[1]
                unknown = np.full(n_heads, np.nan)
                sides = dict.fromkeys(("k", "v"), (unknown, unknown))
            else:
                sides = {
                    name: _rank(words.gather(vectors), rows, above, own, known=not few)
                    for name, vectors in (
                        ("k", words.keys(layer, space)),
                        ("v", words.values(layer, space)),
                    )
                }
                n_heads = len(sides["k"][0])
            columns |= {
                "kv_head": np.arange(n_heads),
                "s_k": sides["k"][0],
                "s_v": sides["v"][0],
                "key_percentile": sides["k"][1],
                "value_percentile": sides["v"][1],
                "other_pairs": others,
                "note": obstacle or few,
            }
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _rank(
    coordinates: Float[Tensor, "head row d"],
    rows: Tensor,
    above: tuple[np.ndarray, ...],
    own: int,
    *,
    known: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine of one pair in every head, and its percentile among the others."""
    cosines, percentiles = [], []
    for head in coordinates:
        figures = word_cosines(head, rows).numpy()[above]
        mine, rest = figures[own], np.delete(figures, own)
        cosines.append(float(np.clip(mine, -1, 1)))
        below = (rest < mine).sum() + (rest == mine).sum() / 2
        whole = known and np.isfinite(figures).all()
        percentiles.append(100 * below / len(rest) if whole else np.nan)
    return np.array(cosines), np.array(percentiles)
