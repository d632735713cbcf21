"""The figures draw whatever tables there can be, the same tables the same bytes, nothing cut."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.text import Annotation, Text

from analyses.divergence.figures import draw, draw_headline, draw_maps
from analyses.divergence.labels import place_labels
from analyses.shared.style import house_style, new_figure
from tests.analyses.tables import make_tables

SHAPES = {
    "usual": {},
    "one kv head": {"n_kv_heads": 1},
    "one layer and head": {"n_layers": 1, "n_kv_heads": 1},
    "deep": {"n_layers": 48, "n_kv_heads": 2},
    "wide": {"n_layers": 2, "n_kv_heads": 32},
    "no relatedness": {"relatedness": False},
    "one population": {"populations": ("word pairs",)},
    "many pairs": {"n_pairs": 4000},
    "few pairs": {"n_pairs": 4},
}


def to_bytes(figure, suffix="png"):
    metadata = {
        "pdf": {"CreationDate": None, "ModDate": None, "Producer": None},
        "png": {"Software": None},
    }[suffix]
    stream = io.BytesIO()
    with house_style():
        figure.savefig(stream, format=suffix, metadata=metadata)
    return stream.getvalue()


@pytest.fixture(scope="module")
def figures():
    return draw(make_tables())


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_draws_every_shape_with_nothing_cut(shape):
    tables = make_tables(**shape)
    figures = draw(tables)
    assert set(figures) == {"headline", "curve", "maps", "spaces"}
    for figure in figures.values():
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        renderer = figure.canvas.get_renderer()
        for text in figure.findobj(Text):
            if not text.get_visible() or not text.get_text().strip():
                continue
            extent = text.get_window_extent(renderer)
            if extent.width == 0 or not text.axes or not text.axes.get_visible():
                continue
            if text in [*text.axes.xaxis.get_ticklabels(), *text.axes.yaxis.get_ticklabels()]:
                continue  # matplotlib keeps ticks beyond the limits, and does not draw them
            assert extent.x0 > -1, text
            assert extent.y0 > -1, text
            assert extent.x1 < width + 1, text
            assert extent.y1 < height + 1, text


def test_same_tables_same_bytes(figures):
    again = draw(make_tables())
    for suffix in ("png", "pdf"):
        for name, figure in figures.items():
            assert to_bytes(figure, suffix) == to_bytes(again[name], suffix), (name, suffix)
    assert to_bytes(figures["headline"]) != to_bytes(figures["curve"])


def test_drawing_leaves_the_tables_alone_and_needs_no_torch():
    tables = make_tables()
    copies = {name: table.copy() for name, table in tables.items()}
    draw(tables)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, copies[name])
    code = "import sys, analyses.divergence.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_headline_names_founding_pair_and_the_most_dissociating(figures):
    pairs = make_tables()["pairs"]
    written = texts(figures["headline"])
    assert "network: social / neural" in written
    for row in pairs.nlargest(8, "dissociation").itertuples():
        assert f"{row.head}: {row.m1} / {row.m2}" in written
    least = pairs.nsmallest(1, "dissociation").iloc[0]
    assert f"{least['head']}: {least['m1']} / {least['m2']}" not in written
    bold = [
        t.get_text()
        for t in figures["headline"].findobj(Annotation)
        if t.get_fontweight() == "bold"
    ]
    assert bold == ["network: social / neural"]


def test_headline_quadrants_count_pairs():
    tables = make_tables()
    pairs = tables["pairs"].assign(s_k=np.linspace(-1, 1, 60), s_v=np.linspace(1, -1, 60))
    shares = {
        text.rsplit(": ", 1)[0].replace("\n", " "): text.rsplit(": ", 1)[1]
        for text in texts(draw_headline(pairs, tables["summary"]))
        if text.endswith(" %") and ": " in text
    }
    assert shares == {
        "similar keys, dissimilar values": "50 %",
        "dissimilar keys, similar values": "50 %",
        "similar keys, similar values": "0 %",
        "dissimilar keys, dissimilar values": "0 %",
    }


def test_words_with_dollar_signs_are_not_mathematics():
    tables = make_tables()
    tables["pairs"].loc[:, "m1"] = [f"$x_{n}$\\frac" for n in range(60)]
    draw_headline(tables["pairs"], tables["summary"]).draw_without_rendering()


def test_maps_show_the_heads_where_they_are_and_excess_around_zero():
    tables = make_tables(n_layers=3, n_kv_heads=5)
    heads = tables["heads"]
    ratio, excess = (
        mesh for mesh in draw_maps(heads).findobj(QuadMesh) if mesh.get_array().shape == (3, 5)
    )
    for mesh, measure in (
        (ratio, "dissociation_ratio_5%"),
        (excess, "excess_tieability_vs_mismatched_heads"),
    ):
        rows = heads[
            (heads["measure"] == measure)
            & (heads["space"] == "functional")
            & heads["population"].isin(["word pairs", "occurrences"])
        ]
        for row in rows.itertuples():
            assert mesh.get_array()[row.layer, row.kv_head] == row.value
    assert excess.norm.vmin == -excess.norm.vmax
    assert excess.norm.vmax == np.abs(excess.get_array()).max()
    assert ratio.norm.vmin == 0


def test_one_kv_head_has_its_excess_over_a_slice():
    written = texts(draw_maps(make_tables(n_kv_heads=1)["heads"]))
    assert "excess over random slice of x" in written
    assert "mismatched heads" not in written


def test_every_interval_is_drawn_as_it_stands_in_the_table(figures):
    segments = np.concatenate(
        [
            np.array(bars.get_segments())
            for axes in figures["headline"].axes[1:]
            for container in axes.containers
            for bars in container.lines[2]
        ]
    )
    summary = make_tables()["summary"]
    rows = summary[
        summary["measure"].str.startswith("dissociation")
        & (summary["space"] == "functional")
        & summary["condition"].isin(["trained", "mismatched_heads", "random_heads"])
    ]
    drawn = sorted(map(tuple, segments[:, :, 1].round(9)))
    assert drawn == sorted(map(tuple, rows[["ci_low", "ci_high"]].to_numpy().round(9)))


@pytest.mark.parametrize("seed", range(4))
def test_labels_overlap_neither_each_other_nor_what_is_taken(seed):
    random = np.random.default_rng(seed)
    points = random.normal(size=(400, 2))
    with house_style():
        figure = new_figure(3.0, width=4.0)
        axes = figure.subplots()
        axes.scatter(*points.T)
        axes.set(xlim=(-4, 4), ylim=(-4, 4))
        corner = axes.text(0.99, 0.01, "taken\ntaken", ha="right", transform=axes.transAxes)
        chosen = points[:10]
        labels = place_labels(
            axes,
            chosen,
            [f"head: first / second {n}" for n in range(10)],
            avoid=points,
            taken=[corner],
        )
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        frame = axes.get_window_extent(renderer)
        # Of an annotation's own extent the line is a part, so that of its text alone is asked for.
        boxes = [Text.get_window_extent(label, renderer) for label in labels]
    assert len(labels) == 10
    for one, other in combinations([*boxes, corner.get_window_extent(renderer)], 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
