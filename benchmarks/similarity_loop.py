"""The similarity measures written down plainly, one head at a time, with scipy and scikit-learn.

What `benchmarks.similarity` compares speed and numbers with. No trick, but no deliberate waste
either: arrays instead of Python loops over pairs, and library routines where there are any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.stats
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import paired_distances
from sklearn.neighbors import NearestNeighbors

from probes.stats.folds import word_folds

Array = NDArray[Any]


def _sides(data: Any, layer: int, head: int) -> tuple[Array, Array]:
    return data.keys[layer, head].numpy(), data.values[layer, head].numpy()


def pairs(data: Any, layer: int, head: int) -> list[Array]:
    """Cosines and distances of pairs, mean over templates."""
    left, right = data.left.numpy(), data.right.numpy()
    figures = []
    for metric in ("cosine", "euclidean"):
        for side in _sides(data, layer, head):
            found = [
                paired_distances(side[left[:, t]], side[right[:, t]], metric=metric)
                for t in range(left.shape[1])
            ]
            mean = np.mean(found, axis=0)
            figures.append(1 - mean if metric == "cosine" else mean)
    return figures


def _in_top(figure: Array, weights: Array, share: float) -> Array:
    """Take the part of each entry's weight that is in the top share of the mass."""
    order = np.argsort(-figure)
    ordered = weights[order]
    before = np.cumsum(ordered) - ordered
    inside = np.empty_like(weights)
    inside[order] = np.clip(share * weights.sum() - before, 0, ordered)
    return inside


def ranks(
    data: Any, figures: list[torch.Tensor], tops: tuple[float, ...], layer: int, head: int
) -> list[Array]:
    """Dissociation ratios for each share, and representational similarity, in every resample."""
    s_k, s_v, d_k, d_v = (figure[layer, head].numpy().astype(np.float64) for figure in figures)
    rows = []
    for weights in data.pair_weights.numpy().astype(np.float64):
        low = np.divide(
            _in_top(-s_v, weights, 0.5), weights, out=np.zeros_like(weights), where=weights > 0
        )
        row = [_in_top(s_k, weights, top) @ low / (top * weights.sum() / 2) for top in tops]
        copies = weights.astype(int)
        row.append(scipy.stats.spearmanr(d_k.repeat(copies), d_v.repeat(copies)).statistic)
        rows.append(row)
    return list(np.array(rows).T)


def curve(data: Any, figures: list[torch.Tensor], layer: int, head: int) -> list[Array]:
    """Divergence curve of 20 bins in every resample."""
    s_k, s_v = (figure[layer, head].numpy().astype(np.float64) for figure in figures[:2])
    curves = []
    for weights in data.pair_weights.numpy().astype(np.float64):
        order = np.argsort(-s_k)
        mass = np.concatenate([[0], np.cumsum(weights[order])])
        gap = np.concatenate([[0], np.cumsum(weights[order] * (1 - s_v[order]))])
        edges = np.linspace(0, mass[-1], 21)
        curves.append(np.diff(np.interp(edges, mass, gap)) * 20 / mass[-1])
    return [np.array(curves)]


def premise(
    data: Any,
    figures: list[torch.Tensor],
    tops: tuple[float, ...],
    attended: float,
    layer: int,
    head: int,
) -> list[Array]:
    """Premise lift for each share in every resample."""
    s_k = figures[0][layer, head].numpy().astype(np.float64)
    left, right = data.attention[:, layer, head].numpy().astype(np.float64)
    lifts = []
    for weights in data.pair_weights.numpy().astype(np.float64):
        doubled = np.concatenate([weights, weights])
        share = np.divide(1, weights, out=np.zeros_like(weights), where=weights > 0)
        similar = np.stack([_in_top(s_k, weights, top) * share for top in tops])
        joint, both = np.zeros(len(tops)), 0.0
        for sides in zip(left, right, strict=True):
            high = _in_top(np.concatenate(sides), doubled, attended)
            together = high[: len(s_k)] * high[len(s_k) :] * share
            both += together.sum()
            joint += similar @ together
        lifts.append(joint / both / np.array(tops))
    return [np.array(lifts)]


