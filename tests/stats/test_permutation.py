import numpy as np
import pytest
import scipy.stats
import torch

from probes.errors import NonFiniteError, UsageError
from probes.stats import permutation_p


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_permutation_p_equals_scipy(alternative: str) -> None:
    data = np.random.default_rng(0).normal(0.4, 1, size=9)
    seen: list[float] = []

    def mean(sample: np.ndarray) -> float:
        seen.append(float(sample.mean()))
        return seen[-1]

    reference = scipy.stats.permutation_test(
        (data,),
        mean,
        permutation_type="samples",
        n_resamples=199,
        alternative=alternative,
        vectorized=False,
        rng=np.random.default_rng(1),
    )
    observed = torch.tensor([data.mean(), -data.mean()])
    null = torch.from_numpy(np.stack([reference.null_distribution] * 2, axis=1))
    p = permutation_p(observed, null, alternative=alternative)
    assert float(p[0]) == pytest.approx(reference.pvalue, abs=1e-12)


def test_permutation_p_counts_ties_and_is_never_zero() -> None:
    null = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    assert permutation_p(torch.tensor([2.0, 9.0]), null, alternative="greater").tolist() == [
        3 / 5,
        1 / 5,
    ]
    assert permutation_p(torch.tensor([2.0, 9.0]), null, alternative="less").tolist() == [4 / 5, 1]
    assert permutation_p(torch.tensor([2.0, 0.0]), null, alternative="two-sided").tolist() == [1, 1]


def test_permutation_p_refuses() -> None:
    with pytest.raises(UsageError, match="no null samples"):
        permutation_p(torch.ones(2), torch.ones(0, 2), alternative="less")
    with pytest.raises(NonFiniteError, match="null samples"):
        permutation_p(torch.ones(1), torch.full((3, 1), float("nan")), alternative="less")
    unchecked = permutation_p.__wrapped__  # without the shape checker
    with pytest.raises(UsageError, match="one row per sample"):
        unchecked(torch.ones(2), torch.ones(4, 3), alternative="less")
    with pytest.raises(UsageError, match="'more'"):
        unchecked(torch.ones(2), torch.ones(4, 2), alternative="more")
