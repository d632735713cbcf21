import torch

from probes.similarity import representational_similarity
from probes.similarity.nulls import draw_random_heads, mismatched, random_slice


def draw(x, seed=0, **sizes):
    shape = {"n_kv_heads": 3, "group_size": 2, "d_head": 4} | sizes
    return draw_random_heads(
        x,
        x[:11] * 2,
        **shape,
        logit_scale=0.5,
        generator=torch.Generator().manual_seed(seed),
    )


def test_mismatched_never_gives_a_head_its_own_values_and_gives_all_others():
    values = torch.arange(4.0)[:, None].expand(4, 5)
    orders = [order[:, 0].tolist() for order in mismatched(values)]
    assert len(orders) == 3
    for head in range(4):
        assert sorted([order[head] for order in orders] + [head]) == [0, 1, 2, 3]


def test_one_kv_head_has_no_mismatch():
    assert list(mismatched(torch.randn(1, 5))) == []


def test_random_heads_are_linear_in_x_and_follow_the_seed():
    x = torch.randn(30, 12)
    heads = draw(x)
    assert heads.k.shape == heads.v.shape == (3, 30, 4)
    torch.testing.assert_close(draw(3 * x).k, 3 * heads.k)
    assert torch.equal(draw(x).k, heads.k)
    assert not torch.equal(draw(x, seed=1).k, heads.k)
    assert not torch.allclose(heads.k, heads.v)


def test_random_metrics_are_those_of_the_drawn_queries_and_outputs():
    """With x_query = sqrt(d_model) times the basis, E[q q'] of a head is W_Q W_Q'."""
    d_model, d_head, group_size = 6, 3, 2
    x_query = torch.eye(d_model).double() * d_model**0.5
    heads = draw_random_heads(
        x_query,
        x_query,
        n_kv_heads=500,
        group_size=group_size,
        d_head=d_head,
        logit_scale=0.5,
        generator=torch.Generator().manual_seed(0),
    )
    # E[W W'] = I for W of variance 1 / d_model, so E[q q'] = I and the group's W_O W_O' add up.
    torch.testing.assert_close(
        heads.metrics.key.mean(0), 0.25 * torch.eye(d_head).double(), atol=0.03, rtol=0
    )
    torch.testing.assert_close(
        heads.metrics.value.mean(0), group_size * torch.eye(d_head).double(), atol=0.15, rtol=0
    )


def test_a_wide_random_slice_keeps_the_geometry_of_x():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 8, generator=generator)
    wide = random_slice(x, n_slices=2, width=4000, generator=generator)
    own = torch.pdist(x)
    for piece in wide:
        assert representational_similarity(torch.pdist(piece), own) > 0.99
