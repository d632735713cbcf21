"""Coordinations, compounds and text of a tiny model, from capture to tables, figures and words."""

from __future__ import annotations

from itertools import combinations

import pandas as pd
import pytest

from analyses import find_question
from analyses.co_attended import CoAttendedSettings
from analyses.shared.given import Given
from analyses.shared.numbers import show
from probes.capture import capture
from probes.capture.plan_contexts import plan_coordination
from probes.similarity.catalogue import name_difference
from probes.words.coordination import load_coordinations
from probes.words.texts import Corpus, Document
from tests.capture.context_examples import make_model
from tests.tiny import tiny_model

QUESTION = find_question("co_attended")
HEADS = ("fox", "dog", "cat", "tree", "house")
MODIFIERS = ("black", "white", "small", "big", "red", "zest", "quiet", "late")
TEXT = "The dog saw a black fox and the cat ran, but the small house was red and the tree was big. "


def answer(model, folder, documents):
    """Answer the question for one model, with coordinations of `MODIFIERS`."""
    pairs = pd.DataFrame(
        [
            (f"p{n}", HEADS[n % len(HEADS)], *words)
            for n, words in enumerate(combinations(MODIFIERS, 2))
        ],
        columns=["pair_id", "head", "m1", "m2"],
    )
    causal = model.geometry.causal
    plan = plan_coordination(model.tokenizer, pairs, load_coordinations(count=2), causal=causal)
    store = capture(model, plan, folder)
    given = Given(contexts=store, model=model, corpus=Corpus(documents[:2], documents[2:]))
    settings = CoAttendedSettings(documents=4, length=48)
    return QUESTION.compute(given, settings), given, settings


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    documents = tuple(Document(f"d{n}", TEXT * (2 + n)) for n in range(4))
    return answer(tiny_model("llama", n_layers=2), tmp_path_factory.mktemp("store"), documents)


def test_every_source_gives_four_answers(tables):
    answers = tables[0]["answers"]
    assert set(answers["source"]) == {"coordination", "running text", "content words"}
    assert (answers.groupby("source").size() == 4).all()
    used = answers[answers["name"] == "difference used"]
    assert (used["verdict"] == "undetermined").all()  # no swaps were given
    few = answers[answers["source"] == "coordination"]
    assert set(few["verdict"]) == {"undetermined"}  # 28 pairs are too few
    assert few["reason"].str.contains("28 distinct pairs of words").sum() == 3


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
    assert section.verdict.startswith(
        "It is undetermined whether two words that one query attends to have similar keys: there "
        "are 28 distinct pairs of words, and 50 are needed. It is undetermined whether"
    )
    assert "uses the difference: it was not measured. " in section.verdict
    assert section.answer[0].startswith("Coordination: ")
    assert [row[0] for row in section.tables[0].rows] == list(found["counts"]["source"])
    assert set(section.captions) == {"answers", "heads"}


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_models_that_see_both_ways_answer_at_their_encoder(name, tmp_path):
    documents = tuple(Document(f"d{n}", TEXT * 2) for n in range(2))
    found, given, settings = answer(make_model(name), tmp_path, documents)
    assert given.contexts.manifest["geometry"]["site"] == "encoder"
    assert set(found["counts"]["source"]) == {"coordination", "running text", "content words"}
    percentiles = found["summary"].query("measure == 'value_percentile' and weighting == 'plain'")
    assert set(percentiles["condition"]) > {"trained", "matched_pairs", "random_heads"}
    assert percentiles["value"].notna().all()
    left_out = list(found["left_out"]["source"])
    assert left_out == (["the decoder"] if name == "t5" else [])
    caveats = QUESTION.describe(found, vars(settings)).caveats
    assert len([c for c in caveats if "Left out: the decoder. Reason: it" in c]) == len(left_out)


def test_a_text_in_another_script_is_left_out(tmp_path):
    documents = tuple(Document(f"d{n}", "那只狗看见了一只黑色的狐狸。" * 9) for n in range(2))
    found, _, settings = answer(tiny_model(n_layers=2), tmp_path, documents)
    assert list(found["counts"]["source"]) == ["coordination"]
    assert found["left_out"]["reason"].str.contains("in another script").all()
    section = QUESTION.describe(found, vars(settings))
    assert any("Left out: running text. Reason: the text is in" in c for c in section.caveats)


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (
            "yes",
            "Two words that one query attends to have similar keys. Their values are less alike "
            "than their keys. Their values are dissimilar. The model uses the difference: swapped",
        ),
        (
            "no",
            "Two words that one query attends to do not have similar keys. Their values are as "
            "alike as their keys, or more. Their values are not dissimilar. The model does not "
            "use the difference: swapped",
        ),
    ],
)
def test_the_verdict_is_a_sentence_for_each_answer(tables, verdict, told):
    found, _, settings = tables
    answers, summary = found["answers"].assign(verdict=verdict), found["summary"].copy()
    of_values = summary["measure"] == "value_percentile"
    summary.loc[of_values, "value"] = 48.0
    changed = {**found, "answers": answers, "summary": summary}
    assert QUESTION.describe(changed, vars(settings)).verdict.startswith(told)
    summary.loc[of_values, "value"] = 61.0
    told_of_share = QUESTION.describe(changed, vars(settings)).verdict
    assert ("on average their values are no less alike" in told_of_share) == (verdict == "yes")
    assert ("percentile 61.0" in told_of_share) == (verdict == "yes")


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((2.0, 1.0, 3.0), "Training makes keys more alike than random heads on the same input: by"),
        ((0.5, -1.0, 2.0), "Random heads on the same input may have keys as alike: trained less"),
        ((-2.0, -3.0, -1.0), "Random heads on the same input have keys more alike: trained less"),
    ],
)
def test_the_mechanical_part_is_told_beside_the_answers(tables, ends, told):
    found, _, settings = tables
    summary = found["summary"].copy()
    beyond = summary["condition"] == name_difference("random_heads")
    summary.loc[beyond, ["value", "ci_low", "ci_high"]] = ends
    verdict = QUESTION.describe({**found, "summary": summary}, vars(settings)).verdict
    assert told in verdict
    assert show(ends[0], 1) in verdict.split(told)[1]


def test_heads_are_corrected_by_max_t(tables):
    heads = tables[0]["heads"]
    assert ((heads["p_max_t"] + 1e-2 >= heads["p"]) & (heads["p_max_t"] <= 1)).all()
    some = heads[heads["p"].between(0.01, 0.3)]
    assert len(some) > 2
    assert (some["p_max_t"] > 1.5 * some["p"]).all()  # one of several heads
    told = QUESTION.describe(tables[0], vars(tables[2])).answer[-1]
    assert "max-T" in told
    assert "by the false discovery rate" in told
