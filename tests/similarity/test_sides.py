"""Sides and word pairs give what each measure gives by itself."""

from __future__ import annotations

import pytest
import torch

from probes.capture.located import DistinctWords
from probes.similarity.catalogue import list_side_measures
from probes.similarity.compare import compare_pairs
from probes.similarity.measure import Takes
from probes.similarity.mismatched import choose_other_layers
from probes.similarity.neighbours import find_neighbours
from probes.similarity.sides import Side, measure_sides

N_HEADS, N_WORDS, N_TEMPLATES, N_PAIRS = 3, 60, 2, 90


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N_HEADS, N_WORDS * N_TEMPLATES, 7, generator=generator)
    keys, values = x[..., :5], x[..., 2:] @ torch.randn(5, 4, generator=generator)
    rows = torch.randperm(N_WORDS * N_TEMPLATES, generator=generator).reshape(N_WORDS, N_TEMPLATES)
    left = torch.randint(N_WORDS, (N_PAIRS,), generator=generator)
    right = (left + torch.randint(1, N_WORDS, (N_PAIRS,), generator=generator)) % N_WORDS
    return keys, values, DistinctWords.of(rows[left], rows[right])


def test_words_are_numbered_by_their_occurrences(inputs):
    _, _, pairs = inputs
    assert len(pairs.rows.unique(dim=0)) == len(pairs.rows)
    again = DistinctWords.of(pairs.rows[pairs.left], pairs.rows[pairs.right])
    assert torch.equal(again.rows, pairs.rows)
    assert torch.equal(again.left, pairs.left)
    assert torch.equal(again.right, pairs.right)
    assert len(pairs.sample_rows(10, seed=0).unique(dim=0)) == 10
    assert torch.equal(pairs.sample_rows(1000, seed=0), pairs.rows)


def test_every_measure_is_the_catalogues_own(inputs):
    keys, values, pairs = inputs
    sides = [Side.of(side, pairs, neighbour_rows=pairs.rows) for side in (keys, values)]
    words = torch.arange(len(pairs.rows))
    found = measure_sides(*sides, words=words, seed=0)
    assert list(found) == [measure.name for measure in list_side_measures()]
    compared = compare_pairs(keys, values, pairs.rows[pairs.left], pairs.rows[pairs.right])
    flat = [side[:, pairs.rows.flatten()] for side in (keys, values)]
    repeated = words.repeat_interleave(N_TEMPLATES)
    neighbours = [find_neighbours(side, pairs.rows, count=10) for side in (keys, values)]
    joined = [side[:, pairs.rows].flatten(2) for side in (keys, values)]
    inputs = {
        Takes.PAIR_SIMILARITIES: (compared.s_k, compared.s_v),
        Takes.PAIR_DISTANCES: (compared.d_k, compared.d_v),
        Takes.COORDINATES: flat,
        Takes.HELD_OUT: (*flat, repeated),
        Takes.NEIGHBOURHOODS: neighbours,
        Takes.WORDS: joined,
    }
    for measure in list_side_measures():
        expected = measure.function(*inputs[measure.takes])
        torch.testing.assert_close(found[measure.name], expected.double(), msg=measure.name)


def test_few_occurrences_have_no_canonical_correlations(inputs):
    keys, values, pairs = inputs
    few = DistinctWords.of(pairs.rows[pairs.left[:6]], pairs.rows[pairs.right[:6]])
    wide = torch.cat([keys] * 4, dim=-1)
    sides = [Side.of(side, few, neighbour_rows=pairs.rows) for side in (wide, values)]
    found = measure_sides(*sides, words=torch.arange(len(few.rows)), seed=0)
    asked = {measure.name for measure in list_side_measures()}
    assert asked - set(found) == {"held_out_canonical_correlation"}


def test_rolled_sides_are_other_heads(inputs):
    keys, values, pairs = inputs
    words = torch.arange(len(pairs.rows))
    make = [Side.of(side, pairs, neighbour_rows=pairs.rows) for side in (keys, values)]
    rolled = measure_sides(make[0], make[1].roll(1), words=words, seed=0)
    direct = measure_sides(
        make[0],
        Side.of(values.roll(1, dims=0), pairs, neighbour_rows=pairs.rows),
        words=words,
        seed=0,
    )
    for name, figures in direct.items():
        torch.testing.assert_close(rolled[name], figures)


def test_identical_sides_are_as_alike_as_can_be(inputs):
    keys, _, pairs = inputs
    side = Side.of(keys, pairs, neighbour_rows=pairs.rows)
    found = measure_sides(side, side, words=torch.arange(len(pairs.rows)), seed=0)
    for name in ("mutual_neighbours_10", "debiased_cka", "closed_form_r2"):
        torch.testing.assert_close(found[name], torch.ones(N_HEADS).double(), atol=1e-6, rtol=0)
    assert (found["dissociation_ratio_5%"] == 0).all()


@pytest.mark.parametrize("n_layers", [2, 3, 30])
def test_every_layer_gets_another_one_once(n_layers):
    others = choose_other_layers(n_layers, seed=3)
    assert sorted(others) == list(range(n_layers))
    assert all(layer != other for layer, other in enumerate(others))
    assert choose_other_layers(1, seed=3) == []
