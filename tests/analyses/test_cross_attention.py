"""The comparison of an encoder-decoder's sites, on a tiny translator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analyses import cross_attention, divergence
from analyses.figures.sites import draw_sites
from analyses.style import can_draw, spell
from probes.capture import capture, plan_translation, translate
from probes.capture.run import CaptureSettings
from probes.errors import TableError
from probes.words import load_pairs
from tests.capture.test_translation import tiny_translator

SETTINGS = cross_attention.CrossSettings(resamples=20, all_pairs=100, bins=5)
TEMPLATES = pd.DataFrame([("t0", "The {modifier} {head} ran.")], columns=["template_id", "text"])


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    model = tiny_translator()
    pairs = load_pairs(limit=30)
    folder = tmp_path_factory.mktemp("sites")
    plans = plan_translation(
        model, pairs, TEMPLATES, translate=lambda s: translate(model, s, longest=6)
    )
    names = {"encoder": "capture", "decoder": "capture-decoder", "cross": "capture-cross"}
    settings = CaptureSettings(query_sample=60)
    return pairs, {
        site: capture(model, plan, folder / names[site], settings=settings)
        for site, plan in plans.items()
    }


@pytest.fixture(scope="module")
def tables(stores):
    pairs, found = stores
    return cross_attention.compute(found["encoder"], pairs, settings=SETTINGS)


def test_each_site_has_the_figures_of_its_own_capture(stores, tables):
    pairs, found = stores
    for site, store in found.items():
        alone = divergence.compute(store, pairs, settings=SETTINGS)["summary"]
        mine = tables["summary"][tables["summary"]["site"] == site]
        mine = mine.drop(columns="site").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone.reset_index(drop=True))
    assert tables["summary"]["site"].unique().tolist() == ["encoder", "decoder", "cross"]
    assert len(tables["translations"]) == len(found["cross"].table("queries"))


def test_differences_by_hand(tables):
    place = {"population": "occurrences", "measure": "tieability", "condition": "trained"}
    rows = {}
    for site in ("encoder", "cross"):
        keep = (tables["summary"]["site"] == site) & (tables["summary"]["space"] == "functional")
        for name, value in place.items():
            keep &= tables["summary"][name] == value
        [rows[site]] = tables["summary"][keep].to_dict("records")
    keep = tables["differences"]["site"] == "cross"
    for name, value in place.items():
        keep &= tables["differences"][name] == value
    [found] = tables["differences"][keep].to_dict("records")
    a, b = rows["cross"], rows["encoder"]
    assert found["value"] == pytest.approx(a["value"] - b["value"])
    up = np.sqrt((a["ci_high"] - a["value"]) ** 2 + (b["value"] - b["ci_low"]) ** 2)
    assert found["ci_high"] == pytest.approx(found["value"] + up)
    assert not tables["differences"]["condition"].str.contains(" - ").any()


def test_a_capture_of_one_site_says_what_to_do(stores, tmp_path):
    _, found = stores
    with pytest.raises(TableError, match="captured at one site only"):
        cross_attention.find_sites(replace(found["encoder"], folder=tmp_path / "capture"))


def test_inputs_name_every_capture(stores):
    _, found = stores
    inputs = cross_attention.describe_inputs(found["encoder"], "hash", SETTINGS)
    assert inputs["captures"] == {site: s.identity_hash for site, s in found.items()}


def test_the_figure_shows_every_site_and_null(tables):
    figure = draw_sites(tables["summary"])
    assert len(figure.axes) == 3
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert [label.split()[0] for label in labels] == ["encoder", "decoder", "cross-"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["trained heads", "mismatched heads", "random heads", "random slice of x"]


def test_words_that_no_font_can_write():
    assert can_draw("naïve œuvre")
    assert not can_draw(chr(0x10FFFD))
    assert spell("fox") == "fox"
    assert spell(chr(0x10FFFD)) == "U+10FFFD"
