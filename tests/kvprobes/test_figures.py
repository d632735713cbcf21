"""Figures of one's own: maps in the user's axes, and a finished run drawn again."""

import io
import itertools
import re
import zlib

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.text import Text

import kvprobes as kv
from analyses.shared.style import WIDTHS
from kvprobes.report.page import write_report
from kvprobes.results import ResultFolder
from probes.errors import TableError, UsageError
from tests.kvprobes.runs import hash_results
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def table():
    words = kv.read(tiny_model("llama"), "The {word} ran.", ["fox", "dog", "cat", "tree"])
    return kv.compare(words, "fox", "dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("weights")
    kv.answer("weights", kv.Session(out, model=tiny_model("llama", n_layers=3)))
    return out


def list_sizes(figure):
    return [
        text.get_fontsize()
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip()
    ]


def test_two_models_are_drawn_into_the_user_s_own_panels(table):
    figure, panels = plt.subplots(2, 2)
    for ax, (value, space) in zip(
        panels.flat, itertools.product(("s_k", "s_v"), ("raw", "raw")), strict=True
    ):
        assert kv.draw_heads(table, value, ax=ax, space=space) is ax
        assert ax.get_ylabel() == "layer"
        drawn = ax.collections[0].get_array().reshape(2, 2)
        rows = table[table["space"] == space].set_index(["layer", "kv_head"])[value]
        assert drawn[1, 0] == pytest.approx(rows[1, 0])
    assert len(figure.axes) == 8  # each with its colour bar
    plt.close(figure)


def test_maps_without_axes_are_figures_of_their_own(table):
    first, second = (kv.draw_heads(table, "s_k", space="raw", bar=False) for _ in range(2))
    assert first.figure is not second.figure
    plt.close("all")


def test_an_unclear_map_is_refused_with_what_to_choose(table):
    with pytest.raises(TableError, match=r"several rows per head. Choose one .*space \(raw, "):
        kv.draw_heads(table, "s_k")
    with pytest.raises(TableError, match=r"s_k has no number in these rows \(.*10"):
        kv.draw_heads(table, "s_k", space="functional")
    with pytest.raises(UsageError, match=r"no column of this table 'sk'"):
        kv.draw_heads(table, "sk")
    with pytest.raises(TableError, match="no row of the table is chosen"):
        kv.draw_heads(table, "s_k", space="elsewhere")


def test_a_percentile_is_coloured_around_its_middle(table):
    plain = table[table["space"] == "raw"].assign(key_percentile=70.0)
    figure, ax = plt.subplots()
    kv.draw_heads(plain, "key_percentile", ax=ax)
    assert ax.collections[0].get_clim() == (0, 100)
    plt.close(figure)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_is_drawn_again_at_the_width_of_a_venue(folder, width):
    (path,) = kv.redraw([folder], width=width, only=["weights.angles"], formats=["pdf"])
    assert path == folder / f"figures-{width}" / "weights.angles.pdf"
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", path.read_bytes())
    assert float(box[1]) / 72 == pytest.approx(WIDTHS[width], abs=0.01)
    (figure,) = kv.open(folder).draw("weights", width=width).values()
    assert min(list_sizes(figure)) >= 6


def test_a_label_stands_for_a_condition(folder):
    labels = {"trained": "ours"}
    (figure,) = kv.open(folder).draw("weights", labels=labels).values()
    assert "ours" in {text.get_text() for text in figure.findobj(Text)}


def test_a_style_goes_before_the_house_s(folder):
    (figure,) = kv.open(folder).draw("weights", style={"axes.labelsize": 9}).values()
    assert {axes.xaxis.label.get_fontsize() for axes in figure.axes} == {9}


def test_fonts_are_embedded_whoever_saves(folder):
    (figure,) = kv.open(folder).draw("weights").values()
    out = io.BytesIO()
    with rc_context({"pdf.fonttype": 3}):
        figure.savefig(out, format="pdf")
    plain = out.getvalue() + b"".join(
        zlib.decompress(part)
        for part in re.findall(
            rb"FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", out.getvalue(), re.S
        )
    )
    assert b"/Type0" in plain
    assert b"/Type3" not in plain
    assert figure._repr_html_().startswith('<img src="data:image/png;base64,')


def test_what_is_unknown_is_refused(folder):
    for wrong, message in (
        ({"width": "icml"}, "no width 'icml'. Give inches, from 1 to 30, or one of icml-column"),
        ({"width": "0.2"}, "no width '0.2'"),
        ({"only": ["weights.angle"]}, "Did you mean 'weights.angles'"),
        ({"formats": ["gif"]}, "no format of figures 'gif'"),
    ):
        with pytest.raises(UsageError, match=message):
            kv.redraw([folder], **wrong)


def test_labels_and_formats_leave_the_figures_of_the_report_alone(folder, tmp_path):
    report = kv.open(folder).report.read_bytes()
    before = hash_results(folder)
    (labelled,) = kv.redraw([folder], labels={"trained": "ours"}, formats=["pdf"])
    assert labelled == folder / "figures-own" / "weights.angles.pdf"
    assert labelled.read_bytes() != (folder / "figures" / labelled.name).read_bytes()
    (elsewhere,) = kv.redraw([folder], width=3.0, out=tmp_path, formats=["pdf"])
    assert elsewhere == tmp_path / "weights.angles.pdf"
    kv.redraw([folder], formats=["pdf", "svg"])  # the same again, and one more format
    after = hash_results(folder)
    assert {name: after[name] for name in before} == before
    write_report(ResultFolder(folder))
    assert kv.open(folder).report.read_bytes() == report
    with pytest.raises(UsageError, match="figures of 2 folders have the same names"):
        kv.redraw([folder, folder], out=tmp_path)


def test_the_same_tables_give_the_same_vector_files(folder):
    first, second = (
        [path.read_bytes() for path in kv.redraw([folder], width=5.0, formats=["pdf", "svg"])]
        for _ in range(2)
    )
    assert first == second


def test_every_map_function_takes_a_table_of_a_finished_run(folder):
    heads = kv.open(folder).tables["weights.heads"]
    assert isinstance(heads, pd.DataFrame)
    figure, ax = plt.subplots()
    kv.draw_heads(heads, ax=ax)
    plt.close(figure)
