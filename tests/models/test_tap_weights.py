"""The weights of all tokens of a row are those of each token by itself."""

from __future__ import annotations

import pytest
import torch

from probes.models.tap import Attended


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("extras", ["none", "softcap", "sinks", "mask", "bias"])
def test_all_weights_at_once(extras, causal):
    torch.manual_seed(0)
    query, key = torch.randn(2, 6, 5, 7), torch.randn(2, 3, 5, 7)
    mask = torch.rand(2, 1, 5, 5) < 0.8
    mask |= torch.eye(5, dtype=torch.bool)
    options = {
        "softcap": {"softcap": 0.7},
        "sinks": {"sinks": torch.randn(6)},
        "mask": {"mask": mask},
        "bias": {"bias": torch.randn(1, 6, 5, 5)},
    }.get(extras, {})
    attended = Attended(query, key, key, **{"mask": None, "scaling": 0.4, **options})
    for row in range(2):
        position = torch.arange(5)
        expected = attended.weigh(torch.full((5,), row), position, causal=causal)
        found = attended.weigh_all(row, causal=causal)
        torch.testing.assert_close(found, expected.transpose(0, 1))
