"""Rounding decides nothing: at any scale and dtype a measure is right, or NaN, or refuses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity import (
    canonical_correlations,
    closed_form_r2,
    debiased_cka,
    pair_cosines,
    pair_distances,
    principal_angles,
    representational_similarity,
)
from probes.similarity.canonical import mean_squared_correlation
from probes.similarity.catalogue import find_measure, list_measures
from probes.similarity.measure import RIGID, Takes
from probes.similarity.tieability import tieability
from tests.similarity.transformations import VECTORS, call, draw_inputs

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
OF_VECTORS = [measure for measure in list_measures() if measure.takes in VECTORS]
OF_PAIRS = [measure for measure in list_measures() if measure.takes.of_pairs]
SMALLEST = {torch.bfloat16: -25, torch.float16: -1, torch.float32: -25, torch.float64: -60}


def draw(seed: int, n: int, takes: Takes = Takes.COORDINATES) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        side[0, 0] if side.is_floating_point() else side
        for side in draw_inputs(takes, n, generator, relation="related")
    )


@pytest.mark.parametrize("measure", OF_VECTORS, ids=lambda measure: measure.name)
@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(DTYPES),
    small=st.booleans(),
    shift=st.sampled_from([0.0, 3.0]),
    copies=st.sampled_from([1, 2]),
)
def test_scale_shift_and_dtype_do_not_matter(measure, seed, dtype, small, shift, copies):
    power = SMALLEST[dtype] if small else -SMALLEST[dtype]
    *sides, rest = (*draw(seed, 60, measure.takes), None)[:3]
    sides, rest = ([*sides, rest], None) if len(sides) == 1 else (sides, rest)
    if copies > 1:  # duplicates
        sides = [torch.cat([side[:30]] * 2) for side in sides]
        rest = None if rest is None else rest[:30].repeat(2)
    stored = [((side + shift) * 10.0**power).to(dtype) for side in sides]
    exact = [side.double() / 10.0**power for side in stored]
    others = () if rest is None else (rest,)
    found, expected = call(measure, (*stored, *others)), call(measure, (*exact, *others))
    # Of words exactly as far any may be taken.
    slack = 0.1 if measure.takes is Takes.NEIGHBOURHOODS and dtype != torch.float64 else 1e-4
    torch.testing.assert_close(
        found.double(), expected.double(), atol=slack, rtol=0, equal_nan=copies > 1
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e4 / 3])
@pytest.mark.parametrize("measure", OF_VECTORS, ids=lambda measure: measure.name)
def test_constants_say_nothing(measure, value, dtype):
    varied, other, *rest = draw(0, 60, measure.takes)
    constant = torch.full_like(other, value).to(dtype)
    constant = constant @ torch.linalg.qr(other.T @ other)[0].to(dtype)  # with rounding of its own
    constant = constant[:1].expand(60, -1) * (1 + 1e-17)
    found = call(measure, (varied.to(dtype), constant, *rest))
    if measure.name.startswith("neighbour_key"):  # all values are one point: none is nearest
        return
    assert bool(found.isnan()), float(found)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("measure", OF_VECTORS, ids=lambda measure: measure.name)
def test_two_or_three_words_are_refused_or_in_range(measure, n):
    try:
        found = float(call(measure, draw(1, n, measure.takes)))
    except UsageError:
        return
    assert math.isnan(found) or -1 <= found <= 1
    assert measure.name == "closed_form_r2"  # 1, as its docstring says of d_key / (n - 1) above 1
    assert found == pytest.approx(1)


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-60, 1e60])
def test_orthogonal_words_have_no_geometry_to_agree_with(scale):
    random = torch.Generator().manual_seed(0)
    values = torch.randn(40, 40, generator=random, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=random).double())[0]
    for keys in (torch.eye(40).double(), rotation):
        assert bool(debiased_cka(keys * scale, values).isnan())
    stored = (torch.eye(40) * 0.1).to(torch.bfloat16)
    assert bool(debiased_cka(stored, values).isnan())


def test_cka_at_any_scale_is_the_same():
    keys, values = draw(3, 40)
    found = float(debiased_cka(keys, values))
    assert 0.05 < found < 0.95
    for scale in (1e-60, 1e-100, 1e60):
        assert float(debiased_cka(keys * scale, values / scale)) == pytest.approx(found, rel=1e-9)


def test_values_that_never_vary_cannot_be_tied():
    keys, values = draw(4, 60)
    words = torch.arange(60)
    for constant in (torch.full_like(values, 0.1), torch.full_like(values, 1 / 3).float()):
        assert bool(tieability(keys, constant, words=words).r2.isnan())
        assert bool(closed_form_r2(keys, constant).isnan())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_rank_is_that_of_what_was_stored(dtype):
    random = torch.Generator().manual_seed(5)
    hidden = torch.randn(400, 8, generator=random, dtype=torch.float64)
    keys, values = (
        (hidden @ torch.randn(8, 16, generator=random, dtype=torch.float64) + 1).to(dtype)
        for _ in range(2)
    )
    for sides in ((keys, values), (keys.double(), values.double())):
        stored = None if sides[0].dtype == dtype else dtype
        found = canonical_correlations(*sides, stored=stored)
        assert found.isnan().tolist() == [False] * 8 + [True] * 8
        assert float(mean_squared_correlation(found)) == pytest.approx(1, abs=1e-3)
    angles = principal_angles(keys.T, values.T)
    assert angles.cosines.isnan().tolist() == [False] * 9 + [True] * 7  # not around the mean


@pytest.mark.parametrize("dtype", DTYPES)
def test_collinear_vectors_order_no_pairs(dtype):
    random = torch.Generator().manual_seed(6)
    sizes = torch.rand(60, 1, generator=random, dtype=torch.float64) + 0.5
    direction = torch.randn(1, 16, generator=random, dtype=torch.float64)
    left, right = torch.combinations(torch.arange(60)).T
    values = pair_cosines(torch.randn(60, 16, generator=random), left, right).double()
    cosines = pair_cosines((sizes * direction).to(dtype), left, right).double()
    same = cosines.to(dtype) if dtype in DTYPES[:2] else cosines
    same = same if dtype != torch.float32 else cosines.float()
    assert bool(representational_similarity(same, values.to(same.dtype)).isnan())
    signs = torch.where(torch.arange(60)[:, None] % 2 > 0, 1.0, -1.0).double()
    signed = pair_cosines((signs * sizes * direction).to(dtype), left, right)
    exact = torch.where((left + right) % 2 > 0, -1.0, 1.0).to(signed.dtype)
    assert float(representational_similarity(signed, values.to(signed.dtype))) == pytest.approx(
        float(representational_similarity(exact, values.to(signed.dtype))), abs=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_distances_order_no_pairs(dtype):
    random = torch.Generator().manual_seed(7)
    simplex = torch.linalg.qr(torch.randn(30, 30, generator=random).double())[0].to(dtype)
    left, right = torch.combinations(torch.arange(30)).T
    values = torch.randn(30, 8, generator=random).to(dtype)
    for scale in (1e-30, 1.0, 1e30):
        distances = pair_distances(simplex * scale, left, right)
        others = pair_distances(values * scale, left, right)
        assert bool((distances > 0).all())
        assert bool(representational_similarity(distances, others).isnan())
        assert bool(representational_similarity(others, others) == 1)
        cosines = pair_cosines(simplex * scale, left, right)
        assert bool(representational_similarity(cosines, others).isnan())


@pytest.mark.parametrize("measure", OF_PAIRS, ids=lambda measure: measure.name)
def test_pairs_that_are_all_alike_know_nothing(measure):
    noise = 1 + torch.randint(-1, 2, (90,)) * torch.finfo(torch.float64).eps
    varied = torch.rand(90, dtype=torch.float64)
    found = measure.function(noise, varied)
    if measure.name == "representational_similarity":
        assert bool(found.isnan())
    elif measure.axes:
        torch.testing.assert_close(found, (1 - varied).mean().expand(found.shape))
    else:
        assert float(found) == pytest.approx(1)  # what chance gives


def test_numbers_that_are_none_are_refused_by_name():
    keys, values = draw(8, 60)
    keys[3, 1] = torch.inf
    with pytest.raises(NonFiniteError, match="1 of the 300 numbers in the keys"):
        debiased_cka(keys, values)
    assert find_measure("debiased_cka").unchanged_by >= RIGID
