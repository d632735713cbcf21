import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity import debiased_cka


def unbiased_hsic(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741 - as in the paper
    """Song et al. 2012, equation 5, on matrices of occurrences by occurrences."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    one = np.ones(n)
    return (
        np.trace(k @ l)
        + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ k @ l @ one)
    ) / (n * (n - 3))


def cka_of_kernels(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    return unbiased_hsic(k, l) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(l, l))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([4, 9, 40]),
    offset=st.sampled_from([0.0, 50.0]),
)
def test_equals_the_kernel_form(seed: int, n: int, offset: float) -> None:
    random = torch.Generator().manual_seed(seed)
    keys = torch.randn(2, 3, n, 5, generator=random, dtype=torch.float64) + offset
    values = torch.randn(2, 3, n, 7, generator=random, dtype=torch.float64)
    values[..., :5] += keys
    found = debiased_cka(keys, values)
    assert found.shape == (2, 3)
    for head in np.ndindex(2, 3):
        # The origin does not matter, but kernels far from it lose digits; this shift is exact.
        k, v = keys[head].numpy() - offset, values[head].numpy()
        v[:, :5] -= offset
        expected = cka_of_kernels(k @ k.T, v @ v.T)
        assert float(found[head]) == pytest.approx(min(1, expected), abs=1e-6)


def test_the_bias_is_gone_where_plain_cka_says_alike() -> None:
    random = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 200, 30, 60, generator=random)
    found = debiased_cka(keys, values)
    assert abs(float(found.mean())) < 4 * float(found.std()) / 200**0.5
    k, v = (side.numpy() - side.numpy().mean(-2, keepdims=True) for side in (keys[0], values[0]))
    plain = np.linalg.norm(k.T @ v) ** 2 / np.linalg.norm(k.T @ k) / np.linalg.norm(v.T @ v)
    assert plain > 0.5


def test_templates_side_by_side_average_the_kernels() -> None:
    random = torch.Generator().manual_seed(1)
    keys = torch.randn(2, 33, 5, generator=random, dtype=torch.float64)
    values = torch.randn(2, 33, 4, generator=random, dtype=torch.float64)
    values[..., :2] += keys[..., :2]
    rows = torch.randperm(33, generator=random).reshape(11, 3)
    found = debiased_cka(*(side[:, rows].flatten(2) for side in (keys, values)))
    for head in range(2):
        kernels = [
            sum(x[rows[:, t]] @ x[rows[:, t]].T for t in range(3)).numpy() / 3
            for x in (keys[head], values[head])
        ]
        assert float(found[head]) == pytest.approx(cka_of_kernels(*kernels))


def test_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.randn(2, 9, 3)
    with pytest.raises(UsageError, match="at least 4 occurrences; 3 came"):
        debiased_cka(keys[:, :3], keys[:, :3])
    with pytest.raises(NonFiniteError, match="the values"):
        debiased_cka(keys, keys / 0)
    assert bool(debiased_cka(torch.ones_like(keys), keys).isnan().all())
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="all axes but the last"):
        debiased_cka(keys, keys[:, 1:])
