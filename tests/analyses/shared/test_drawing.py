"""The shared parts of figures: what is missing is not drawn, what is there never vanishes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analyses.shared.drawing import (
    draw_by_layer,
    draw_conditions,
    draw_line,
    draw_points,
    letter_panels,
    line_up,
    list_lines,
    read_conditions,
    read_looks,
    share_legend,
    spread,
    wrap,
)
from analyses.shared.style import GREY, PAGE, Look, house_style, new_panels
from probes.errors import UsageError
from probes.similarity.catalogue import (
    PARTS,
    list_conditions,
    register_condition,
    unregister_condition,
)
from probes.similarity.condition import Condition

BLUE = Look("blue", "#0000ff", "s")


@pytest.fixture
def axes():
    with house_style():
        yield new_panels(2.0, 1)[1][0]


def make_rows(*numbers):
    return pd.DataFrame(numbers, columns=["value", "ci_low", "ci_high"], dtype=float)


def read_segments(axes):
    """The drawn intervals as (place, low, high) or, flat, (low, high, place)."""
    (container,) = axes.containers
    return [segment.tolist() for segment in container.lines[2][0].get_segments()]


@pytest.mark.parametrize("flat", [False, True])
def test_points_stand_where_the_table_says_with_their_intervals(axes, flat):
    draw_points([3, 5], make_rows((1, 0.5, 2), (4, 3, 4.5)), BLUE, flat=flat, ax=axes)
    expected = [[[3, 0.5], [3, 2]], [[5, 3], [5, 4.5]]]
    if flat:
        expected = [[[y, x] for x, y in ends] for ends in expected]
    assert read_segments(axes) == expected
    assert axes.get_legend_handles_labels()[1] == ["blue"]


def test_a_point_without_an_interval_is_a_point_alone(axes):
    draw_points([0, 1], make_rows((1, np.nan, np.nan), (2, 1, 3)), BLUE, ax=axes)
    bare, whole = read_segments(axes)
    assert bare == [[0, 1], [0, 1]]
    assert whole == [[1, 1], [1, 3]]


def test_an_end_that_passes_its_value_by_rounding_is_no_error(axes):
    draw_points([0], make_rows((1, 1 + 1e-12, 2)), BLUE, ax=axes)
    assert read_segments(axes) == [[[0, 1], [0, 2]]]


@pytest.mark.parametrize("rows", [make_rows(), make_rows((np.nan, np.nan, np.nan))])
def test_without_numbers_neither_points_nor_lines_nor_a_legend(axes, rows):
    draw_points(range(len(rows)), rows, BLUE, ax=axes)
    draw_line(range(len(rows)), rows, BLUE, ax=axes)
    assert not axes.containers
    assert not axes.lines
    assert axes.get_legend_handles_labels() == ([], [])


def test_one_row_of_a_table_is_drawn_like_a_table(axes):
    row = make_rows((1, 0, 2)).assign(nats=7.0, nats_low=6.0, nats_high=9.0).iloc[0]
    draw_points(0, row, BLUE, columns=("nats", "nats_low", "nats_high"), ax=axes)
    assert read_segments(axes) == [[[0, 6], [0, 9]]]


def test_a_line_has_a_band_where_its_table_has_intervals(axes):
    draw_line([0, 1], make_rows((1, 0, 2), (2, 1, 3)), BLUE, ax=axes)
    draw_line([0, 1], make_rows((5, 0, 0), (6, 0, 0)), BLUE, columns=["value"], ax=axes)
    assert [list(line.get_ydata()) for line in axes.lines] == [[1, 2], [5, 6]]
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().bounds == (0, 0, 1, 3)


def make_heads(n_layers, n_heads, **columns):
    layer, head = np.divmod(np.arange(n_layers * n_heads), n_heads)
    return pd.DataFrame({"layer": layer, "kv_head": head, "value": layer + head / 10, **columns})


@pytest.mark.parametrize(("n_layers", "n_heads"), [(1, 1), (1, 40), (48, 2)])
@pytest.mark.parametrize("beside_map", [False, True])
def test_by_layer_dots_are_heads_and_lines_are_their_means(axes, n_layers, n_heads, beside_map):
    heads = make_heads(n_layers, n_heads, mismatched_heads_mean=0.5, random_heads_mean=np.nan)
    draw_by_layer(heads, beside_map=beside_map, ax=axes)
    (dots,) = axes.collections
    assert len(dots.get_offsets()) == n_layers * n_heads
    trained, mismatched = axes.lines  # random heads were not measured
    assert mismatched.get_label() == "mismatched heads"
    at, means = (trained.get_xydata()[:, ::-1] if beside_map else trained.get_xydata()).T
    np.testing.assert_allclose(at - (0.5 if beside_map else 0), np.arange(n_layers))
    np.testing.assert_allclose(means, heads.groupby("layer")["value"].mean())


def test_a_column_of_no_known_null_is_refused():
    with pytest.raises(UsageError, match=r"no condition 'mismatched'.*'mismatched_heads'"):
        list_lines(make_heads(1, 1, mismatched_mean=0.5))


def test_a_new_null_is_drawn_in_its_own_colour_behind_the_others(axes):
    register_condition(
        Condition("toy_heads", "toy heads", "#123456", "*", keeps="", breaks="", meaning="")
    )
    try:
        rows = pd.DataFrame(
            {
                "condition": ["toy_heads", "trained", "trained - toy_heads"],
                "place": "here",
                "value": [1.0, 2.0, 3.0],
                "ci_low": np.nan,
                "ci_high": np.nan,
            }
        )
        assert read_conditions(rows) == ["trained", "toy_heads"]
        draw_conditions(rows, ["here"], "place", reach=0.2, ax=axes)
    finally:
        unregister_condition("toy_heads")
    trained, toy = (container.lines[0] for container in axes.containers)
    assert (trained.get_xydata().tolist(), toy.get_xydata().tolist()) == ([[-0.2, 2]], [[0.2, 1]])
    assert to_hex(toy.get_color()) == "#123456"
    assert toy.get_marker() == "*"


def test_rows_are_lined_up_with_gaps_where_the_table_has_none():
    rows = pd.DataFrame({"run": ["b", "a"], "value": [2.0, 1.0]})
    lined = line_up(rows, ["a", "x", "b"], "run")
    assert lined["run"].tolist() == ["a", "x", "b"]
    np.testing.assert_array_equal(lined["value"], [1, np.nan, 2])


def test_what_is_not_known_is_grey_and_last():
    looks = read_looks(pd.Series(["new", "b", "a"]), {"a": BLUE, "b": BLUE, "c": BLUE})
    assert list(looks) == ["a", "b", "new"]
    assert looks["new"] == Look("new", GREY, "*")


def test_things_side_by_side_are_spread_evenly_and_one_alone_stands_in_the_middle():
    assert list(spread("abc", 0.2)) == [(-0.2, "a"), (0, "b"), (0.2, "c")]
    assert list(spread("a", 0.2)) == [(0, "a")]
    assert list(spread("", 0.2)) == []


def test_a_legend_names_everything_once():
    with house_style():
        figure, panels = new_panels(2.0, 2)
        for axes in panels:
            draw_points([0], make_rows((1, 0, 2)), BLUE, ax=axes)
            draw_points([0], make_rows((1, 0, 2)), BLUE.open("open"), ax=axes)
        share_legend(figure, panels, ncols=2, samples=[BLUE.named("more").sample()])
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["blue", "open", "more"]
        empty, panels = new_panels(2.0, 1)
        share_legend(empty, panels, ncols=2)
        assert not empty.legends


def test_panels_are_as_many_as_asked_for_and_at_least_one():
    for count, columns, shape in ((0, None, 1), (3, None, 3), (7, 5, 7)):
        figure, panels = new_panels(2.0, count, columns=columns)
        assert len(panels) == shape
        assert sum(axes.get_visible() for axes in figure.axes) == shape
        assert figure.get_size_inches()[0] == PAGE
    letter_panels(panels, ["one", "two"])
    assert panels[1].get_title(loc="left") == r"$\bf{b}$  two"
    assert panels[2].get_title(loc="left") == ""


def test_a_long_title_is_broken_into_lines_about_equally_long():
    assert wrap("short title") == "short title"
    assert wrap("mutual neighbours (k = 10)") == "mutual neighbours\n(k = 10)"
    assert wrap("incomprehensibilities") == "incomprehensibilities"


def test_looks_are_those_of_the_catalogue():
    for condition in list_conditions():
        look = Look.of_condition(condition.name)
        assert (look.label, look.colour) == (condition.label, condition.colour)
        assert (look.marker, look.line) == (condition.marker, condition.line)
    for part, looks in PARTS.items():
        look = Look.of_part(part)
        assert (look.label, look.colour, look.marker) == (part, *looks)
    assert BLUE.open().style["markerfacecolor"] == "white"
    assert BLUE.style["markerfacecolor"] == "#0000ff"
