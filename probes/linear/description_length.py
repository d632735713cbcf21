"""Online description length: how many bits the labels take, given the vectors.

Voita & Titov 2020, "Information-theoretic probing with minimum description length": the labels are
sent in blocks that grow; each block is coded with the probe that was trained on all blocks before
it. A property that is easy to read is learned from few examples, and takes few bits; unlike
accuracy this counts how hard the probe has to work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.linear.classes import number_classes
from probes.linear.cross_validation import TOLERANCE
from probes.linear.logistic import LogisticProblem, solve_path, split_heads
from probes.stats.checks import require_one_each
from probes.stats.ridge import read_penalties

FRACTIONS = (0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class DescriptionLength:
    """Bits of every head and task, and the learning curve behind them.

    Attributes
    ----------
    bits
        Of all labels, the first block's at log2(classes) each.
    uniform_bits
        Of all labels without any model: occurrences * log2(classes).
    trained_on
        Occurrences before each block but the first.
    accuracy
        On the block that follows; the best of the penalties.
    block_bits
        Per occurrence of the block that follows.
    """

    bits: Float[Tensor, "*head task"]
    uniform_bits: float
    trained_on: Int[Tensor, "block"]
    accuracy: Float[Tensor, "*head task block"]
    block_bits: Float[Tensor, "*head task block"]

    @property
    def compression(self) -> Float[Tensor, "*head task"]:
        """How many times shorter the code is than without a model: 1 says nothing was learned."""
        return self.uniform_bits / self.bits


def describe_online(
    x: Float[Tensor, "*head occurrence d"],
    labels: Any,
    words: Int[Tensor, "occurrence"],
    *,
    penalties: Sequence[float],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> DescriptionLength:
    """Measure the online code of one or more sets of labels, for every head.

    Words come in random order, all occurrences of a word together, so that a block holds words not
    seen before. Logistic probes are trained with every penalty; the code is that of their Bayesian
    mixture with equal prior weights (at most log2(penalties) bits longer than the best of them), so
    nothing is chosen by looking ahead. Every prediction is smoothed by Laplace's rule,
    (n p + 1) / (n + classes) after n occurrences, or a class not yet seen would cost infinitely
    many bits.

    Parameters
    ----------
    labels
        [task, occurrence], classes (see `probes.linear.classes.number_classes`); a code is for
        those that occur in any of the sets.
    fractions
        Of the occurrences, where blocks end; rising, the last 1.

    Raises
    ------
    UsageError
        If fractions do not rise to 1, the first block is empty, lists differ in length, or there
        are fewer than 2 classes.
    """
    if list(fractions) != sorted(set(fractions)) or not fractions or fractions[-1] != 1:
        raise UsageError(f"The fractions are {list(fractions)}; give rising ones, the last 1.")
    classes = number_classes(labels)
    labels, n_classes = classes.number, classes.size
    if labels.ndim != 2:
        raise UsageError(f"The labels have shape {tuple(labels.shape)}; give [task, occurrence].")
    if n_classes < 2:
        raise UsageError("All labels are equal: there is nothing to send. Give 2 classes or more.")
    require_one_each(x, labels.shape[1], len(words))
    order, ends = _order(words, fractions, seed)
    n = len(words)
    head = x.shape[:-2]
    x = x.reshape(-1, *x.shape[-2:])[:, order]
    labels = labels[:, order].to(x.device)
    grid = read_penalties(penalties).to(x.device)
    parts = [_code(block, labels, ends, n_classes, grid) for block in split_heads(x)]
    bits, right = (torch.cat(found, 1) for found in zip(*parts, strict=True))
    shape = bits.shape
    first = ends[0] * math.log2(n_classes)
    total = bits.sum(-1)
    mixture = math.log2(len(grid)) - torch.logsumexp(-total * math.log(2), 0) / math.log(2)
    sizes = torch.tensor(ends, device=x.device).diff()
    best = total.argmin(0)[None, ..., None].expand(1, *shape[1:])
    return DescriptionLength(
        bits=(first + mixture).reshape(*head, -1).cpu(),
        uniform_bits=n * math.log2(n_classes),
        trained_on=torch.tensor(ends[:-1]),
        accuracy=right.gather(0, best)[0].reshape(*head, *shape[2:]).cpu(),
        block_bits=(bits.gather(0, best)[0] / sizes).reshape(*head, *shape[2:]).cpu(),
    )


def _code(
    x: Tensor, labels: Tensor, ends: list[int], n_classes: int, grid: Tensor
) -> tuple[Tensor, Tensor]:
    """Return bits and accuracy, [penalty, head, task, block], of each block after the first."""
    shape = (len(grid), len(x), len(labels), len(ends) - 1)
    bits = torch.zeros(shape, dtype=torch.float64, device=x.device)
    right = torch.zeros_like(bits)
    for block, (end, after) in enumerate(pairwise(ends)):
        problem = LogisticProblem(x[:, :end], labels[:, :end], n_classes)
        index = labels[None, :, None, end:after].expand(len(x), -1, -1, -1)
        for place, fit in solve_path(problem, grid, tolerance=TOLERANCE):
            chances = fit.log_probabilities(x[:, end:after])
            chance = chances.gather(2, index)[:, :, 0].double().exp()
            smooth = (end * chance + 1) / (end + n_classes)
            bits[place, ..., block] = -smooth.log2().sum(-1)
            right[place, ..., block] = (chances.argmax(2) == index[:, :, 0]).double().mean(-1)
    return bits, right


def _order(words: Tensor, fractions: Sequence[float], seed: int) -> tuple[Tensor, list[int]]:
    """Put the words in random order; return the occurrences in it, and where the blocks end."""
    numbers, word = torch.unique(words, return_inverse=True)
    rank = torch.from_numpy(np.random.default_rng(seed).permutation(len(numbers)))[word]
    order = rank.argsort(stable=True)
    borders = torch.cat([(rank[order].diff() != 0).nonzero()[:, 0] + 1, torch.tensor([len(words)])])
    ends = []
    for fraction in fractions:
        wanted = fraction * len(words)
        nearest = int((borders - wanted).abs().argmin())
        ends.append(int(borders[nearest]))
    ends = sorted(set(ends))
    if len(ends) < 2:
        raise UsageError(
            f"{len(numbers)} words make a single block; give more words or other fractions."
        )
    return order, ends
