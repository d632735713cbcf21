"""The slope of a capped logit, against automatic differentiation."""

from __future__ import annotations

import pytest
import torch

from probes.models.tap import Attended

ROW, POSITION, ATTENDED = torch.tensor([0, 1, 1]), torch.tensor([4, 2, 4]), torch.tensor([1, 0, 3])


@pytest.mark.parametrize("softcap", [None, 0.7, 30.0])
def test_slopes_are_the_derivative_of_the_capped_logit(softcap):
    torch.manual_seed(0)
    query, key = torch.randn(2, 6, 5, 7), torch.randn(2, 3, 5, 7)  # two query heads to a key head
    attended = Attended(query, key, key, mask=None, scaling=0.4, softcap=softcap)
    found = attended.slopes(ROW, POSITION, ATTENDED)
    assert found.shape == (3, 6)
    for place, (row, position, context) in enumerate(
        zip(ROW.tolist(), POSITION.tolist(), ATTENDED.tolist(), strict=True)
    ):
        for head in range(6):
            product = 0.4 * query[row, head, position] @ key[row, head // 2, context]
            product = product.clone().requires_grad_()
            capped = product if softcap is None else softcap * torch.tanh(product / softcap)
            (slope,) = torch.autograd.grad(capped, product)
            torch.testing.assert_close(found[place, head], slope)
