"""Streamed moments: equal to numpy on the whole, and the same bytes whoever made the shards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.capture.moments import BLOCKS, LayerMoments, Moments, merge_in_order
from probes.errors import NonFiniteError, UsageError

WIDTHS = {"x": (7,), "q": (6, 4), "k": (3, 4), "v": (3, 5)}  # all axes differ


def draw(n_tokens: int, *, seed: int = 0, spread: float = 1.0) -> dict[str, torch.Tensor]:
    """Correlated vectors whose means are large beside their spread, as those of keys are."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n_tokens, 7, generator=random, dtype=torch.float64)
    rows = {"x": 100 + spread * x}
    for name, shape in WIDTHS.items():
        if name != "x":
            matrix = torch.randn(7, *shape, generator=random, dtype=torch.float64)
            rows[name] = 50 + spread * torch.tensordot(x, matrix, 1)
    return rows


def stream(rows: dict[str, torch.Tensor], cuts: list[int]) -> Moments:
    """Update moments of two layers, the second with everything doubled."""
    moments = Moments(2)
    pieces = [part.split(cuts) for part in rows.values()]
    for block in zip(*pieces, strict=True):
        named = dict(zip(rows, block, strict=True))
        moments.update(0, **named)
        moments.update(1, **{name: 2 * part for name, part in named.items()})
    return moments


def cuts_of(total: int) -> st.SearchStrategy[list[int]]:
    inside = st.sets(st.integers(1, total - 1), max_size=12)
    return inside.map(lambda at: np.diff([0, *sorted(at), total]).tolist())


@settings(max_examples=40, deadline=None)
@given(cuts=cuts_of(40), spread=st.sampled_from([1.0, 1e-3]))
def test_any_blocks_equal_numpy_on_the_whole(cuts, spread):
    rows = draw(40, spread=spread)
    moments = stream(rows, cuts)
    for layer, factor in enumerate((1, 2)):
        found = moments.layer(layer)
        assert found.count == 40
        assert found.co_moment.keys() == BLOCKS.keys()
        flat = {name: factor * part.numpy().reshape(40, -1) for name, part in rows.items()}
        for name, shape in WIDTHS.items():
            assert found.mean[name].shape == shape
            np.testing.assert_allclose(found.mean[name].flatten(), flat[name].mean(0))
        for block, part in found.co_moment.items():
            left, right = (flat[name] for name in block.split("_"))
            whole = 39 * np.cov(left.T, right.T)[: left.shape[1], left.shape[1] :]
            expected = _pick(block, whole)
            np.testing.assert_allclose(part, expected, rtol=1e-8, atol=1e-10 * spread**2)


def _pick(block: str, whole: np.ndarray) -> np.ndarray:
    """Cut the co-moments of flat vectors by head, one by one."""
    shapes = [WIDTHS[name] for name in block.split("_")]
    (d_left, d_right), (n_left, n_right) = (
        [shape[-1] for shape in shapes],
        [shape[0] if len(shape) == 2 else None for shape in shapes],
    )
    if n_left is None and n_right is None:
        return whole

    def cell(left: int, right: int) -> np.ndarray:
        rows = slice(left * d_left, (left + 1) * d_left)
        return whole[rows, right * d_right : (right + 1) * d_right]

    if n_left is None:
        return np.stack([cell(0, head) for head in range(n_right)])
    if block == "k_v":
        return np.stack([[cell(k, v) for v in range(n_right)] for k in range(n_left)])
    return np.stack([cell(head, head) for head in range(n_left)])


@settings(max_examples=30, deadline=None)
@given(
    shards=cuts_of(60),
    deal=st.lists(st.integers(0, 4), min_size=13, max_size=13),
    order=st.randoms(use_true_random=False),
)
def test_any_split_over_any_workers_gives_the_same_bytes(shards, deal, order):
    """Shards are bounds of the data; who makes which, and in which order they come, is drawn."""
    pieces = {name: part.split(shards) for name, part in draw(60).items()}

    def make(shard: int) -> Moments:
        alone = {name: part[shard] for name, part in pieces.items()}
        return stream(alone, [4] * (len(alone["x"]) // 4) + _rest(alone))

    def merge(made: dict[int, Moments]) -> list[bytes]:
        parts = [made[shard] for shard in range(len(shards))]
        whole = [merge_in_order(part.layer(layer) for part in parts) for layer in range(2)]
        assert whole[0].count == 60
        return [name_bytes(layer) for layer in whole]

    expected = merge({shard: make(shard) for shard in range(len(shards))})
    queues = [[n for n in range(len(shards)) if deal[n] == worker] for worker in range(5)]
    made: dict[int, Moments] = {}
    while any(queues):  # workers take turns as they like
        queue = order.choice([queue for queue in queues if queue])
        shard = queue.pop()
        made[shard] = make(shard)
    assert merge(made) == expected


def _rest(rows: dict[str, torch.Tensor]) -> list[int]:
    left = len(rows["x"]) % 4
    return [left] if left else []


def name_bytes(layer: LayerMoments) -> bytes:
    tensors = layer.to_tensors(0)
    return b"".join(name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors))


def test_merging_is_symmetric_up_to_rounding_and_needs_the_same_model():
    first, second = stream(draw(11), [11]), stream(draw(5, seed=1), [5])
    for layer in range(2):
        one, other = first.layer(layer), second.layer(layer)
        both, turned = one.merge(other), other.merge(one)
        assert both.count == 16
        for name, part in both.co_moment.items():
            torch.testing.assert_close(part, turned.co_moment[name], rtol=1e-9, atol=1e-9)
    wide = draw(4)
    wide["x"] = torch.cat([wide["x"], wide["x"]], 1)
    with pytest.raises(UsageError, match=r"x \(7,\) cannot be joined .* x \(14,\)"):
        first.layer(0).merge(stream(wide, [4]).layer(0))


def test_tensors_hold_every_digit_of_the_layers_that_saw_something():
    # Without x there are only the blocks of heads; a layer that saw nothing has none.
    moments = Moments(2)
    moments.update(1, **{name: part for name, part in draw(3).items() if name != "x"})
    tensors = moments.to_tensors()
    assert int(tensors["count.0"]) == 0
    assert not any(name.endswith(".0") for name in tensors if name != "count.0")
    found = LayerMoments.from_tensors(tensors, tensors.__getitem__, 1)
    assert found.co_moment.keys() == {"k_v", "k_k", "v_v", "q_q"}
    assert found.count == 3
    assert name_bytes(found) == name_bytes(moments.layer(1))
    with pytest.raises(UsageError, match="layer 0 has no moments"):
        moments.layer(0)


@pytest.mark.parametrize("name", list(WIDTHS))
def test_a_single_nan_is_refused(name):
    rows = draw(9)
    rows[name].view(9, -1)[4, 1] = torch.nan
    with pytest.raises(NonFiniteError, match=f"{name} is NaN or infinite in one of 9 tokens"):
        Moments(1).update(0, **rows)


def test_tokens_must_agree():
    rows = draw(9)
    with pytest.raises(UsageError, match=r"at least one; .*'k': 0"):
        LayerMoments.of(**{name: part[:0] for name, part in rows.items()})
    with pytest.raises(UsageError, match="no shard holds a token"):
        merge_in_order([])
