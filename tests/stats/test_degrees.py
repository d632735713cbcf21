"""Degrees of freedom against the matrix that defines them, and against simulated documents."""

import pytest
import torch

from probes.stats.degrees import count_degrees, count_degrees_of_documents


def draw_shares(seed=0, n=12):
    size = torch.randn(3, n, generator=torch.Generator().manual_seed(seed)).double().exp()
    return size / size.sum(-1, keepdim=True)


@pytest.mark.parametrize("scale", [1.0, 2.0])  # a pair of words counts in two clusters
def test_the_closed_form_is_that_of_the_matrix(scale):
    share = scale * draw_shares()
    for spread in (None, share, share.square() + 0.1):
        found = count_degrees(share, spread)
        for row, s in enumerate(share):
            weight = s.square() if spread is None else spread[row]
            from_mean = torch.eye(len(s)).double() - (s / s.sum())[None]
            matrix = from_mean.T @ torch.diag(weight) @ from_mean
            expected = matrix.trace().square() / (matrix @ matrix).trace()
            torch.testing.assert_close(found[row], expected.clamp(min=1))


def test_clusters_of_one_weight_leave_one_less():
    even = torch.full((40,), 1 / 40).double()
    assert float(count_degrees(even)) == pytest.approx(39)
    influence = torch.randn(40, generator=torch.Generator().manual_seed(1)).double()
    assert float(count_degrees_of_documents(even, influence)) == pytest.approx(39)


def test_documents_say_themselves_whether_large_ones_vary_more():
    share = draw_shares(2, n=60)[0].expand(400, -1)
    noise = torch.randn(400, 60, generator=torch.Generator().manual_seed(3)).double()
    by_pair = count_degrees_of_documents(share, share.sqrt() * noise).mean()
    by_level = count_degrees_of_documents(share, share * noise).mean()
    low = count_degrees(share[0])
    high = count_degrees(share[0], share[0])
    assert low < by_level < by_pair < high
    assert by_pair > 0.75 * (low * high).sqrt()


def test_nothing_known_leaves_one():
    share = torch.tensor([1.0, 0.0]).double()
    assert float(count_degrees(share)) == 1
    assert float(count_degrees_of_documents(share, torch.zeros(2).double())) == 1
