import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from probes.errors import UsageError
from probes.stats import share_interval


@given(st.integers(1, 300), st.data(), st.sampled_from([0.5, 0.9, 0.95]))
def test_independent_pairs_give_wilsons_interval(n: int, data: st.DataObject, level: float) -> None:
    hits = data.draw(st.integers(0, n))
    share = torch.tensor(hits / n, dtype=torch.float64)
    low, high = share_interval(share, share * (1 - share) / n, size=n, level=level)
    expected = binomtest(hits, n).proportion_ci(level, method="wilson")
    assert float(low) == pytest.approx(expected.low, abs=1e-9)
    assert float(high) == pytest.approx(expected.high, abs=1e-9)


def test_dependent_pairs_count_for_fewer() -> None:
    share = torch.tensor([[0.2, 0.8, 0.0]], dtype=torch.float64)
    variance = torch.tensor([[4.0, 4.0, 0.0]], dtype=torch.float64) * 0.16 / 100
    low, high = share_interval(share, variance, size=100)
    quarter = binomtest(5, 25).proportion_ci(0.95, method="wilson")  # 100 / 4 pairs
    assert (float(low[0, 0]), float(high[0, 0])) == pytest.approx((quarter.low, quarter.high))
    assert (float(low[0, 1]), float(high[0, 1])) == pytest.approx(
        (1 - quarter.high, 1 - quarter.low)
    )
    assert float(low[0, 2]) == 0
    assert float(high[0, 2]) == pytest.approx(1.96**2 / (100 + 1.96**2), abs=1e-4)
    # A variance below that of independent pairs does not make more pairs of them.
    same = share_interval(share, variance / 40, size=100)
    torch.testing.assert_close(same, share_interval(share, share * (1 - share) / 100, size=100))


def test_share_interval_refuses() -> None:
    share = torch.tensor([0.5])
    with pytest.raises(UsageError, match="divide a dissociation ratio by 2"):
        share_interval(2.5 * share, share, size=10)
    with pytest.raises(UsageError, match="variance is negative"):
        share_interval(share, -share, size=10)
    with pytest.raises(UsageError, match="size is 0"):
        share_interval(share, share, size=0)
    with pytest.raises(UsageError, match="variances has shape"):
        share_interval.__wrapped__(share, torch.ones(2), size=10)
