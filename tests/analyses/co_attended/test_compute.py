"""Coordinations, compounds and text of a tiny model, from capture to tables, figures and words."""

from __future__ import annotations

from itertools import combinations

import pandas as pd
import pytest

from analyses import find_question
from analyses.co_attended import CoAttendedSettings
from analyses.co_attended.section import MAIN
from analyses.shared.given import Given
from probes.capture import capture
from probes.capture.plan_contexts import plan_coordination
from probes.words.coordination import load_coordinations
from probes.words.texts import Corpus, Document
from tests.tiny import tiny_model

QUESTION = find_question("co_attended")
HEADS = ("fox", "dog", "cat", "tree", "house")
MODIFIERS = ("black", "white", "small", "big", "red", "zest", "quiet", "late")
TEXT = "The dog saw a black fox and the cat ran, but the small house was red and the tree was big. "


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    model = tiny_model("llama", n_layers=2)
    pairs = pd.DataFrame(
        [
            (f"p{n}", HEADS[n % len(HEADS)], *words)
            for n, words in enumerate(combinations(MODIFIERS, 2))
        ],
        columns=["pair_id", "head", "m1", "m2"],
    )
    plan = plan_coordination(model.tokenizer, pairs, load_coordinations(count=2))
    store = capture(model, plan, tmp_path_factory.mktemp("store"))
    documents = tuple(Document(f"d{n}", TEXT * (2 + n)) for n in range(4))
    given = Given(contexts=store, model=model, corpus=Corpus(documents[:2], documents[2:]))
    settings = CoAttendedSettings(documents=4, length=48)
    return QUESTION.compute(given, settings), given, settings


def test_every_source_gives_four_answers(tables):
    answers = tables[0]["answers"]
    assert set(answers["source"]) == {"coordination", "running text", "content words"}
    assert (answers.groupby("source").size() == 4).all()
    used = answers[answers["name"] == "difference used"]
    assert (used["verdict"] == "undetermined").all()  # no swaps were given
    few = answers[answers["source"] == "coordination"]
    assert set(few["verdict"]) == {"undetermined"}  # 28 pairs are too few
    assert few["reason"].str.contains("distinct pairs").sum() == 3


def test_intervals_stay_in_the_possible_range_and_matched_pairs_stand_in_the_middle(tables):
    summary = tables[0]["summary"]
    percentiles = summary[summary["measure"].str.endswith("percentile")]
    plain = percentiles[~percentiles["condition"].str.contains(" - ")]
    assert plain["ci_low"].min() >= 0
    assert plain["ci_high"].max() <= 100
    assert (plain["ci_low"] <= plain["value"] + 1e-3).all()
    assert (plain["ci_high"] >= plain["value"] - 1e-3).all()
    matched = plain[plain["condition"] == "matched_pairs"]["value"]
    assert matched.sub(50).abs().max() < 1e-3


def test_the_same_inputs_give_the_same_numbers(tables):
    found, given, settings = tables
    again = QUESTION.compute(given, settings)
    for name, table in found.items():
        pd.testing.assert_frame_equal(table, again[name])


def test_figures_and_section_tell_every_source(tables):
    found, _, settings = tables
    assert set(QUESTION.draw(found)) == {"answers", "heads"}
    section = QUESTION.describe(found, vars(settings))
    assert "undetermined" in section.verdict
    assert MAIN in section.answer[0].lower()
    assert [row[0] for row in section.tables[0].rows] == list(found["counts"]["source"])
    assert set(section.captions) == {"answers", "heads"}


def test_heads_are_corrected_by_max_t(tables):
    heads = tables[0]["heads"]
    assert ((heads["p_max_t"] + 1e-2 >= heads["p"]) & (heads["p_max_t"] <= 1)).all()
    some = heads[heads["p"].between(0.01, 0.3)]
    assert len(some) > 2
    assert (some["p_max_t"] > 1.5 * some["p"]).all()  # one of several heads
    told = QUESTION.describe(tables[0], vars(tables[2])).answer[-1]
    assert "max-T" in told
    assert "by the false discovery rate" in told
