"""Control tasks: random labels a probe can only memorise (Hewitt & Liang 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from probes.errors import UsageError
from probes.linear.classes import number_classes, to_tensor


def draw_control_labels(
    labels: Any,
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
        Classes, as integers from 0, or floating-point numbers.
    words
        The word of each occurrence.
    count
        How many control tasks.

    Raises
    ------
    UsageError
        If the two lists differ in length, there is no occurrence, a class is negative, or no task
        is asked for.
    """
    if count < 1:
        raise UsageError(f"count is {count}; ask for at least 1 control task.")
    labels = to_tensor(labels)
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
        classes = number_classes(labels)
        cells = word * classes.size + classes.number
        counts = torch.bincount(cells, minlength=n_words * classes.size)
        own = classes.labels[counts.reshape(n_words, -1).argmax(1)]
    random = np.random.default_rng(seed)
    orders = [torch.from_numpy(random.permutation(n_words)) for _ in range(count)]
    return torch.stack([own[order][word] for order in orders])
