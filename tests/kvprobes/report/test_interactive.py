import math

from analyses.shared.section import HeadMap, Scatter
from kvprobes.report.interactive import UNKNOWN, lay_out_map, lay_out_scatter

ROWS = ((0, 0, 40.0, "a"), (0, 1, 50.0, "b"), (1, 0, 60.0, "c"), (1, 1, math.nan, "d"))


def test_a_map_has_a_cell_a_head_in_rows_of_layers():
    drawing = lay_out_map(HeadMap("title", ROWS[::-1], middle=50.0))
    assert [shape.told for shape in drawing.shapes] == ["a", "b", "c", "d"]
    a, b, c, d = drawing.shapes
    assert a.y == b.y < c.y == d.y
    assert a.x == c.x < b.x == d.x
    assert drawing.columns == 2
    assert d.fill == UNKNOWN


def test_colours_differ_on_the_two_sides_of_the_middle_and_alike_in_strength():
    drawing = lay_out_map(HeadMap("title", ROWS, middle=50.0))
    red = [int(shape.fill[1:3], 16) for shape in drawing.shapes]
    blue = [int(shape.fill[5:7], 16) for shape in drawing.shapes]
    assert blue[0] > red[0]  # below
    assert abs(blue[1] - red[1]) < 5  # the middle itself
    assert red[2] > blue[2]  # above
    assert [told for told, _ in drawing.legend] == ["40", "50", "60"]


def test_a_map_without_a_middle_starts_at_nothing():
    drawing = lay_out_map(HeadMap("title", ((0, 0, 0.2, "a"), (0, 1, 0.4, "b"))))
    assert [told for told, _ in drawing.legend] == ["0", "0.4"]


def test_points_stand_where_their_numbers_say():
    points = ((0.0, 0.0, "low"), (100.0, 100.0, "high"), (math.nan, 1.0, "lost"))
    drawing = lay_out_scatter(Scatter("title", "x", "y", points))
    low, high = drawing.shapes
    assert low.x < high.x
    assert low.y > high.y  # y of a page counts downwards
    assert [told for _, told in drawing.x_ticks] == ["0", "50", "100"]


def test_an_empty_scatter_and_equal_points_can_be_drawn():
    assert lay_out_scatter(Scatter("title", "x", "y", ())).shapes == ()
    same = lay_out_scatter(Scatter("title", "x", "y", ((1.0, 2.0, "a"), (1.0, 2.0, "b")))).shapes
    assert same[0].x == same[1].x
