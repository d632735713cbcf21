"""What the right answer is: every figure over all pairs that could be drawn, from the design alone.

No capture, no stratum, no interval: loops over heads, in float64, with the definitions written out
once more. So it is the reference of the whole instrument, and shares none of its code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.planted.design import GROUP, N_HEADS, Design
from probes.planted.small import D_HEAD

Array = NDArray[np.float64]

SHARE = 0.25
"""The top share of sentences in which a head attends to both words."""


@dataclass(frozen=True)
class Truth:
    """Means over the query heads of each kv head.

    Attributes
    ----------
    key_percentile, value_percentile
        Mean percentile of the pairs that a head attends to together, among all pairs.
    key_gap
        Their root mean square gap in logits, in nats.
    """

    key_percentile: Float[np.ndarray, " kv_head"]
    value_percentile: Float[np.ndarray, " kv_head"]
    key_gap: Float[np.ndarray, " kv_head"]


def tell_truth(
    design: Design,
    asking: Sequence[str],
    asked: Sequence[str],
    others: Sequence[int],
    *,
    n_pairs: int = 600,
    seed: int = 0,
) -> Truth:
    """Work out what a perfect instrument would find.

    Parameters
    ----------
    asking, asked
        The words whose queries attend, and those that they attend to.
    others
        For each template, how many tokens that hold nothing the query sees besides itself and the
        two words.
    n_pairs
        So many pairs of asked words are drawn, with `seed`; every asking word meets all of them.
    """
    random = np.random.default_rng(seed)
    number = {word: place for place, word in enumerate(design.words)}
    ask, words = ([number[word] for word in part] for part in (asking, asked))
    left = random.integers(len(words), size=n_pairs)
    right = (left + random.integers(1, len(words), size=n_pairs)) % len(words)
    hidden = design.hidden.double().numpy()
    empty = np.asarray(others, dtype=np.float64)
    found = np.empty((3, N_HEADS, GROUP))
    for head in range(N_HEADS):
        k = hidden @ design.key_map[head].double().numpy()
        v = (hidden @ design.value_map[head].double().numpy())[words]
        q = np.stack([hidden @ part.double().numpy() for part in design.query_map[head]])[:, ask]
        q = q / D_HEAD**0.5
        metric = np.einsum("gnd,gne->de", q, q) / (len(ask) * GROUP)
        centred = k[words] - k[words].mean(0)
        spread, turned = np.linalg.eigh(metric)
        keys = centred @ turned * np.sqrt(spread.clip(0))
        gap = ((keys[left] - keys[right]) ** 2).sum(1)
        p_k = rank(cosine(keys[left], keys[right]))
        values = v - v.mean(0)
        p_v = rank(cosine(values[left], values[right]))
        for group in range(GROUP):
            logits = q[group] @ k[words].T
            sink = hidden[ask] @ design.sink_map[head, group].double().numpy()
            own = (np.exp((q[group] * k[ask]).sum(1)) + np.exp(sink))[:, None, None]
            one, two = (np.exp(logits[:, side])[..., None] for side in (left, right))
            smaller = np.minimum(one, two) / (one + two + own + empty)
            chosen = (smaller >= np.quantile(smaller, 1 - SHARE)).sum((0, 2))
            found[:, head, group] = [np.average(x, weights=chosen) for x in (p_k, p_v, gap)]
    mean = found.mean(2)
    return Truth(mean[0], mean[1], np.sqrt(mean[2]))


def cosine(one: Array, two: Array) -> Array:
    """Return the cosine of each row with its partner."""
    cosines: Array = (one * two).sum(1) / np.sqrt((one**2).sum(1) * (two**2).sum(1))
    return cosines


def rank(figures: Array) -> Array:
    """Return percentiles among all, ties at the middle of their places."""
    below = (figures[:, None] > figures).sum(1)
    tied = (figures[:, None] == figures).sum(1)
    percentiles: Array = 100 * (below + tied / 2) / len(figures)
    return percentiles
