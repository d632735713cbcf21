import numpy as np
import pytest
import scipy.linalg
import torch

from probes.capture.located import LocatedPairs
from probes.errors import UsageError
from probes.similarity import representational_similarity
from probes.similarity.catalogue import find_condition
from probes.similarity.conditions import iterate_coordinates
from probes.similarity.mismatched import mismatched
from probes.similarity.null_sides import Captured, NullLayer
from probes.similarity.random_heads import (
    Spectra,
    draw_heads,
    draw_random_heads,
    draw_weights,
    open_stream,
    random_slice,
    read_spectra,
)
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model


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


@pytest.mark.parametrize(("d", "d_input"), [(4, 9), (9, 4), (5, 5)])
def test_orthonormal_weights_are_orthonormal_and_spectra_are_kept(d, d_input):
    generator = torch.Generator().manual_seed(1)
    drawn = draw_weights(3, d, d_input, kind="orthonormal", generator=generator)
    assert drawn.shape == (3, d, d_input)
    product = drawn @ drawn.mT if d <= d_input else drawn.mT @ drawn
    torch.testing.assert_close(product, torch.eye(min(d, d_input)).double().expand_as(product))
    wanted = torch.rand(3, min(d, d_input), generator=generator).double().sort(descending=True)[0]
    matched = draw_weights(3, d, d_input, kind="spectrum", generator=generator, singular=wanted)
    torch.testing.assert_close(torch.linalg.svdvals(matched), wanted)


def test_orthonormal_directions_are_uniform():
    """Every coordinate of a uniform direction in m dimensions has mean 0 and variance 1 / m."""
    generator = torch.Generator().manual_seed(2)
    for kind, singular in (("orthonormal", None), ("spectrum", torch.ones(20_000, 2))):
        weights = draw_weights(
            20_000, 2, 5, kind=kind, generator=generator, singular=singular
        ).double()
        torch.testing.assert_close(weights.mean(0), torch.zeros(2, 5).double(), atol=0.015, rtol=0)
        second = weights.square().mean(0)
        torch.testing.assert_close(second, torch.full((2, 5), 0.2).double(), atol=0.01, rtol=0)


def test_spectrum_matched_heads_follow_the_trained_singular_values():
    generator = torch.Generator().manual_seed(3)
    d_model, n_kv_heads, group_size = 12, 2, 3

    def values(n_heads, d):
        return torch.rand(n_heads, d, generator=generator).sort(descending=True)[0] + 0.1

    spectra = Spectra(query=values(6, 4), key=values(2, 4), value=values(2, 5), output=values(6, 5))
    x = torch.eye(d_model).double()  # then k is W_K' itself
    heads = draw_random_heads(
        x,
        x * d_model**0.5,
        n_kv_heads=2 * n_kv_heads,
        group_size=group_size,
        d_head=4,
        d_value=5,
        logit_scale=1.0,
        generator=generator,
        kind="spectrum",
        spectra=spectra,
    )
    for drawn in (heads.k[:2], heads.k[2:]):
        torch.testing.assert_close(torch.linalg.svdvals(drawn), spectra.key.double())
    torch.testing.assert_close(torch.linalg.svdvals(heads.v[2:]), spectra.value.double())
    # The traces of the metrics are the mean squared singular values: of queries, and of outputs.
    squares = spectra.query.double().square().sum(1).reshape(2, 3)
    torch.testing.assert_close(
        heads.metrics.key.diagonal(dim1=1, dim2=2).sum(1), squares.mean(1).repeat(2)
    )
    squares = spectra.output.double().square().sum(1).reshape(2, 3)
    torch.testing.assert_close(
        heads.metrics.value.diagonal(dim1=1, dim2=2).sum(1), squares.sum(1).repeat(2)
    )


def test_missing_spectra_are_refused():
    with pytest.raises(UsageError, match="read_spectra"):
        draw(torch.randn(30, 12), kind="spectrum")


def test_a_capture_keeps_the_spectra_of_its_weights(tmp_path):
    model = tiny_model("llama", seed=2)
    store = capture_tiny(model, tmp_path, n_pairs=5, n_templates=1)
    spectra = read_spectra(store, 1)
    for head in range(model.geometry.n_kv_heads):
        expected = scipy.linalg.svdvals(model.geometry.key_weights(1)[head].numpy())
        np.testing.assert_allclose(spectra.key[head], expected, rtol=1e-5)
        expected = scipy.linalg.svdvals(model.geometry.value_weights(1)[head].numpy())
        np.testing.assert_allclose(spectra.value[head], expected, rtol=1e-5)
    assert spectra.query.shape == spectra.output.shape == (4, model.geometry.d_head)


def test_every_seed_layer_and_kind_has_a_stream_of_its_own():
    kinds = ("gaussian", "orthonormal", "spectrum", "slice")
    places = [(kind, seed, layer) for kind in kinds for seed in (0, 1, 7) for layer in (0, 1, 1499)]
    first = [
        torch.randn(1, generator=open_stream(kind, seed=seed, layer=layer)).item()
        for kind, seed, layer in places
    ]
    assert len(set(first)) == len(places)


def test_heads_of_a_capture_are_the_same_whoever_draws_them(tmp_path):
    store = capture_tiny(tiny_model("llama", seed=2), tmp_path, n_pairs=20, n_templates=1)
    pairs, captured = LocatedPairs.of(store), Captured.of(store)
    coordinates = iterate_coordinates(
        store, 1, captured.metrics[1], pairs.captured.template, draws=1, seed=5
    )
    [one] = [c for c in coordinates if (c.space, c.condition) == ("functional", "random_heads")]
    given = NullLayer(captured, None, 1, lambda coordinates: coordinates, draws=1, seed=5)
    [(keys, values)] = find_condition("random_heads").sides(given)
    assert torch.equal(keys, one.keys)
    assert torch.equal(values, one.values)
    kinds = ("gaussian", "orthonormal", "spectrum")
    drawn = [draw_heads(store, 1, kind=kind, draws=2, seed=5).k for kind in kinds]
    assert drawn[0].shape[0] == 2 * store.number("n_kv_heads", 1)
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])
