"""What is computed from streamed moments equals what is computed from the stored rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from probes.capture.moments import LayerMoments, Moments, merge_in_order
from probes.errors import UsageError
from probes.similarity import (
    canonical_correlations,
    canonical_correlations_from_moments,
    closed_form_r2,
    closed_form_r2_from_moments,
    debiased_cka,
    head_moments,
    input_moments,
    linear_cka_from_moments,
    query_metric,
    tieability_from_moments,
    to_coordinates,
    to_functional_space,
)
from probes.similarity.spaces import HeadMetrics
from probes.similarity.tieability import sum_folds, tieability
from probes.stats import word_folds
from probes.stats.ridge import RidgeFit

N, CUTS = 400, [100, 57, 43, 120, 80]  # five shards


def draw(seed: int = 0) -> dict[str, torch.Tensor]:
    """x 11 wide; 3 kv heads with keys of 4 and values of 5; 6 heads. Values follow keys in part."""
    random = torch.Generator().manual_seed(seed)
    x = 30 + torch.randn(N, 11, generator=random, dtype=torch.float64)
    maps = {"k": (3, 4), "v": (3, 5), "q": (6, 4)}
    rows = {"x": x}
    for name, shape in maps.items():
        matrix = torch.randn(11, *shape, generator=random, dtype=torch.float64)
        noise = torch.randn(N, *shape, generator=random, dtype=torch.float64)
        rows[name] = torch.tensordot(x, matrix, 1) + noise
    return rows


@pytest.fixture(scope="module")
def rows() -> dict[str, torch.Tensor]:
    return draw()


@pytest.fixture(scope="module")
def shards(rows) -> list[LayerMoments]:
    pieces = [part.split(CUTS) for part in rows.values()]
    made = []
    for block in zip(*pieces, strict=True):
        moments = Moments(1)
        moments.update(0, **dict(zip(rows, block, strict=True)))
        made.append(moments.layer(0))
    return made


@pytest.fixture(scope="module")
def layer(shards) -> LayerMoments:
    return merge_in_order(shards)


def sides(rows, shift: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values [head, occurrence, d]; the values of the head `shift` further on."""
    return rows["k"].transpose(0, 1), rows["v"].transpose(0, 1).roll(-shift, 0)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_measures_of_heads_and_of_mismatched_heads(rows, layer, shift):
    keys, values = sides(rows, shift)
    moments = head_moments(layer, shift=shift)
    close = {"atol": 1e-9, "rtol": 0}
    r2 = closed_form_r2_from_moments(moments)
    torch.testing.assert_close(r2, closed_form_r2(keys, values), **close)
    found = canonical_correlations_from_moments(moments)
    torch.testing.assert_close(found, canonical_correlations(keys, values), **close)
    centred = [side - side.mean(1, keepdim=True) for side in (keys, values)]
    grams = [side @ side.mT for side in centred]  # CKA as it is defined, on whole kernels
    expected = (grams[0] * grams[1]).sum((1, 2)) / (
        grams[0].norm(dim=(1, 2)) * grams[1].norm(dim=(1, 2))
    )
    cka = linear_cka_from_moments(moments)
    torch.testing.assert_close(cka, expected, **close)
    assert bool(((cka - debiased_cka(keys, values)) < 10 / N).all())


def test_the_query_metric(rows, layer):
    q = rows["q"].reshape(N, 3, 2, 4)
    expected = torch.einsum("nkgd,nkge->kde", q, q) / (2 * N) * 0.5**2
    torch.testing.assert_close(query_metric(layer, logit_scale=0.5), expected)


def test_functional_space(rows, layer):
    keys, values = sides(rows)
    random = torch.Generator().manual_seed(5)
    root = torch.randn(3, 5, 5, generator=random, dtype=torch.float64)
    metrics = HeadMetrics(query_metric(layer, logit_scale=0.5), root @ root.mT)
    moved = to_coordinates(keys, metrics.key), to_coordinates(values, metrics.value)
    found = to_functional_space(head_moments(layer), metrics)
    torch.testing.assert_close(closed_form_r2_from_moments(found), closed_form_r2(*moved))
    torch.testing.assert_close(found.key_mean, moved[0].mean(1))
    torch.testing.assert_close(
        found.value_value, torch.stack([torch.cov(v.T) for v in moved[1]]) * (N - 1)
    )


def test_tieability_with_a_shard_as_a_fold(rows, shards):
    keys, values = sides(rows)
    words = torch.arange(5).repeat_interleave(torch.tensor(CUTS))
    expected = tieability(keys, values, words=words)
    fold_of_word = word_folds(torch.arange(5), 5, 0)
    r2, penalty = tieability_from_moments([head_moments(shard) for shard in shards])
    torch.testing.assert_close(r2, expected.r2, atol=1e-9, rtol=0)
    assert torch.equal(penalty, expected.penalty[:, fold_of_word])


def test_a_slice_of_x_in_the_place_of_the_keys(rows, shards):
    random = torch.Generator().manual_seed(2)
    cut = torch.randn(3, 11, 4, generator=random, dtype=torch.float64)
    keys = rows["x"].expand(3, -1, -1) @ cut
    words = torch.arange(5).repeat_interleave(torch.tensor(CUTS))
    expected = tieability(keys, sides(rows)[1], words=words)
    own = torch.eye(5).expand(3, -1, -1)
    parts = [input_moments(shard).transform(cut, own) for shard in shards]
    torch.testing.assert_close(tieability_from_moments(parts)[0], expected.r2, atol=1e-9, rtol=0)


@pytest.mark.parametrize("of", ["k", "v"])
def test_ridge_from_x_equals_scikit_learn(rows, shards, of):
    fit = RidgeFit.of(
        sum_folds([input_moments(s, of) for s in shards]), [0, 2, 3], torch.tensor([0.3]).double()
    )
    train = torch.cat([rows["x"].split(CUTS)[n] for n in (0, 2, 3)]).numpy()
    penalty = 0.3 * np.trace(np.cov(train.T) * (len(train) - 1)) / 11
    for head in range(3):
        target = torch.cat([rows[of][:, head].split(CUTS)[n] for n in (0, 2, 3)]).numpy()
        model = Ridge(alpha=penalty).fit(train, target)
        np.testing.assert_allclose(
            fit.weights(torch.zeros(3).long())[head], model.coef_.T, atol=1e-7
        )


def test_refuses(rows, shards):
    bare = LayerMoments.of(**{name: part for name, part in rows.items() if name != "x"})
    with pytest.raises(UsageError, match="hold no x"):
        input_moments(bare)
    with pytest.raises(UsageError, match="folds is 2"):
        tieability_from_moments([head_moments(shard) for shard in shards[:2]])
