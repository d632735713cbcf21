"""Pairs of words, and a measure of them, for the tests of resampling."""

import numpy as np
import torch


def make_pairs(n_words=40, n_pairs=300, seed=0):
    random = np.random.default_rng(seed)
    left = random.integers(n_words, size=n_pairs)
    right = (left + random.integers(1, n_words, size=n_pairs)) % n_words
    return torch.tensor(left), torch.tensor(right)


def weighted_mean(figure, *, weights=None):
    if weights is None:
        return figure.double().mean(-1)
    weights = weights.double()
    return torch.einsum("rp,hp->rh", weights, figure.double()) / weights.sum(1, keepdim=True)
