"""The answer's numbers are the table's, its words follow their signs and intervals."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from analyses.divergence import QUESTION, DivergenceSettings
from analyses.divergence.answers import answer, judge, verdict, warn
from analyses.divergence.relatedness import find_kinds
from analyses.shared.numbers import Quantity, show
from analyses.shared.section import Shown
from probes.similarity.catalogue import find_measure, list_pair_measures
from tests.analyses.tables import drop_figures, make_tables, set_figure

RATIO = {"space": "functional", "measure": "dissociation_ratio_5%"}
MINUS = "\N{MINUS SIGN}"
WORDS = {"population": "word pairs", **RATIO}
TIED = {"population": "occurrences", "space": "functional"}


@pytest.fixture
def summary():
    return make_tables()["summary"]


def test_first_sentence_halves_the_ratio(summary):
    summary = set_figure(summary, 0.236, 0.201, 0.274, condition="trained", **WORDS)
    first = answer(summary, {})[0]
    assert "11.8 % have values less similar" in first
    assert "DR = 0.24, 95 % interval 0.20 to 0.27" in first
    assert "random pairs of the same words, 20.0 % (DR = 0.40, 0.37 to 0.43)" in first


@pytest.mark.parametrize(
    ("value", "reach", "words"),
    [
        (-0.05, 0.02, "less than in"),
        (0.05, 0.02, "more than in"),
        (0.001, 0.06, "not distinguishably different from"),
        (0.001, 0.04, "the same, within 0.05, as in"),
    ],
)
@pytest.mark.parametrize("null", ["mismatched_heads", "random_heads"])
def test_second_sentence_follows_the_interval_of_the_difference(summary, null, value, reach, words):
    for other in {"mismatched_heads", "random_heads"} - {null}:
        summary = drop_figures(summary, condition=f"trained - {other}", **WORDS)
    summary = set_figure(
        summary, value, value - reach, value + reach, condition=f"trained - {null}", **WORDS
    )
    second = answer(summary, {})[1]
    name = null.replace("_", " ")
    assert f"{words} {name}" in second
    assert f"trained minus {name} = {show(value, 3)}, {show(value - reach, 3)} to" in second
    others = {"less than in", "more than in", "not distinguishably", "the same, within"}
    others = {other for other in others if other not in words}
    assert not any(other in second for other in others)
    assert "could not be formed" in second


def test_second_sentence_when_an_interval_touches_zero(summary):
    summary = set_figure(summary, -0.03, -0.06, 0.0, condition="trained - random_heads", **WORDS)
    assert "not distinguishably different from random heads" in answer(summary, {})[1]


@pytest.mark.parametrize(
    ("mismatched", "sliced", "meaning"),
    [
        (0.1, 0.2, "share more than these nulls do"),
        (-0.1, -0.2, "further apart than these nulls put them"),
        (0.1, -0.2, None),
        (0.1, 0.0, None),
    ],
)
def test_third_sentence_follows_the_excess(summary, mismatched, sliced, meaning):
    words = {1: "more than", -1: "less than", 0: "not distinguishably different from"}
    names = {
        "mismatched_heads": "the keys of another head",
        "random_slice": "a random slice of the input",
    }
    for null, value in {"mismatched_heads": mismatched, "random_slice": sliced}.items():
        summary = set_figure(
            summary,
            value,
            value - 0.01,
            value + 0.01,
            measure=f"excess_tieability_vs_{null}",
            condition="trained",
            **TIED,
        )
    third = answer(summary, {})[2]
    assert "gives 50 % of the variance" in third
    assert "R² = 0.500, 0.488 to 0.512" in third
    for null, value in {"mismatched_heads": mismatched, "random_slice": sliced}.items():
        assert f"{words[int(np.sign(value))]} {names[null]}" in third
        assert (
            f"excess {show(value, 3)}, {show(value - 0.01, 3)} to {show(value + 0.01, 3)}" in third
        )
    assert (meaning in third) if meaning else ("nulls" not in third)


def test_every_number_of_the_answer_is_in_the_table(summary):
    rng = np.random.default_rng(1)
    summary["value"] = rng.uniform(0.26, 0.7, len(summary))
    summary["ci_low"], summary["ci_high"] = summary["value"] - 0.013, summary["value"] + 0.017
    numbers = summary[["value", "ci_low", "ci_high"]].to_numpy().flatten()
    known = {show(n, d) for n in numbers for d in (2, 3)} | {show(50 * n, 1) for n in numbers}
    known |= {show(100 * n, 0) for n in numbers} | {show(n, 1) for n in numbers}
    known |= {"5", "50", "95"}
    found = re.findall(MINUS + r"?\d+(?:\.\d+)?", " ".join((*answer(summary, {}), *warn(summary))))
    assert len(found) > 15
    assert set(found) <= known


def test_caveat_of_the_common_vector(summary):
    def said(table):
        return [s for s in warn(table) if "raw cosine" in s]

    assert "averages 0.90 over random pairs of the words, and 0.01" in said(summary)[0]
    for space, value in (("raw", 0.4), ("centred", 0.2)):
        changed = summary
        for population in ("word pairs", "random pairs"):
            changed = set_figure(
                changed,
                value,
                population=population,
                space=space,
                measure="mean_key_cosine",
                condition="trained",
            )
        assert not said(changed)


def test_caveat_where_the_spaces_disagree(summary):
    centred = {"population": "word pairs", "space": "centred", "measure": WORDS["measure"]}
    assert not any("other way round" in s for s in warn(summary))
    turned = set_figure(summary, 0.01, condition="random_heads", **centred)
    said = [s for s in warn(turned) if "other way round" in s]
    assert len(said) == 1
    assert "DR is 0.100 in trained and 0.010 in random heads" in said[0]
    assert "against random heads that turns round" in verdict(turned, {})
    # With an interval in the centred space, that decides, and is told.
    place = {**centred, "condition": "trained - random_heads"}
    for low, high, expected in ((0.05, 0.13, True), (-0.01, 0.19, False), (-0.13, -0.05, False)):
        row = pd.DataFrame([{**place, "value": (low + high) / 2, "ci_low": low, "ci_high": high}])
        told = [s for s in warn(pd.concat([turned, row])) if "other way round" in s]
        assert bool(told) is expected
        if expected:
            assert "(trained minus random heads = 0.090, 0.050 to 0.130)" in told[0]
    # A difference that is none cannot turn round.
    none = set_figure(turned, -0.1, -0.3, 0.1, condition="trained - random_heads", **WORDS)
    assert not any("other way round" in s for s in warn(none))


def test_without_any_null(summary):
    kept = summary[summary["condition"] == "trained"]
    kept = kept[~kept["measure"].str.startswith("excess")]
    sentences = answer(kept, {})
    assert "No null is beside" in sentences[1]
    assert sentences[2].endswith("no null is beside it.")
    assert "there is no null" in verdict(kept, {})


def test_one_kv_head():
    summary = make_tables(n_kv_heads=1)["summary"]
    assert (
        "mismatched heads could not be formed (a layer has a single kv head)"
        in answer(summary, {})[1]
    )
    assert "another head" not in answer(summary, {})[2]
    assert "mismatched" not in verdict(summary, {})


def test_empty_summary_is_answered_as_not_measured(summary):
    first, second, third = answer(summary[:0], {})
    assert "not measured" in first
    assert "No null" in second
    assert "not measured" in third
    assert "undecided" in verdict(summary[:0], {})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.05, 0.2499, "not what this model does"),
        (0.05, 0.25, "at most partly supported"),
        (0.25, 0.7499, "partly supported"),
        (0.25, 0.75, "at least partly supported"),
        (0.74, 1.2, "at least partly supported"),
        (0.75, 1.1, "supported"),
        (1.2, 1.9, "supported"),
        (0.2, 0.8, "undecided"),
        (np.nan, np.nan, "undecided"),
    ],
)
def test_judge(low, high, expected):
    assert judge(Quantity((low + high) / 2, low, high)) == expected


def test_verdict_names_both_populations_only_where_they_differ(summary):
    assert verdict(summary, {}) == (
        "“Similar keys, dissimilar values” is not what this model does on these word pairs (and "
        "partly supported on random pairs of the same words); its heads dissociate keys from "
        "values less than mismatched heads and random heads (DR is an association of ranks; the "
        "table of pairs does not say which are related)."
    )
    same = set_figure(
        summary, 0.1, 0.05, 0.15, condition="trained", population="random pairs", **RATIO
    )
    assert "random pairs" not in verdict(same, {})
    split = set_figure(summary, 0.1, 0.05, 0.15, condition="trained - random_heads", **WORDS)
    assert "values more than random heads and less than mismatched heads" in verdict(split, {})


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    [
        (-0.004, 2, "0.00"),
        (-0.006, 2, f"{MINUS}0.01"),
        (0.5, 0, "0"),
        (-1.25, 1, f"{MINUS}1.2"),
        (3.0, 2, "3.00"),
    ],
)
def test_show(number, decimals, text):
    assert show(number, decimals) == text


def describe(**changes):
    tables = make_tables(**changes)
    return tables, QUESTION.describe(tables, asdict(DivergenceSettings()))


def test_the_section_judges_answers_and_warns():
    tables, section = describe()
    summary = tables["summary"]
    assert section.verdict == verdict(summary, find_kinds(tables))
    assert "“supported” if all of it is at 0.75 or above" in section.rule
    assert section.answer == answer(summary, find_kinds(tables))
    assert section.caveats[: len(warn(summary))] == tuple(warn(summary))
    assert set(section.captions) == {"headline", "curve", "maps", "spaces"}
    for caption, alternative in section.captions.values():
        assert "Mismatched heads:" in caption
        assert "1 for each trained head" in caption
        assert len(alternative) > 60
    assert "60 word pairs of 120 words" in section.captions["headline"][0]
    assert "6,000 random pairs" in section.captions["headline"][0]


def test_the_main_table_holds_every_measure_of_pairs_with_intervals():
    _, section = describe()
    table = section.tables[0]
    assert table.columns[2:5] == ("trained heads", "mismatched heads", "random heads")
    symbols = [measure.symbol for measure in list_pair_measures()]
    assert [row[1] for row in table.rows] == 2 * symbols
    assert [row[0] for row in table.rows if row[0]] == ["word pairs", "random pairs"]
    ratio = table.rows[symbols.index("DR(5 %)")]
    assert ratio[2] == Shown("0.10", "0.07 to 0.13")
    assert ratio[5] == Shown(f"{MINUS}0.050", f"{MINUS}0.067 to {MINUS}0.033", clear=True)
    assert "300 resamples" in table.note


def test_the_other_tables_hold_tieability_and_spaces():
    _, section = describe()
    tied, spaces = section.tables[1:3]
    assert [row[0] for row in tied.rows] == [
        "trained heads",
        "mismatched heads",
        "random heads",
        "random slice of x",
    ]
    assert tied.rows[0][1:] == (Shown("0.500", "0.488 to 0.512"), None)
    assert tied.rows[1][2] == Shown("0.138", "0.125 to 0.151", clear=True)
    assert spaces.columns == ("measure", "of", "heads", "raw", "centred", "functional")
    place = "effective dimension of keys", "occurrences", "trained heads"
    [dimension] = [row[3:] for row in spaces.rows if row[:3] == place]
    assert dimension == (Shown("30.3"), Shown("30.3"), Shown("4.7"))
    share = "share of a key that all keys have in common"
    [common] = [row[3:] for row in spaces.rows if row[0] == share]
    assert common == (Shown("0.88"), None, None)


def test_the_pairs_at_both_ends_are_listed_in_order():
    tables, section = describe()
    pairs = tables["pairs"]
    for table, rows in zip(
        section.tables[3:],
        (pairs.nlargest(15, "dissociation"), pairs.nsmallest(15, "dissociation")),
        strict=True,
    ):
        assert [row[1] for row in table.rows] == list(rows["m1"] + " / " + rows["m2"])
        assert table.rows[0][-1] == Shown(show(rows["dissociation"].iloc[0], 1))
        assert "words are" in table.columns
    _, without = describe(relatedness=False)
    assert "words are" not in without.tables[3].columns


def test_it_warns_that_random_heads_differ_by_space(summary):
    [said] = [text for text in warn(summary) if "not the same null in every space" in text]
    assert "an effective 4.7 directions, against 30.3 in the centred space" in said
    missing = drop_figures(summary, measure="key_dimension", condition="random_heads")
    assert not any("not the same null" in text for text in warn(missing))


def test_the_ratio_never_stands_without_that_of_each_kind_of_pairs():
    tables, section = describe()
    kinds = tables["kinds"]
    assert list(kinds["value"]) == [0.11, 0.31, 0.44]
    told = (
        "DR is an association of ranks; DR(5 %) within related pairs 0.11 (0.06 to 0.16), mid "
        "pairs 0.31 (0.26 to 0.36) and unrelated pairs 0.44 (0.39 to 0.49)"
    )
    assert told in section.verdict
    assert told in section.answer[0]
    assert told in section.captions["headline"][1]
    assert "association of ranks" in section.rule
    assert "association of ranks" in find_measure("dissociation_ratio_5%").meaning


def test_one_kv_head_and_one_population():
    _, section = describe(n_kv_heads=1, populations=("word pairs",))
    assert "mismatched heads" not in section.tables[0].columns
    assert {row[0] for row in section.tables[0].rows} == {"word pairs", ""}
    assert "none here: a layer has one kv head" in section.captions["maps"][0]
