import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.causal import losses
from probes.causal.losses import next_token_losses


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    predictions=st.integers(1, 23),
    vocabulary=st.sampled_from([1, 7, 16, 50]),
    scale=st.sampled_from([0.1, 3.0, 200.0]),
    biased=st.booleans(),
)
def test_parts_of_the_vocabulary_add_up_to_torchs_cross_entropy(
    seed, predictions, vocabulary, scale, biased
):
    random = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(5, vocabulary, bias=biased)
    for parameter in head.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=random)
    states = torch.randn(predictions, 5, generator=random)
    targets = torch.randint(vocabulary, (predictions,), generator=random)
    expected = torch.nn.functional.cross_entropy(head(states), targets, reduction="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "_POSITIONS", 4)
        patch.setattr(losses, "_TOKENS", 7)
        found = next_token_losses(states, head, targets)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-5 * (1 + scale))


def test_tokens_that_cannot_come_add_nothing(monkeypatch):
    monkeypatch.setattr(losses, "_TOKENS", 3)
    head = torch.nn.Linear(2, 6)
    head.bias.data[:4] = -torch.inf
    states, targets = torch.randn(5, 2), torch.tensor([4, 5, 5, 4, 4])
    expected = torch.nn.functional.cross_entropy(head(states), targets, reduction="none")
    torch.testing.assert_close(next_token_losses(states, head, targets), expected.detach())