def neighbours(data: Any, layer: int, head: int) -> list[Array]:
    """Overlap of 5, 10 and 20 neighbours, and ratios of their distances; means over words."""
    distances, nearest = [], []
    for side in _sides(data, layer, head):
        found = [pairwise_distances(side[rows]) for rows in data.rows.T.numpy()]
        distances.append(np.mean(found, axis=0))
        search = NearestNeighbors(n_neighbors=20, metric="precomputed").fit(distances[-1])
        nearest.append(search.kneighbors(return_distance=False))
    n = len(distances[0])
    overlap, ratios = [], {0: [], 1: []}
    for size in (5, 10, 20):
        chance = size / (n - 1)
        shared = [np.intersect1d(a[:size], b[:size]).size for a, b in zip(*nearest, strict=True)]
        overlap.append((np.array(shared) / size - chance) / (1 - chance))
        for near in (0, 1):
            other = distances[1 - near]
            around = np.take_along_axis(other, nearest[near][:, :size], axis=1).mean(1)
            ratios[near].append(around / (other.sum() / (n * (n - 1))))
    return [np.mean(figure, axis=1) for figure in (overlap, ratios[0], ratios[1])]


def cka(data: Any, layer: int, head: int) -> list[Array]:
    """Debiased CKA of the kernels, averaged over templates, as in the paper."""
    kernels = []
    for side in _sides(data, layer, head):
        x = [side[rows].astype(np.float64) for rows in data.rows.T.numpy()]
        kernels.append(np.mean([of_template @ of_template.T for of_template in x], axis=0))
        np.fill_diagonal(kernels[-1], 0)
    n = len(kernels[0])

    def hsic(k: Array, v: Array) -> float:
        sums = k.sum() * v.sum() / ((n - 1) * (n - 2))
        return float((k * v).sum() + sums - 2 / (n - 2) * (k.sum(0) @ v.sum(0)))

    k, v = kernels
    return [np.array(hsic(k, v) / np.sqrt(hsic(k, k) * hsic(v, v)))]


def canonical(data: Any, layer: int, head: int) -> list[Array]:
    """Canonical correlations by orthonormal bases, in sample and over five folds of words."""
    k, v = (side.astype(np.float64) for side in _sides(data, layer, head))

    def fit(k: Array, v: Array) -> tuple[Array, Array, Array]:
        (q_k, r_k), (q_v, r_v) = (scipy.linalg.qr(x - x.mean(0), mode="economic") for x in (k, v))
        left, values, right = scipy.linalg.svd(q_k.T @ q_v)
        return values, scipy.linalg.solve(r_k, left), scipy.linalg.solve(r_v, right.T)

    fold = word_folds(data.words, 5, 0).numpy()
    sums = np.zeros((3, k.shape[1]))
    for f in range(5):
        _, left, right = fit(k[fold != f], v[fold != f])
        x, y = k[fold == f] @ left, v[fold == f] @ right
        x, y = x - x.mean(0), y - y.mean(0)
        sums += np.stack([(x * y).sum(0), (x * x).sum(0), (y * y).sum(0)])
    return [fit(k, v)[0], sums[0] / np.sqrt(sums[1] * sums[2])]


def tieability(data: Any, layer: int, head: int) -> list[Array]:
    """R^2 of ridge, nested over five folds of words, and of least squares in sample."""
    k, v = (side.astype(np.float64) for side in _sides(data, layer, head))
    fold = word_folds(data.words, 5, 0).numpy()

    def error(train: Array, test: Array, penalty: float) -> float:
        centred = k[train] - k[train].mean(0)
        model = Ridge(alpha=penalty * (centred**2).sum() / k.shape[1]).fit(k[train], v[train])
        return float(((v[test] - model.predict(k[test])) ** 2).sum())

    wrong = total = 0.0
    for f in range(5):
        penalties = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1)
        inner = [g for g in range(5) if g != f]
        losses = [
            sum(error((fold != f) & (fold != g), fold == g, p) for g in inner) for p in penalties
        ]
        wrong += error(fold != f, fold == f, penalties[int(np.argmin(losses))])
        total += float(((v[fold == f] - v[fold != f].mean(0)) ** 2).sum())
    residual = v - LinearRegression().fit(k, v).predict(k)
    in_sample = 1 - (residual**2).sum() / ((v - v.mean(0)) ** 2).sum()
    return [np.array(1 - wrong / total), np.array(in_sample)]


def angles(data: Any, layer: int, head: int) -> list[Array]:
    """Cosines of the principal angles of the weights' row spaces."""
    found = scipy.linalg.subspace_angles(
        data.weights_k[layer, head].numpy().astype(np.float64).T,
        data.weights_v[layer, head].numpy().astype(np.float64).T,
    )
    return [np.sort(np.cos(found))[::-1].copy()]
