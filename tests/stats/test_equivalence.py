import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.stats import judge_equivalence


@settings(deadline=None)
@given(
    value=st.floats(-3, 3),
    error=st.floats(0.01, 3),
    margin=st.floats(0.01, 3),
    level=st.sampled_from([0.01, 0.05, 0.1]),
)
def test_two_one_sided_tests_by_hand(
    value: float, error: float, margin: float, level: float
) -> None:
    found = judge_equivalence(
        torch.tensor([value], dtype=torch.float64),
        torch.tensor([error], dtype=torch.float64),
        margin=margin,
        level=level,
    )
    above_low = scipy.stats.norm.sf((value + margin) / error)  # H0: the truth is -margin or less
    below_high = scipy.stats.norm.cdf((value - margin) / error)  # H0: it is margin or more
    assert float(found.p_equivalent) == pytest.approx(max(above_low, below_high))
    assert float(found.p_different) == pytest.approx(2 * scipy.stats.norm.sf(abs(value) / error))
    low, high = scipy.stats.norm.interval(1 - 2 * level, value, error)
    assert (float(found.low), float(found.high)) == pytest.approx((low, high))
    inside = bool(-margin < found.low) and bool(found.high < margin)
    excludes = abs(value) > scipy.stats.norm.isf(level / 2) * error
    if (
        abs(float(found.p_equivalent) - level) > 1e-9
        and abs(float(found.p_different) - level) > 1e-9
    ):
        assert bool(found.equivalent) == inside
        expected = "equivalent" if inside else "different" if excludes else "undecided"
        assert found.verdicts().tolist() == [expected]


def test_large_samples_agree_with_t_tests() -> None:
    data = np.random.default_rng(0).normal(0.02, 1, size=40_000)
    found = judge_equivalence(
        torch.tensor(data.mean()), torch.tensor(scipy.stats.sem(data)), margin=0.03
    )
    lower = scipy.stats.ttest_1samp(data, -0.03, alternative="greater").pvalue
    upper = scipy.stats.ttest_1samp(data, 0.03, alternative="less").pvalue
    assert float(found.p_equivalent) == pytest.approx(max(lower, upper), rel=1e-3)


def test_verdicts_keep_the_shape_of_the_figures() -> None:
    value = torch.tensor([[0.0, 1.0, 0.05], [0.0, 0.2, -0.05]])
    error = torch.tensor([[0.1, 0.1, 0.01], [1.0, 0.2, 0.01]])
    found = judge_equivalence(value, error, margin=0.2)
    assert found.verdicts().tolist() == [
        ["equivalent", "different", "equivalent"],
        ["undecided", "undecided", "equivalent"],
    ]
    assert bool((found.p_different[:, 2] < 1e-3).all())  # there, but too small to matter


def test_without_spread_the_figure_decides() -> None:
    value = torch.tensor([0.0, 0.5, 1.0, 2.0])
    found = judge_equivalence(value, torch.zeros(4), margin=1.0)
    assert found.p_equivalent.tolist() == [0, 0, 1, 1]
    assert found.p_different.tolist() == [1, 0, 0, 0]
    assert found.verdicts().tolist() == ["equivalent", "equivalent", "different", "different"]


def test_equivalence_refuses() -> None:
    one = torch.ones(1)
    for margin in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="margin is"):
            judge_equivalence(one, one, margin=margin)
    with pytest.raises(UsageError, match="level is 5"):
        judge_equivalence(one, one, margin=1.0, level=5.0)
    with pytest.raises(UsageError, match="negative"):
        judge_equivalence(one, -one, margin=1.0)
    with pytest.raises(NonFiniteError, match="standard errors"):
        judge_equivalence(one, one / 0, margin=1.0)
    with pytest.raises(UsageError, match="standard errors has"):
        judge_equivalence.__wrapped__(one, torch.ones(2), margin=1.0)
