import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.stats import compare_with_null, permutation_p


def make_case(seed: int = 0, samples: int = 29) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    scale = torch.tensor([[1.0, 10, 0.1], [3, 1, 2]])
    null = torch.randn(samples, 2, 3, generator=random) * scale + 5 * scale
    return torch.randn(2, 3, generator=random) * 2 * scale + 5 * scale, null


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_the_record_equals_a_loop(alternative: str) -> None:
    observed, null = make_case()
    found = compare_with_null(observed, null, alternative=alternative)
    together = torch.cat([observed[None], null]).double().numpy().reshape(30, 6)
    z = (together - together.mean(0)) / together.std(0, ddof=1)
    z = {"greater": z, "less": -z, "two-sided": np.abs(z)}[alternative]
    columns = found.columns()
    for test in range(6):
        mine, others = together[0, test], together[1:, test]
        assert float(columns["value"][test]) == mine
        assert float(columns["null_mean"][test]) == pytest.approx(others.mean())
        assert float(columns["null_sd"][test]) == pytest.approx(others.std(ddof=1))
        effect = (mine - others.mean()) / others.std(ddof=1)
        assert float(columns["effect"][test]) == pytest.approx(effect)
        up, down = ((others >= mine).sum() + 1) / 30, ((others <= mine).sum() + 1) / 30
        p = {"greater": up, "less": down, "two-sided": min(1, 2 * min(up, down))}[alternative]
        assert float(columns["p"][test]) == pytest.approx(p)
        max_t = (sum(row.max() >= z[0, test] for row in z[1:]) + 1) / 30
        assert float(columns["p_max_t"][test]) == pytest.approx(max(p, max_t))
    expected = scipy.stats.false_discovery_control(found.p.numpy(), axis=None)
    assert columns["p_bh"].numpy() == pytest.approx(expected)
    assert list(columns) == ["value", "null_mean", "null_sd", "effect", "p", "p_bh", "p_max_t"]
    assert found.p_max_t.shape == (2, 3)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    samples=st.integers(2, 12),
    slope=st.sampled_from([0.25, 4.0]),
    shift=st.sampled_from([0.0, -3.0]),
)
def test_the_scale_of_a_figure_does_not_matter(
    seed: int, samples: int, slope: float, shift: float
) -> None:
    observed, null = (t.double() for t in make_case(seed, samples))
    found = compare_with_null(observed, null)
    again = compare_with_null(slope * observed + shift, slope * null + shift)
    for name in ("effect", "p", "p_bh", "p_max_t"):
        torch.testing.assert_close(getattr(again, name), getattr(found, name))
    turned = compare_with_null(-observed, -null, alternative="less")
    upright = compare_with_null(observed, null, alternative="greater")
    torch.testing.assert_close(turned.effect, -upright.effect)
    torch.testing.assert_close(turned.p_max_t, upright.p_max_t)
    assert bool((found.p_max_t >= found.p).all())
    assert bool((found.p_bh >= found.p * (1 - 1e-12)).all())


def test_a_null_without_spread_gives_no_effect() -> None:
    observed = torch.tensor([2.0, 0.3, 5.0])
    null = torch.tensor([[0.0, 0.3, 5.0], [1, 0.3, 5], [2, 0.3, 5]])
    null = null.double()
    null[1, 1] += 1e-16  # rounding is no spread
    found = compare_with_null(observed.double(), null)
    assert found.effect.isnan().tolist() == [False, True, True]
    assert found.p_max_t.isnan().tolist() == [False, True, True]
    assert found.null_sd.tolist() == [1, 0, 0]
    assert found.p.tolist() == [1, 1, 1]
    torch.testing.assert_close(found.p[0], found.p_max_t[0])
    single = compare_with_null(observed, null[:1].float())
    assert bool(single.effect.isnan().all())
    assert bool(single.null_sd.isnan().all())
    assert single.null_mean.tolist() == pytest.approx([0, 0.3, 5])
    assert single.p.tolist() == [1, 1, 1]


def test_rounding_about_0_is_no_effect() -> None:
    zero = torch.zeros(2, dtype=torch.float64)
    null = torch.full((499, 2), 1e-17, dtype=torch.float64)
    null[:, 1] = torch.randn(499, dtype=torch.float64)
    found = compare_with_null(zero, null)
    assert found.p.isnan().tolist() == [True, False]
    assert found.effect.isnan().tolist() == [True, False]
    assert float(found.p_bh[1]) == float(found.p[1])  # a family of one
    # At an observation of 0 other sums of the same arrangement still tie.
    null[:, 1] = torch.where(torch.arange(499) < 400, 1e-17, null[:, 1].abs())
    assert float(compare_with_null(zero, null).p[1]) == 1


def test_max_t_is_exact_with_few_samples() -> None:
    random = torch.Generator().manual_seed(4)
    wrong, rounds = 0, 2000
    for _ in range(rounds):
        sample = torch.randn(20, 1, generator=random) + torch.randn(20, 8, generator=random)
        found = compare_with_null(sample[0], sample[1:], alternative="greater")
        wrong += bool((found.p_max_t <= 0.05).any())
    assert 0.04 < wrong / rounds < 0.06  # by the null's own mean and spread it would be 0.09


def test_the_comparison_refuses() -> None:
    with pytest.raises(UsageError, match="one row per sample"):
        permutation_p.__wrapped__(torch.ones(2), torch.ones(4, 3), alternative="less")
    with pytest.raises(NonFiniteError, match="null samples"):
        compare_with_null(torch.ones(1), torch.full((3, 1), float("nan")))
    with pytest.raises(UsageError, match="no null samples"):
        compare_with_null(torch.ones(2), torch.ones(0, 2))
    assert permutation_p(torch.ones(1), torch.ones(1, 1), alternative="less").tolist() == [1]
