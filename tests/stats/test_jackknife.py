import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from probes.stats import jackknife_interval

FIGURES = st_numpy.arrays(
    float,
    st.tuples(st.integers(2, 7), st.integers(1, 3)),
    elements=st.floats(-5, 5, allow_subnormal=False),
)


def leave_each_out(blocks, figure):
    return np.stack([figure(np.delete(blocks, b, axis=0)) for b in range(len(blocks))])


@given(FIGURES)
def test_of_a_mean_it_is_the_t_interval(blocks: np.ndarray) -> None:
    without = leave_each_out(blocks, lambda kept: kept.mean(0))
    error = scipy.stats.sem(blocks)
    low, high = jackknife_interval(blocks.mean(0), without)
    reach = scipy.stats.t.ppf(0.975, len(blocks) - 1) * error
    np.testing.assert_allclose(low, blocks.mean(0) - reach, atol=1e-10)
    np.testing.assert_allclose(high, blocks.mean(0) + reach, atol=1e-10)


def test_of_a_ratio_it_is_the_delta_method() -> None:
    blocks = np.random.default_rng(0).normal([3, 5], 0.1, size=(400, 2))
    x, y = blocks.mean(0)
    gradient = np.array([1 / y, -x / y**2])
    expected = np.sqrt(gradient @ np.cov(blocks.T) @ gradient / len(blocks))
    without = leave_each_out(blocks, lambda kept: kept[:, 0].mean() / kept[:, 1].mean())
    low, high = jackknife_interval(np.array(x / y), without)
    assert (high + low) / 2 == pytest.approx(x / y)
    assert (high - low) / 2 == pytest.approx(scipy.stats.t.ppf(0.975, 399) * expected, rel=0.02)


def test_one_block_has_no_interval() -> None:
    low, high = jackknife_interval(np.array([0.3]), np.array([[0.3]]))
    assert np.isnan(low).all()
    assert np.isnan(high).all()
