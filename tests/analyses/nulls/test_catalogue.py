"""A measure or a null that is new to the catalogue arrives everywhere; nothing else is touched."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from matplotlib.text import Text

from analyses.divergence import QUESTION as DIVERGENCE
from analyses.divergence import DivergenceSettings
from analyses.nulls import QUESTION as NULLS
from analyses.nulls import NullSettings
from analyses.shared.given import Given
from probes.errors import UsageError
from probes.similarity.catalogue import (
    find_condition,
    find_label,
    find_measure,
    list_conditions,
    list_measures,
    register_condition,
    register_measure,
    sort_conditions,
    sort_measures,
    unregister_condition,
    unregister_measure,
)
from probes.similarity.condition import Condition
from probes.similarity.measure import Measure, Takes, Transformation, always
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model


def measure_product(keys, values, *, weights=None):
    """The weighted mean product of standardised s_K and s_V: their correlation."""
    if weights is None:
        return measure_product(keys, values, weights=torch.ones(1, keys.shape[-1]))[0]
    share = (weights / weights.sum(1, keepdim=True)).double()
    share = share.reshape(len(share), *(1,) * (keys.ndim - 1), -1)

    def standardise(side):
        gap = side.double() - (side * share).sum(-1, keepdim=True)
        return gap / (gap.square() * share).sum(-1, keepdim=True).sqrt()

    return (standardise(keys) * standardise(values) * share).sum(-1)


TOY_MEASURE = Measure(
    name="toy_correlation",
    label="toy correlation",
    symbol="toy r",
    unit="correlation",
    direction=1,
    heading="Toy correlation",
    meaning="Whether s_K and s_V go together.",
    function=measure_product,
    takes=Takes.PAIR_SIMILARITIES,
    unchanged_by=frozenset({Transformation.REORDERED, Transformation.SWAPPED}),
    identical=1.0,
    independent=always(0.0),
    source="this test",
    pair_weights=True,
)


def reverse_heads(given):
    keys, values = given.trained
    yield keys, values.roll(-1)


TOY_NULL = Condition(
    "toy_heads",
    "toy heads",
    "#000000",
    "*",
    keeps="all heads",
    breaks="their order",
    meaning="The values of the next head.",
    sides=reverse_heads,
)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    model = tiny_model("llama", seed=2)
    return Given(store=capture_tiny(model, tmp_path_factory.mktemp("capture")))


@pytest.fixture(scope="module")
def registered(given):
    before = NULLS.identify(given, NullSettings()), DIVERGENCE.identify(given, DivergenceSettings())
    register_measure(TOY_MEASURE)
    register_condition(TOY_NULL)
    yield before
    unregister_measure(TOY_MEASURE.name)
    unregister_condition(TOY_NULL.name)


def answer(question, given, settings):
    tables = question.compute(given, settings)
    return tables, question.describe(tables, asdict(settings)), question.draw(tables)


@pytest.fixture(scope="module")
def nulls(given, registered):
    return answer(NULLS, given, NullSettings(permutations=10, neighbour_words=30))


@pytest.fixture(scope="module")
def headline(given, registered):
    return answer(DIVERGENCE, given, DivergenceSettings(resamples=10, random_pairs=60, bins=4))


def words(figures):
    """Every visible word of some figures, panel titles on one line."""
    texts = [text for figure in figures.values() for text in figure.findobj(Text)]
    return " | ".join(text.get_text().replace("\n", " ") for text in texts if text.get_visible())


def test_both_stand_in_the_tables_of_the_nulls(nulls):
    summary, heads = nulls[0]["summary"], nulls[0]["heads"]
    for table in (summary, heads):
        of_measure = table[table["measure"] == "toy_correlation"]
        assert {"shuffled_words", "mismatched_heads", "toy_heads"} <= set(of_measure["condition"])
        of_null = table[table["condition"] == "toy_heads"]
        assert {"toy_correlation", "tieability", "debiased_cka"} <= set(of_null["measure"])
    # Of two heads, the next one is the mismatched one.
    place = ["measure", "null_mean"]
    toy, known = (
        summary[summary["condition"] == name][place].reset_index(drop=True)
        for name in ("toy_heads", "mismatched_heads")
    )
    assert toy.equals(known)
    # However its words are dealt, the observed figure is the measure's own.
    own = summary[summary["measure"] == "toy_correlation"]["value"]
    assert own.max() - own.min() < 1e-4


def test_both_stand_in_the_section_of_the_nulls(nulls):
    _, section, _ = nulls
    assert any(sentence.startswith("Against toy heads, ") for sentence in section.answer)
    names = [row[0] for table in section.tables for row in table.rows]
    assert "toy r" in names
    assert "toy heads" in names
    assert any("toy heads" in table.columns for table in section.tables)


def test_both_stand_in_the_figures_of_the_nulls(nulls):
    _, _, figures = nulls
    assert "toy r" in words(figures)
    assert "toy heads" in words(figures)


def test_the_measure_stands_in_the_tables_of_the_headline(headline):
    tables, _, _ = headline
    for name in ("summary", "heads"):
        own = tables[name][tables[name]["measure"] == "toy_correlation"]
        assert set(own["population"]) == {"word pairs", "random pairs"}
        resampled = own[own["space"] == "functional"]
        assert (resampled["ci_low"] < resampled["ci_high"]).all()
    summary = tables["summary"].query("space == 'functional' and population == 'word pairs'")
    values = summary[summary["measure"] == "toy_correlation"].set_index("condition")["value"]
    assert {"trained", "mismatched_heads", "random_heads", "trained - random_heads"} <= set(
        values.index
    )
    pairs = tables["pair_heads"].groupby(["layer", "kv_head"])
    by_hand = [group["s_k"].corr(group["s_v"]) for _, group in pairs]
    assert values["trained"] == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-5)


def test_the_measure_stands_in_the_section_of_the_headline(headline):
    _, section, _ = headline
    assert "toy r" in [row[1] for row in section.tables[0].rows]


def test_the_measure_stands_in_the_figures_of_the_headline(headline):
    _, _, figures = headline
    assert "toy r" in words(figures)


def test_tables_of_another_catalogue_are_not_reused(given, registered):
    assert NULLS.identify(given, NullSettings()) != registered[0]
    assert DIVERGENCE.identify(given, DivergenceSettings()) != registered[1]


@pytest.mark.parametrize(
    ("find", "name", "nearest"),
    [
        (find_measure, "tieabilty", "tieability"),
        (find_condition, "missmatched_heads", "mismatched_heads"),
        (lambda name: sort_measures([name]), "debiased_cca", "debiased_cka"),
        (lambda name: sort_conditions([name]), "random_head", "random_heads"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(find, name, nearest):
    with pytest.raises(UsageError, match=f"no .* {name!r}. Did you mean {nearest!r}"):
        find(name)


def test_a_name_is_taken_once():
    with pytest.raises(UsageError, match="'tieability' already"):
        register_measure(find_measure("tieability"))


def test_everything_has_a_label_of_its_own():
    conditions = list_conditions()
    for texts in (
        [condition.label for condition in conditions],
        [condition.colour for condition in conditions],
        [condition.marker for condition in conditions],
        [find_label(measure.name) for measure in list_measures()],
    ):
        assert len(set(texts)) == len(texts)
    assert find_label("excess_tieability_vs_random_slice") == (
        "excess tieability over random slice of x"
    )
    assert find_label("key_dimension") == "effective dimension of keys"
