import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import UsageError
from probes.stats import correct_attenuation, spearman_brown


def test_spearman_brown_predicts_the_correlation_of_means() -> None:
    random = torch.Generator().manual_seed(0)
    truth = torch.randn(200_000, generator=random, dtype=torch.float64)
    noise = torch.randn(6, 200_000, generator=random, dtype=torch.float64)
    replicates = 0.8 * truth + noise
    single = torch.stack(
        [torch.stack([replicates[a], replicates[b]]).corrcoef()[0, 1] for a, b in [(0, 1), (2, 5)]]
    ).mean()
    means = torch.stack([replicates[:3].mean(0), replicates[3:].mean(0)]).corrcoef()[0, 1]
    assert float(spearman_brown(single, 3)) == pytest.approx(float(means), abs=0.01)


@given(st.floats(-1, 1), st.integers(1, 20))
def test_spearman_brown_by_hand(r: float, replicates: int) -> None:
    found = float(spearman_brown(torch.tensor(r, dtype=torch.float64), replicates))
    kept = max(r, 0)
    assert found == pytest.approx(replicates * kept / (1 + (replicates - 1) * kept))
    assert max(r, 0) <= found + 1e-12 <= 1 + 2e-12


def test_attenuation_is_undone() -> None:
    random = torch.Generator().manual_seed(1)
    shared, own, *noise = torch.randn(4, 200_000, generator=random, dtype=torch.float64)
    x = shared + noise[0]  # reliability 1/2
    y = (0.6 * shared + 0.8 * own) + 2 * noise[1]  # reliability 1/5, true correlation .6
    observed = torch.stack([x, y]).corrcoef()[0, 1]
    corrected = correct_attenuation(observed, torch.tensor(0.5), torch.tensor(0.2))
    assert float(corrected) == pytest.approx(0.6, abs=0.02)
    assert correct_attenuation(observed, torch.tensor(-0.1), torch.tensor(0.2)).isnan()


def test_spearman_brown_refuses() -> None:
    with pytest.raises(UsageError, match="0 replicates"):
        spearman_brown(torch.tensor(0.5), 0)
