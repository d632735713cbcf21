"""Keys and values of known dependence, and pairs that share words, for `benchmarks.inference`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from probes.similarity.compare import PairComparison, compare_pairs
from probes.similarity.dissociation import dissociation_ratio
from probes.similarity.divergence import divergence_curve
from probes.similarity.representational import representational_similarity

WORDS, PAIRS = 1100, 2000
"""As many pairs per word as the real table has (3,300 words, 6,000 pairs)."""

BINS = 20
WIDTH = 16
SPECTRUM = torch.arange(1, WIDTH + 1) ** -0.5
LENGTHS = 0.3  # of the logarithm of the words' lengths: some words are far from all others


@dataclass(frozen=True)
class Heads:
    """Keys and values [head, word, WIDTH] of heads that read the same words."""

    keys: Tensor
    values: Tensor


def draw_pairs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw pairs of different words."""
    left = torch.randint(WORDS, (PAIRS,), generator=generator)
    right = (left + torch.randint(1, WORDS, (PAIRS,), generator=generator)) % WORDS
    return left, right


def draw_heads(
    n_heads: int,
    effect: float | list[float],
    generator: torch.Generator,
    *,
    n_words: int = WORDS,
    common: float = 0.0,
) -> Heads:
    """Draw keys, and values that are `effect` parts the keys (their correlation), the rest noise.

    Parameters
    ----------
    effect
        One for all heads, or one a head.
    common
        Correlation of the keys of different heads, and of their noise: 0 makes every head a data
        set of its own.
    """
    weight = torch.tensor(effect).reshape(-1, 1, 1)

    def draw() -> Tensor:
        shared, own = (torch.randn(n, n_words, WIDTH, generator=generator) for n in (1, n_heads))
        return common**0.5 * shared + (1 - common) ** 0.5 * own

    def lengthen(vectors: Tensor) -> Tensor:
        n = 1 if common else n_heads
        length = torch.randn(n, n_words, 1, generator=generator).mul(LENGTHS).exp()
        return vectors * SPECTRUM * length

    key = draw()
    value = weight * key + (1 - weight**2).sqrt() * draw()
    return Heads(lengthen(key), lengthen(value))


def compare_heads(heads: Heads, left: Tensor, right: Tensor) -> PairComparison:
    """Compare the pairs' words: [head, pair]."""
    return compare_pairs(heads.keys, heads.values, left[:, None], right[:, None])


@cache
def find_truth(effect: float) -> dict[str, Tensor]:
    """Measure 800,000 independent pairs: what the figures estimate, to about .003."""
    generator = torch.Generator().manual_seed(123)
    n_pairs = 800_000
    heads = draw_heads(1, effect, generator, n_words=2 * n_pairs)
    left = torch.arange(n_pairs)
    found = compare_heads(heads, left, left + n_pairs)
    return {
        "dissociation ratio (5 %)": dissociation_ratio(found.s_k, found.s_v, top=0.05)[0],
        "representational similarity": representational_similarity(found.d_k, found.d_v)[0],
        "divergence curve": divergence_curve(found.s_k, found.s_v, bins=BINS)[0],
    }
