"""Every panel draws into the user's axes, every figure takes a width, labels and a style."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.text import Text

import analyses
import kvprobes
import kvprobes as kv
from analyses.premise.figures import draw_lift, draw_share
from analyses.shared.style import WIDTHS, Asked, drawing
from analyses.tying import figures as tying
from analyses.weights.figures import draw_site
from probes.words.tables import data_folder
from tests.tiny import tiny_model


def list_drawing():
    """Return every public function that draws, by its full name."""
    found = {}
    for package in (analyses, kvprobes):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            loaded = import_module(module.name)
            for name, function in inspect.getmembers(loaded, inspect.isfunction):
                if name.startswith(("draw", "scatter")) and function.__module__ == module.name:
                    found[f"{module.name}.{name}"] = inspect.signature(function)
    return found


DRAWING = list_drawing()
FIGURES = {name for name, own in DRAWING.items() if own.return_annotation == "Figure"}
SETS = {name for name, own in DRAWING.items() if own.return_annotation == "dict[str, Figure]"}


def test_there_are_panels_figures_and_sets_of_figures():
    assert len(FIGURES) > 25
    assert len(DRAWING) - len(FIGURES) - len(SETS) > 40
    assert len(SETS) < 20  # `Results.draw` takes for these what figures take


@pytest.mark.parametrize("name", sorted(set(DRAWING) - SETS - {"analyses.shared.style.drawing"}))
def test_it_takes_what_a_user_needs(name):
    needed = Asked.__annotations__ if name in FIGURES else {"ax"}
    assert set(needed) <= set(DRAWING[name].parameters)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Tables of two finished runs."""
    found = []
    for architecture in ("llama", "gpt2"):
        out = tmp_path_factory.mktemp(architecture)
        kv.answer("weights", kv.Session(out, model=tiny_model(architecture)), draw=False)
        found.append(kv.open(out).tables["weights.heads"])
    return found


def test_a_two_by_two_figure_of_two_models(heads):
    figure, panels = plt.subplots(2, 2, figsize=(5.5, 4), layout="constrained")
    for row, table in zip(panels, heads, strict=True):
        assert kv.draw_heads(table, ax=row[0]) is row[0]
        assert draw_site(table, table["site"].iloc[0], ax=row[1]) is row[1]
        means = table.groupby("layer")["value"].mean()
        assert list(row[1].lines[0].get_ydata()) == pytest.approx(list(means))
    figure.draw_without_rendering()
    labels = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in labels) >= 6
    plt.close(figure)


def test_the_user_s_axes_keep_the_user_s_style(heads):
    with rc_context({"axes.labelsize": 13, "lines.linewidth": 3}):
        figure, ax = plt.subplots()
        draw_site(heads[0], heads[0]["site"].iloc[0], ax=ax)
        assert ax.xaxis.label.get_fontsize() == 13
        plt.close(figure)
    alone = draw_site(heads[0], heads[0]["site"].iloc[0])
    assert alone.xaxis.label.get_fontsize() == 7  # the house's
    assert alone.get_legend() is not None


def make_lifts():
    rows = [
        (layer, head, f"premise_lift_{top}%")
        for layer in (0, 1)
        for head in (0, 1)
        for top in (1, 5)
    ]
    table = pd.DataFrame(rows, columns=["layer", "kv_head", "measure"]).assign(space="functional")
    return table.assign(value=np.linspace(1, 2, 8), mismatched_heads_mean=1.0)


@pytest.mark.parametrize("width", [*WIDTHS, 4.0])
def test_a_figure_is_as_wide_as_asked_and_its_text_is_not_small(width):
    figure = draw_lift(make_lifts(), width=width, labels={"trained": "ours"})
    assert figure.get_figwidth() == pytest.approx(WIDTHS.get(width, width))
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in texts) >= 6
    assert "ours" in {text.get_text() for text in texts}
    box = figure.get_tightbbox()
    assert box.x0 >= -0.02  # nothing is cut off
    assert box.x1 <= figure.get_figwidth() + 0.02


def test_a_style_holds_for_one_figure_alone():
    styled = draw_lift(make_lifts(), style={"axes.labelsize": 9})
    assert {axes.xaxis.label.get_fontsize() for axes in styled.axes} == {9}
    assert {axes.xaxis.label.get_fontsize() for axes in draw_lift(make_lifts()).axes} == {7}
    assert draw_share(make_lifts(), "premise_lift_5%").get_xlabel() == "layer"


@pytest.mark.parametrize("width", ["icml-column", "neurips"])
def test_the_shipped_figures_fit_every_width(width):
    tables = kv.ResultFolder(data_folder() / "reference" / "tying").read_tables("tying")
    with drawing(width):
        figures = tying.draw(tables)
    for figure in figures.values():
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 6
