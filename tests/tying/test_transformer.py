"""The models: who sees whom, where they start, and the errors of their inputs."""

from __future__ import annotations

import pytest
import torch

from probes.errors import UsageError
from probes.tying.shape import ModelShape
from probes.tying.transformer import Transformer
from probes.tying.variants import VARIANTS


def make_model(variant="separate", *, encoder=0, positions="learned", seed=0):
    shape = ModelShape(13, 9, 16, 2, 2, 8, 24, variant, positions, encoder)
    return Transformer(shape, seed=seed)


@pytest.mark.parametrize("encoder", [0, 1])
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_position_sees_what_follows_it(variant, encoder):
    model = make_model(variant, encoder=encoder, positions="rotary")
    tokens = torch.randint(13, (2, 7), generator=torch.Generator().manual_seed(0))
    source = torch.randint(13, (2, 4)) if encoder else None
    before = model(tokens, source)
    tokens[:, 4] = (tokens[:, 4] + 1) % 13
    moved = (model(tokens, source) - before).abs().amax((0, 2))
    assert moved[:4].max() < 1e-6
    assert moved[4:].min() > 1e-6


def test_every_position_sees_the_whole_source():
    model = make_model(encoder=2)
    tokens, source = torch.randint(13, (1, 5)), torch.zeros(1, 6, dtype=torch.long)
    before = model(tokens, source)
    for place in range(6):
        other = source.clone()
        other[0, place] = 5
        assert (model(tokens, other) - before).abs().amax((0, 2)).min() > 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_start_alike_where_they_have_the_same_parameters(variant):
    start = dict(make_model().named_parameters())
    mine = dict(make_model(variant).named_parameters())
    other = dict(make_model(variant, seed=1).named_parameters())
    shared = [name for name in mine if name in start and mine[name].shape == start[name].shape]
    assert {"embedding.weight", "blocks.1.attention.output.weight"} <= set(shared)
    for name in shared:
        assert torch.equal(mine[name], start[name])
        assert mine[name].ndim != 2 or not torch.equal(mine[name], other[name])


def test_initial_spread():
    shape = ModelShape(50, 9, 64, 3, 4, 16, 256)
    model = Transformer(shape)
    block = model.blocks[1]
    assert float(block.attention.query.weight.detach().std()) == pytest.approx(1 / 8, rel=0.05)
    assert float(block.feedforward.down.weight.detach().std()) == pytest.approx(
        256**-0.5 / 6**0.5, rel=0.05
    )
    assert float(model.embedding.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_positions_only_matter_where_there_are_some():
    tokens = torch.tensor([[1, 2, 3, 4]])
    swapped = torch.tensor([[2, 1, 3, 4]])
    for positions, differs in (("learned", True), ("rotary", True), ("none", False)):
        model = make_model(positions=positions)
        # One layer cannot tell the order of what it attends to without positions.
        model.blocks = model.blocks[:1]
        gap = (model(tokens) - model(swapped))[0, -1].abs().max()
        assert bool(gap > 1e-5) == differs


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="10 positions and the model 9"):
        make_model()(torch.zeros(1, 10, dtype=torch.long))
    with pytest.raises(UsageError, match="0 encoder layers and a source"):
        make_model()(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(UsageError, match="1 encoder layers and no source"):
        make_model(encoder=1)(torch.zeros(1, 2, dtype=torch.long))
