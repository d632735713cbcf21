"""What is heard of a module that attends inside its own forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from probes.models.overhear import overhearing

HEADS, KV_HEADS, WIDTH = 4, 2, 6


class Attending(nn.Module):
    """Attends in one of several ways; keys once a query head if they are repeated."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, q, k, v, mask):
        if self.way == "one call":
            return nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, enable_gqa=True, scale=0.3
            )
        k, v = (part.repeat_interleave(HEADS // KV_HEADS, 1) for part in (k, v))
        if self.way == "added":
            flat = [part.flatten(0, 1) for part in (q, k, v)]
            bias = mask.expand(2, HEADS, -1, -1).flatten(0, 1)
            weights = torch.baddbmm(bias, flat[0], flat[1].mT, alpha=0.3).softmax(-1)
            return torch.bmm(weights, flat[2])
        scores = torch.matmul(q, k.transpose(-1, -2))
        if self.way == "in place":
            scores /= 10
            scores *= 3
            weights = nn.functional.softmax(scores.float() + mask, dim=-1)
        else:
            hidden = mask < -1
            scores = (0.3 * scores + mask * ~hidden).masked_fill(hidden, -1e4)
            weights = torch.softmax(scores, dim=-1)
        return nn.functional.dropout(weights, 0.5, training=False) @ v


@pytest.fixture
def parts():
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, HEADS, 5, WIDTH, generator=generator)
    k, v = torch.randn(2, 2, KV_HEADS, 5, WIDTH, generator=generator)
    mask = torch.randn(1, HEADS, 5, 5, generator=generator) / 2  # a bias, and the past alone
    return q, k, v, mask.masked_fill(~torch.ones(5, 5).tril().bool(), -torch.inf)


@pytest.mark.parametrize("way", ["one call", "added", "in place", "filled"])
def test_all_that_makes_the_weights_is_heard(way, parts):
    q, k, v, mask = parts
    module, heard = Attending(way), []
    with overhearing(module, HEADS, KV_HEADS, heard.append):
        output = module(q, k, v, mask)
    [found] = heard
    torch.testing.assert_close(found.query, q)
    torch.testing.assert_close(found.key, k)
    torch.testing.assert_close(found.value, v)
    assert found.scaling == pytest.approx(0.3)
    visible = mask[0] > -torch.inf
    own = found.mask[0]
    torch.testing.assert_close(own[visible], mask[0][visible], atol=1e-5, rtol=0)
    assert (own[~visible] < -1e9).all()
    groups = torch.unflatten(found.query, 1, (KV_HEADS, -1))
    logits = found.scaling * groups @ found.key[:, :, None].mT
    weights = (logits.flatten(1, 2) + found.mask).softmax(-1)
    mixed = weights.unflatten(1, (KV_HEADS, -1)) @ found.value[:, :, None]
    torch.testing.assert_close(mixed.flatten(1, 2), output.reshape(q.shape))


def test_nothing_is_left_behind():
    module = Attending("one call")
    with overhearing(module, HEADS, KV_HEADS, lambda _: None):
        assert "forward" in vars(module)
    assert "forward" not in vars(module)


def test_a_module_that_does_not_attend_is_not_heard():
    module, heard = nn.Linear(3, 3), []
    with overhearing(module, 1, 1, heard.append):
        module(torch.ones(1, 3))
    assert heard == []
