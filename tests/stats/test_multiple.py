import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.stats import benjamini_hochberg, max_t, permutation_p


@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.2, 0.5, 0.9, 1.0]), min_size=1))
def test_benjamini_hochberg_equals_scipy(p_values: list[float]) -> None:
    expected = torch.from_numpy(scipy.stats.false_discovery_control(p_values))
    given_p = torch.tensor(p_values, dtype=torch.float64)
    torch.testing.assert_close(benjamini_hochberg(given_p), expected)


def test_benjamini_hochberg_is_one_family_over_all_axes() -> None:
    p_values = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    expected = scipy.stats.false_discovery_control(p_values.double().numpy(), axis=None)
    torch.testing.assert_close(
        benjamini_hochberg(p_values), torch.from_numpy(expected).reshape(3, 4)
    )


def test_benjamini_hochberg_refuses() -> None:
    with pytest.raises(NonFiniteError, match="1 of the 2"):
        benjamini_hochberg(torch.tensor([0.5, float("nan")]))


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_max_t_equals_a_loop(alternative: str) -> None:
    random = torch.Generator().manual_seed(3)
    observed = torch.randn(4, generator=random) * 2
    null = torch.randn(29, 4, generator=random)
    sign = {
        "greater": lambda x: x,
        "less": lambda x: -x,
        "two-sided": abs,
    }[alternative]
    adjusted = max_t(observed, null, alternative=alternative)
    for test in range(4):
        extreme = sum(
            max(sign(float(x)) for x in row) >= sign(float(observed[test])) for row in null
        )
        assert float(adjusted[test]) == pytest.approx((extreme + 1) / 30)
    if alternative != "two-sided":
        assert bool((adjusted >= permutation_p(observed, null, alternative=alternative)).all())


def test_max_t_keeps_the_family_wise_error() -> None:
    random = torch.Generator().manual_seed(4)
    shared = torch.randn(1000, 60, 1, generator=random)
    samples = shared + torch.randn(1000, 60, 6, generator=random)
    wrong = sum(bool((max_t(s[0], s[1:], alternative="greater") <= 0.05).any()) for s in samples)
    assert 0.025 < wrong / 1000 < 0.07


def test_max_t_refuses() -> None:
    with pytest.raises(UsageError, match="one axis of tests"):
        max_t.__wrapped__(torch.ones(2, 2), torch.ones(3, 2, 2), alternative="less")
    with pytest.raises(UsageError, match="no null samples"):
        max_t(torch.ones(2), torch.ones(0, 2), alternative="less")
