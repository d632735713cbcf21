import pytest
import torch

from probes.errors import NonFiniteError, UsageError
from probes.stats.ranks import cumulate, find_boundary, midranks, over_resamples, sort_rows


def test_sort_rows_finds_the_ends_of_every_tie() -> None:
    ordering = sort_rows(torch.tensor([[2.0, 1, 2, 0, 2], [5, 4, 3, 2, 1]]), descending=True)
    assert ordering.first.tolist() == [[0, 0, 0, 3, 4], [0, 1, 2, 3, 4]]
    assert ordering.last.tolist() == [[2, 2, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert ordering.order[0, 3:].tolist() == [1, 3]
    assert ordering.tied
    assert not sort_rows(torch.tensor([[1.0, 3, 2]]), descending=False).tied


def test_find_boundary_falls_inside_the_tie_by_the_missing_part() -> None:
    ordering = sort_rows(torch.tensor([[1.0, 2, 2, 3]]), descending=False)
    mass = cumulate(torch.tensor([[[1.0, 2, 3, 4]]], dtype=torch.float64))
    target = torch.tensor([[0.0, 1.0, 3.5, 6.0, 8.0, 10.0]], dtype=torch.float64)
    boundary = find_boundary(mass, ordering, target)
    assert boundary.first[0, 0].tolist() == [0, 0, 1, 1, 3, 3]
    assert boundary.last[0, 0].tolist() == [0, 0, 2, 2, 3, 3]
    assert boundary.fraction[0, 0].tolist() == [0, 1, 0.5, 1, 0.5, 1]


def test_midranks_of_copies() -> None:
    ordering = sort_rows(torch.tensor([[1.0, 2, 2, 3]]), descending=False)
    mass = cumulate(torch.tensor([[[2.0, 1, 0, 3]]], dtype=torch.float64))
    # Copies 1 1 2 3 3 3 have midranks 1.5 1.5 3 5 5 5, around the mean 3.5.
    assert midranks(mass, ordering)[0, 0].tolist() == [-2.0, -0.5, -0.5, 1.5]


@pytest.mark.parametrize("blocks", [7, 40, 10_000])
def test_over_resamples_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    monkeypatch.setattr("probes.stats.ranks._ELEMENTS", blocks)
    keys, values = torch.randn(3, 2, 7), torch.randn(3, 2, 7)
    weights = torch.rand(5, 7)

    def prepare(key: torch.Tensor, value: torch.Tensor):
        key, value = key.double(), value.double()
        return lambda weight: torch.stack([weight @ key.T, weight @ (value**2).T], -1)

    result = over_resamples(keys, values, weights, prepare)
    expected = torch.einsum("rp,hgp->rhg", weights.double(), keys.double())
    assert result.shape == (5, 3, 2, 2)
    torch.testing.assert_close(result[..., 0], expected)
    torch.testing.assert_close(
        over_resamples(keys, values, None, prepare)[..., 1], values.double().square().sum(-1)
    )


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (torch.ones(3, 5), UsageError, "4 pairs"),
        (torch.ones(0, 4), UsageError, "4 pairs"),
        (torch.tensor([[1.0, -1, 1, 1]]), UsageError, "negative"),
        (torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]]), UsageError, "1 of 2 resamples"),
        (torch.tensor([[1.0, float("inf"), 1, 1]]), NonFiniteError, "1 of the 4"),
    ],
)
def test_over_resamples_refuses_weights(
    weights: torch.Tensor, error: type[Exception], message: str
) -> None:
    unused = lambda key, value: lambda weight: weight  # noqa: E731
    pairs = torch.randn(2, 4)
    with pytest.raises(error, match=message):
        # Not through the shape checker: its complaint would come first.
        over_resamples.__wrapped__(pairs, pairs, weights, unused)
    with pytest.raises(UsageError, match="nothing to measure"):
        over_resamples(torch.ones(2, 0), torch.ones(2, 0), None, unused)
