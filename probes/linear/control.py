"""Control tasks: random labels a probe can only learn by heart (Hewitt & Liang 2019)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from probes.errors import UsageError


def draw_control_labels(
    labels: Shaped[Tensor, "occurrence"],
    words: Int[Tensor, "occurrence"],
    *,
    count: int,
    seed: int,
) -> Shaped[Tensor, "control occurrence"]:
    """Give the words' labels to other words at random; all occurrences of a word get the same.

    A word's own label is its most frequent one (of ties the smallest), or the mean of numbers. The
    labels of the control are a permutation of these over words, so that it has the same classes as
    the task, equally often. Folds that split no word leave nothing to learn: the control is at
    chance. Folds that do split words measure how much a probe can memorise.

    Parameters
    ----------
    labels
        Whole numbers (classes) or floating-point numbers.
    words
        The word of each occurrence.
    count
        How many control tasks.

    Raises
    ------
    UsageError
        If the two lists differ in length or there is no occurrence.
    """
    if labels.shape != words.shape or len(labels) == 0:
        raise UsageError(
            f"labels have shape {tuple(labels.shape)} and words {tuple(words.shape)}; give one of "
            "each for at least one occurrence."
        )
    numbers, word = torch.unique(words, return_inverse=True)
    n_words = len(numbers)
    if labels.is_floating_point():
        size = torch.bincount(word, minlength=n_words)
        own = torch.zeros(n_words, dtype=labels.dtype).index_add_(0, word, labels) / size
    else:
        n_classes = int(labels.max()) + 1
        counts = torch.bincount(word * n_classes + labels, minlength=n_words * n_classes)
        own = counts.reshape(n_words, n_classes).argmax(1)
    random = np.random.default_rng(seed)
    orders = [torch.from_numpy(random.permutation(n_words)) for _ in range(count)]
    return torch.stack([own[order][word] for order in orders])
