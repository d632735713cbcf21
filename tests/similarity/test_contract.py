"""Every measure is held to everything that it declares."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from probes.similarity import representational_similarity
from probes.similarity.catalogue import find_measure, list_measures, list_nulls
from probes.similarity.measure import Measure, Sizes, Transformation
from tests.similarity.transformations import (
    D_INPUT,
    D_KEY,
    D_VALUE,
    HEADS,
    call,
    draw_inputs,
    transform,
)

MEASURES = list_measures()
by_name = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
CASES = [(measure, change) for measure in MEASURES for change in measure.takes.admits]
CASES.sort(key=lambda case: (case[0].name, case[1].name))  # a frozenset has no order to collect in


def measure_change(measure: Measure, change: Transformation) -> float:
    """Say how far a transformation moves the measure of any head."""
    generator = torch.Generator().manual_seed(3)
    # Neither side may be linear or symmetric in the other, and widths are equal so that both can
    # take each other's place.
    inputs = draw_inputs(measure.takes, 150, generator, relation="related")
    before = call(measure, inputs)
    after = call(measure, transform(measure.takes, change, inputs, generator))
    assert before.shape == after.shape
    return float((before - after).abs().max())


@pytest.mark.parametrize(
    ("measure", "change"), CASES, ids=[f"{m.name}-{change.name}" for m, change in CASES]
)
def test_a_measure_moves_where_it_does_not_declare_that_it_stays(measure, change):
    moved = measure_change(measure, change)
    if change in measure.unchanged_by:
        assert moved < 1e-6
    else:
        assert moved > 1e-3


@by_name
def test_declarations_are_of_what_the_input_admits(measure):
    assert measure.unchanged_by <= measure.takes.admits


@by_name
def test_what_a_reader_is_told(measure):
    assert measure.source
    assert measure.unit
    assert measure.direction in (-1, 0, 1)
    assert measure.heading[0].isupper()
    assert measure.meaning.endswith(".")
    assert len(measure.symbol) <= 40
    # Measures of one heading are explained once.
    together = [own for own in MEASURES if own.heading == measure.heading]
    assert {own.meaning for own in together} == {measure.meaning}


@by_name
def test_the_direction_is_that_from_independent_to_identical(measure):
    sizes = Sizes(200, D_KEY, D_VALUE, D_INPUT)
    if measure.direction and measure.identical is not None and measure.independent is not None:
        gap = measure.identical - measure.independent(sizes)
        assert gap * measure.direction > 0


def test_every_measure_and_condition_is_in_the_docs():
    text = Path("docs/measures.md").read_text(encoding="utf-8")
    for measure in MEASURES:
        family = re.sub(r"_\d+%$", "_p", measure.name)
        assert f"`{re.sub(r'_[0-9]+$', '_k', family)}`" in text, measure.name
    for condition in list_nulls():
        assert f"`{condition.name}`" in text


def test_names_and_labels_are_unique():
    for names in ([m.name for m in MEASURES], [m.label for m in MEASURES]):
        assert len(set(names)) == len(names)


@by_name
def test_heads_are_measured_as_if_alone(measure):
    generator = torch.Generator().manual_seed(0)
    inputs = draw_inputs(measure.takes, 60, generator, relation="related")
    together = call(measure, inputs)
    assert together.shape[:2] == HEADS
    assert together.ndim == 2 + len(measure.axes)
    assert together.dtype in (torch.float32, torch.float64)
    one = tuple(side[1, 2] if side.dtype.is_floating_point else side for side in inputs)
    torch.testing.assert_close(call(measure, one), together[1, 2])


@by_name
def test_identical(measure):
    generator = torch.Generator().manual_seed(1)
    inputs = draw_inputs(measure.takes, 400, generator, relation="identical")
    found = call(measure, inputs)
    if measure.identical is None:
        assert float(found.std()) > 1e-4  # it does depend on the data
    else:
        torch.testing.assert_close(
            found.double(), torch.full(HEADS, measure.identical).double(), atol=1e-5, rtol=0
        )


@by_name
def test_independent(measure):
    """The mean over many draws is within its standard error of what is declared."""
    if measure.independent is None:
        pytest.skip("its value by chance depends on the data")
    generator = torch.Generator().manual_seed(2)
    count = 240
    found = torch.cat(
        [
            call(measure, draw_inputs(measure.takes, count, generator, relation="independent"))
            .double()
            .flatten()
            for _ in range(40)
        ]
    )
    expected = measure.independent(Sizes(count, D_KEY, D_VALUE, D_INPUT))
    error = float(found.std()) / len(found) ** 0.5
    # Held out, a fit to noise does a little worse than the mean: a bias of order 1 / count.
    held_out = measure.name in ("tieability", "held_out_canonical_correlation")
    allowance = (2.5 if held_out else 0.5) / count
    assert float(found.mean()) == pytest.approx(expected, abs=4 * error + allowance)


@by_name
def test_pair_weights_are_taken_where_declared(measure):
    function = getattr(measure.function, "func", measure.function)
    takes_weights = "weights" in inspect.signature(function).parameters
    assert measure.pair_weights == takes_weights
    if not measure.pair_weights:
        return
    generator = torch.Generator().manual_seed(4)
    inputs = draw_inputs(measure.takes, 60, generator, relation="related")
    weighted = measure.function(*inputs, weights=torch.tensor([[1.0], [3.0]]).expand(2, 60))
    torch.testing.assert_close(weighted, measure.function(*inputs).expand(weighted.shape))


def test_a_false_declaration_is_found():
    """The matrix itself can fail: in both directions."""
    proud = replace(
        find_measure("representational_similarity"),
        name="proud",
        function=lambda key, value: representational_similarity(key, value**2 + key),
        unchanged_by=frozenset({Transformation.INCREASING_KEYS}),
    )
    assert measure_change(proud, Transformation.INCREASING_KEYS) > 1e-3
    assert measure_change(proud, Transformation.REORDERED) < 1e-6
