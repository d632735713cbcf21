import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity import centre, metric_root, pair_cosines, pair_distances, to_coordinates


def _metric(head: int, d: int, random: torch.Generator, rank: int | None = None) -> torch.Tensor:
    factor = torch.randn(head, d, rank or 2 * d, generator=random, dtype=torch.float64)
    return factor @ factor.mT / factor.shape[-1]


def test_centre_equals_a_loop() -> None:
    vectors = torch.randn(2, 3, 7, 4, generator=torch.Generator().manual_seed(0)) + 5
    groups = torch.tensor([9, -1, 9, 9, 4, -1, 4])
    centred = centre(vectors, groups)
    for group in (9, -1, 4):
        members = [i for i in range(7) if groups[i] == group]
        mean = sum(vectors[:, :, i] for i in members) / len(members)
        for i in members:
            torch.testing.assert_close(centred[:, :, i], vectors[:, :, i] - mean)
    whole = centre(vectors, None)
    torch.testing.assert_close(whole, vectors - vectors.mean(2, keepdim=True))
    torch.testing.assert_close(centre(whole, None), whole)
    frame = torch.tensor([3.0, -2.0, 7.0])[torch.tensor([0, 1, 0, 0, 2, 1, 2])][:, None]
    torch.testing.assert_close(centre(vectors + frame, groups), centred, atol=1e-5, rtol=0)


def test_metric_root_equals_scipy() -> None:
    metric = _metric(3, 5, torch.Generator().manual_seed(1))
    for root, matrix in zip(metric_root(metric), metric, strict=True):
        expected = np.real(scipy.linalg.sqrtm(matrix.numpy()))
        torch.testing.assert_close(root, torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coordinates_carry_the_metric(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(2)
    metric = _metric(3, 5, random, rank=2).to(dtype)  # singular: two directions in five
    vectors = torch.randn(3, 7, 5, generator=random).to(dtype)
    coordinates = to_coordinates(vectors, metric)
    assert coordinates.dtype == dtype
    squares = torch.einsum("hoi,hij,hoj->ho", vectors, metric, vectors)
    torch.testing.assert_close(coordinates.square().sum(-1), squares, rtol=1e-4, atol=1e-5)
    projection = torch.diag(torch.tensor([1.0, 0, 1, 0, 0])).expand(3, 5, 5).to(dtype)
    torch.testing.assert_close(metric_root(projection), projection)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), d=st.integers(2, 9))
def test_a_change_of_basis_moves_no_functional_measure(seed: int, d: int) -> None:
    random = torch.Generator().manual_seed(seed)
    keys = torch.randn(2, 11, d, generator=random, dtype=torch.float64)
    metric = _metric(2, d, random)
    left, right = torch.arange(10), torch.arange(1, 11)
    # Singular values between 1/3 and 3: far from orthogonal, and well conditioned.
    spread = torch.logspace(-0.47, 0.47, d, dtype=torch.float64)
    turn, other = (
        torch.linalg.qr(torch.randn(2, d, d, generator=random, dtype=torch.float64)).Q
        for _ in range(2)
    )
    M = turn * spread @ other
    inverse = torch.linalg.inv(M)
    before = to_coordinates(keys, metric)
    after = to_coordinates(keys @ M, inverse @ metric @ inverse.mT)
    for measure in (pair_cosines, pair_distances):
        was, now = measure(before, left, right), measure(after, left, right)
        torch.testing.assert_close(now, was, rtol=1e-5, atol=1e-7)
    raw_was, raw_now = pair_cosines(keys, left, right), pair_cosines(keys @ M, left, right)
    assert float((raw_was - raw_now).abs().max()) > 1e-2


def test_coordinates_refuse() -> None:
    eye = torch.eye(3).expand(2, 3, 3)
    with pytest.raises(UsageError, match="1 metrics have negative eigenvalues"):
        metric_root(torch.stack([torch.eye(3), torch.diag(torch.tensor([1.0, 1.0, -0.5]))]))
    with pytest.raises(UsageError, match="not symmetric"):
        metric_root(torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(NonFiniteError, match="the metric"):
        metric_root(torch.full((2, 2), float("nan")))
    with pytest.raises(NonFiniteError, match="the vectors"):
        to_coordinates(torch.full((2, 4, 3), float("inf")), eye)
    with pytest.raises(NonFiniteError, match="12 of the 12"):
        centre(torch.full((4, 3), float("nan")), None)
    with pytest.raises(UsageError, match="no occurrences"):
        centre(torch.ones(2, 0, 3), None)
    assert metric_root(torch.diag(torch.tensor([1.0, -1e-7])))[1, 1] == 0
    with pytest.raises(UsageError, match="one group number per"):
        centre.__wrapped__(torch.ones(4, 3), torch.tensor([0, 1]))
    with pytest.raises(UsageError, match=r"expected \(2, 3, 3\)"):
        to_coordinates.__wrapped__(torch.ones(2, 4, 3), torch.eye(3))
    with pytest.raises(UsageError, match="square"):
        metric_root.__wrapped__(torch.ones(2, 3))
