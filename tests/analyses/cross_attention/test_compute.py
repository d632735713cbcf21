"""The comparison of an encoder-decoder's sites, on a tiny translator."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd
import pytest
import torch

from analyses.cross_attention import QUESTION, CrossSettings
from analyses.cross_attention.figures import draw_sites
from analyses.cross_attention.tables import keep_space, tabulate_differences
from analyses.divergence.compute import compute, measure
from analyses.shared.given import Given
from analyses.shared.style import can_draw, spell
from probes.capture import capture, plan_translation, translate
from probes.capture.run import CaptureSettings
from probes.similarity import representational_similarity
from probes.similarity.catalogue import find_measure, list_pair_measures
from probes.stats import SharedResamples, interval
from probes.words import load_pairs
from tests.capture.test_translation import tiny_translator

SETTINGS = CrossSettings(resamples=20, random_pairs=100, bins=5)
TEMPLATES = pd.DataFrame([("t0", "The {modifier} {head} ran.")], columns=["template_id", "text"])


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    model = tiny_translator()
    pairs = load_pairs(limit=30)
    folder = tmp_path_factory.mktemp("sites")
    plans = plan_translation(
        model, pairs, TEMPLATES, translate=lambda s: translate(model, s, longest=6)
    )
    settings = CaptureSettings(query_sample=60)
    return {
        site: capture(model, plans[site], folder / site, settings=settings)
        for site in ("encoder", "decoder", "cross")
    }


@pytest.fixture(scope="module")
def tables(stores):
    return QUESTION.compute(Given(store=stores["encoder"], sites=stores), SETTINGS)


def test_each_site_has_the_figures_of_its_own_capture(stores, tables):
    for site, store in stores.items():
        alone = compute(Given(store=store), SETTINGS)["summary"]
        mine = tables["summary"][tables["summary"]["site"] == site]
        mine = mine.drop(columns="site").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone.reset_index(drop=True))
    assert tables["summary"]["site"].unique().tolist() == ["encoder", "decoder", "cross"]
    assert len(tables["translations"]) == len(stores["cross"].table("queries"))


def test_differences_are_those_of_the_summaries(tables):
    summary = tables["summary"][tables["summary"]["space"] == "functional"]
    keys = ["population", "measure", "condition"]
    values = summary.set_index(["site", *keys])["value"]
    for row in tables["differences"].to_dict("records"):
        place = tuple(row[key] for key in keys)
        expected = values[row["site"], *place] - values["encoder", *place]
        assert row["value"] == pytest.approx(expected)
        assert row["ci_low"] < row["ci_high"]
    found = tables["differences"].groupby("site")["measure"].agg(set)
    everything = {own.name for own in list_pair_measures()} | {"tieability"}
    assert found.to_dict() == {"decoder": everything, "cross": everything}
    assert not tables["differences"]["condition"].str.contains(" - ").any()


def test_intervals_of_differences_resample_the_same_words(stores):
    captures = {site: measure(stores[site], SETTINGS) for site in ("encoder", "cross")}
    arguments = {"base": "encoder", "measures": list_pair_measures(), "seed": 3}
    table = tabulate_differences(captures, resamples=30, **arguments)
    # By hand: name the pairs, count their words, measure every site with these weights.
    names, words = {}, set()
    for site, measured in captures.items():
        words |= set(measured.words)
        names[site] = [
            [
                (measured.words[a], measured.words[b])
                for a, b in zip(p.left_word.tolist(), p.right_word.tolist(), strict=True)
            ]
            for p in measured.populations.values()
        ]
    every = [pair for lists in names.values() for part in lists for pair in part]
    shared = SharedResamples.draw(every, words=words, resamples=30, seed=3)
    means, tied = {}, {}
    for site, measured in captures.items():
        population, _, comparisons = next(measured.comparisons())
        assert population == "word pairs"
        trained = comparisons["functional", "trained"]
        bootstrap = shared.bootstrap(*zip(*names[site][0], strict=True))
        estimate = bootstrap.estimate(representational_similarity, trained.d_k, trained.d_v)
        means[site] = estimate.map(lambda t: t.mean((-1, -2)))
        results = measured.measured.tied["trained"]
        numbers = results[0].words.tolist()
        counts = torch.stack(
            [shared.word_counts[:, shared.words[measured.words[n]]] for n in numbers], dim=1
        ).double()
        shares = [1 - (counts @ r.word_error.T) / (counts @ r.word_total.T) for r in results]
        tied[site] = torch.stack(shares).mean((0, 2))
    expected = {
        "representational_similarity": (means["cross"] - means["encoder"]).interval(),
        "tieability": interval(tied["cross"] - tied["encoder"]),
    }
    for name, (low, high) in expected.items():
        keep = (table["measure"] == name) & (table["condition"] == "trained")
        row = table[keep & (table["population"] != "random pairs")].iloc[0]
        assert row["ci_low"] == pytest.approx(float(low), abs=1e-4)
        assert row["ci_high"] == pytest.approx(float(high), abs=1e-4)


def test_a_site_does_not_differ_from_itself(stores):
    kept = keep_space(measure(stores["encoder"], SETTINGS), "functional")
    assert {space for space, _ in kept.measured.pairs} == {"functional"}
    table = tabulate_differences(
        {"encoder": kept, "again": kept},
        base="encoder",
        measures=[find_measure("dissociation_ratio_5%")],
        resamples=4,
        seed=0,
    )
    assert set(table["measure"]) == {"dissociation_ratio_5%", "tieability"}
    assert table[["value", "ci_low", "ci_high"]].abs().to_numpy().max() == 0


def test_inputs_name_every_capture(stores):
    given = Given(store=stores["encoder"], sites=stores)
    inputs = QUESTION.identify(given, SETTINGS)
    assert inputs["sites"] == {site: store.identity_hash for site, store in stores.items()}
    assert inputs["measures"] == [own.name for own in list_pair_measures()]


def test_the_section_shows_every_site_and_null(tables):
    section = QUESTION.describe(tables, asdict(SETTINGS))
    sites, translations = section.tables
    assert [row[0] for row in sites.rows if row[0]] == [
        "DR(5 %)",
        "representational similarity",
        "tieability R²",
    ]
    assert [row[1] for row in sites.rows[:3]] == [
        "encoder, self",
        "decoder, self",
        "cross-attention",
    ]
    assert sites.columns[2:6] == (
        "trained heads",
        "mismatched heads",
        "random heads",
        "random slice of x",
    )
    tied = sites.rows[6]
    assert None not in tied[2:6]
    assert tied[6] is None  # the encoder is what the others are compared with
    assert sites.rows[7][6] is not None
    assert len(translations.rows) == 12
    assert "20 resamples" in section.captions["sites"][0]


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
