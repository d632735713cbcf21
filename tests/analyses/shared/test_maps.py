"""Heat maps show every head at its place, on one scale, whatever the shape of the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.text import Text

from analyses.shared.maps import (
    add_bar,
    choose_step,
    draw_head_maps,
    draw_map,
    scale_around_zero,
    scale_from_zero,
)
from analyses.shared.style import house_style, new_panels

SHAPES = [(1, 1), (1, 8), (3, 1), (3, 5), (100, 64)]


def make_heads(n_layers, n_heads, seed=0):
    layer, head = np.divmod(np.arange(n_layers * n_heads), n_heads)
    random = np.random.default_rng(seed)
    value = random.normal(size=len(layer))
    table = pd.DataFrame({"layer": layer, "kv_head": head, "value": value})
    table["p_max_t"] = np.where(value > 0, 0.01, 0.5)
    return table.sample(frac=1, random_state=seed)


def find_meshes(figure):
    return figure.axes, [
        mesh
        for axes in figure.axes
        for mesh in axes.findobj(QuadMesh)
        if mesh.get_array().ndim == 2 and axes.get_label() != "<colorbar>"
    ]


@pytest.mark.parametrize(("n_layers", "n_heads"), SHAPES)
def test_a_map_has_every_head_at_its_place_and_whole_numbers_at_its_axes(n_layers, n_heads):
    heads = make_heads(n_layers, n_heads)
    with house_style():
        figure, (axes,) = new_panels(2.5, 1)
        image = draw_map(heads, scale_around_zero(heads["value"]), dots=heads.head(1), ax=axes)
        add_bar(image, axes, "value")
        figure.draw_without_rendering()
    (mesh,) = axes.findobj(QuadMesh)
    for row in heads.itertuples():
        assert mesh.get_array()[row.layer, row.kv_head] == row.value
    assert axes.get_xlim() == (0, n_heads)
    assert axes.get_ylim() == (0, n_layers)  # the first layer at the bottom
    for axis in (axes.xaxis, axes.yaxis):
        shown = [int(label.get_text()) for label in axis.get_ticklabels()]
        assert 1 <= len(shown) <= 9
        np.testing.assert_allclose(axis.get_ticklocs(), np.array(shown) + 0.5)
    (dot,) = axes.lines
    first = heads.iloc[0]
    assert dot.get_xydata().tolist() == [[first["kv_head"] + 0.5, first["layer"] + 0.5]]


def test_heads_without_a_number_stay_white_and_keep_the_others_in_place():
    heads = make_heads(3, 4).query("not (layer == 1 and kv_head == 2)")
    heads.loc[heads["layer"] == 0, "value"] = np.nan
    with house_style():
        _, (axes,) = new_panels(2.0, 1)
        draw_map(heads, Normalize(-1, 1), ax=axes)
    (mesh,) = axes.findobj(QuadMesh)
    shown = np.ma.getmaskarray(mesh.get_array())
    assert shown[0].all()
    assert shown[1].tolist() == [False, False, True, False]
    last = heads.query("layer == 2 and kv_head == 3")["value"].item()
    assert mesh.get_array()[2, 3] == last


@pytest.mark.parametrize(
    "heads", [make_heads(2, 2).iloc[:0], make_heads(2, 2).assign(value=np.nan)]
)
def test_without_a_number_there_is_no_error(heads):
    with house_style():
        figure, (axes,) = new_panels(2.0, 1)
        image = draw_map(heads, scale_from_zero(heads["value"]), ax=axes)
        add_bar(image, axes, "value")
        figure.draw_without_rendering()


def test_scales_begin_at_zero_or_lie_around_it():
    values = pd.Series([-3.0, np.nan, 2.0])
    assert (scale_from_zero(values).vmin, scale_from_zero(values).vmax) == (0, 2)
    assert (scale_around_zero(values).vmin, scale_around_zero(values).vmax) == (-3, 3)
    assert scale_around_zero(pd.Series([0.0])).vmax > 0


@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_maps_of_groups_share_one_scale_and_count_the_clear_heads(count):
    groups = {f"group {n}": make_heads(4, 2, seed=n) for n in range(count)}
    figure = draw_head_maps(groups, "difference")
    figure.draw_without_rendering()
    _, meshes = find_meshes(figure)
    assert len(meshes) == count
    highest = max((rows["value"].abs().max() for rows in groups.values()), default=0)
    assert {(mesh.norm.vmin, mesh.norm.vmax) for mesh in meshes} <= {(-highest, highest)}
    written = [text.get_text() for text in figure.findobj(Text)]
    for name, rows in groups.items():
        assert f"{name}\n{(rows['value'] > 0).sum()} of 8 clear" in written


def test_steps_are_round():
    assert [choose_step(count) for count in (1, 9, 10, 30, 48, 100)] == [1, 1, 2, 4, 8, 20]
