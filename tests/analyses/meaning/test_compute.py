"""Where values follow a score and keys do not, that comes out; correlations are those of scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from analyses.meaning import QUESTION, MeaningSettings
from analyses.meaning.scored import find_scored, read_frequencies
from analyses.shared.given import Given
from analyses.shared.tables import select
from probes.errors import TableError
from probes.similarity.spaces import read_heads
from probes.words import load_relations
from tests.analyses.related_words import (
    TEMPLATES,
    make_compounds,
    make_relations,
    spell,
    write_compounds,
    write_words,
)
from tests.analyses.stores import D_HEAD, D_VALUE, N_KV_HEADS, N_LAYERS, write_store

SETTINGS = MeaningSettings(resamples=40, seed=1)


def write_human(folder, n_pairs=45):
    """Keys that follow the score, values that do not; one word is scored but not captured."""
    random = np.random.default_rng(4)
    words = [spell(800 + n) for n in range(n_pairs + 1)]
    angle = random.uniform(0, np.pi, len(words))
    pairs = pd.DataFrame(
        {
            "pos": "n",
            "w1": words[:-1],
            "w2": words[1:],
            "score": 5 + 4 * np.cos(angle[:-1] - angle[1:]).round(1),
        }
    )
    pairs.loc[len(pairs)] = ["n", words[0], "missing", 3.0]
    rows = [(word, f"n{n}") for word in words for n in (0, 1)]
    keys = 0.05 * random.normal(size=(len(rows), N_LAYERS, N_KV_HEADS, D_HEAD))
    keys[..., 0] += np.cos(angle).repeat(2)[:, None, None]
    keys[..., 1] += np.sin(angle).repeat(2)[:, None, None]
    values = random.normal(size=(len(rows), N_LAYERS, N_KV_HEADS, D_VALUE))
    return write_store(
        folder / "capture-human-mine",
        pd.DataFrame(rows, columns=["word", "template_id"]),
        keys=keys,
        values=values,
        pairs=pairs,
        templates=TEMPLATES[TEMPLATES["pos"] == "n"],
    )


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meaning")
    return Given(
        store=write_compounds(folder, make_compounds()),
        words={"relations": write_words(folder, make_relations()), "mine": write_human(folder)},
    )


@pytest.fixture(scope="module")
def tables(captured):
    return QUESTION.compute(captured, SETTINGS)


def test_values_or_keys_are_closer_to_the_score_as_planted(tables):
    place = {"space": "functional", "condition": "trained", "part": "values - keys"}
    for measure in ("plain", "partial"):
        rows = select(tables["summary"], measure=measure, **place).set_index("dataset")
        assert rows.loc["compounds", "ci_low"] > 0.3
        assert rows.loc["mine", "ci_high"] < -0.3
    nouns = select(tables["summary"], measure="plain", dataset="related nouns", **place)
    assert nouns["score"].tolist() == ["wup", "path"]
    assert (nouns["ci_low"] < 0.1).all()
    assert (nouns["ci_high"] > -0.1).all()


def test_differences_are_of_the_parts(tables):
    for _, rows in tables["summary"].groupby(["dataset", "score", "space", "condition", "measure"]):
        parts = rows.set_index("part")["value"]
        assert parts["values - keys"] == pytest.approx(parts["values"] - parts["keys"])
    summary = select(tables["summary"], space="functional", part="values - keys", measure="plain")
    for _, rows in summary.groupby(["dataset", "score", "measure"]):
        figures = rows.set_index("condition")["value"]
        expected = figures["trained"] - figures["random_heads"]
        assert figures["trained - random_heads"] == pytest.approx(expected)


def test_correlations_are_those_of_scipy(captured, tables):
    [scored] = [
        found for found in find_scored(captured.store, captured.words) if found.dataset == "mine"
    ]
    templates = scored.store.table("occurrences")["template_id"].to_numpy()
    design = np.column_stack(
        [np.ones(len(scored.pairs)), *(rankdata(row) for row in scored.covariates.numpy())]
    )

    def residual(ranks):
        return ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]

    seen = 0
    for layer in range(N_LAYERS):
        for column, kind in (("keys", "k"), ("values", "v")):
            for head in range(N_KV_HEADS):
                vectors = read_heads(scored.store, kind, layer)[head].double().numpy()
                for template in np.unique(templates):
                    vectors[templates == template] -= vectors[templates == template].mean(0)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                left, right = (part.numpy() for part in (scored.pairs.left, scored.pairs.right))
                cosines = (vectors[left] * vectors[right]).sum(-1).mean(1)
                score = scored.pairs.table["score"]
                expected = {
                    "plain": spearmanr(cosines, score).statistic,
                    "partial": np.corrcoef(residual(rankdata(cosines)), residual(rankdata(score)))[
                        0, 1
                    ],
                }
                for measure, figure in expected.items():
                    row = select(
                        tables["heads"], dataset="mine", measure=measure, layer=layer, kv_head=head
                    )
                    assert float(row[column].iloc[0]) == pytest.approx(figure, abs=1e-4)
                    seen += 1
    assert seen == 24


def test_head_tables_hold_the_nulls(tables):
    rows = select(tables["heads"], dataset="compounds", measure="plain", layer=1)
    np.testing.assert_allclose(rows["value"], rows["values"] - rows["keys"], atol=1e-6)
    for place, row in enumerate(rows.itertuples()):
        others = rows["values"].drop(rows.index[place]).mean()
        assert row.mismatched_heads_mean == pytest.approx(others - row.keys, abs=1e-6)
    assert (rows["random_heads_mean"] == rows["random_heads_mean"].iloc[0]).all()
    assert (rows["p_max_t"] < 0.05).all()


def test_raw_space_has_intervals_and_centred_random_heads_none(tables):
    summary = tables["summary"]
    assert select(summary, space="raw", measure="plain")["ci_low"].notna().all()
    assert select(summary, space="raw", measure="partial")["ci_low"].isna().all()
    assert select(summary, space="centred", condition="random_heads")["ci_low"].isna().all()


def test_words_that_could_not_be_captured_are_named(tables):
    coverage = tables["coverage"].set_index("dataset")
    assert coverage.loc["mine", ["given", "compared", "missing"]].tolist() == [46, 45, "missing"]
    assert coverage.loc["compounds", "missing"] == ""
    assert coverage.index.tolist() == ["compounds", "related nouns", "mine"]


def test_covariates_are_sums_and_gaps_of_frequency_letters_and_pieces(captured):
    scored = find_scored(captured.store, captured.words)[-1]
    frequency = read_frequencies()
    relations = load_relations()
    word, z = relations.iloc[5][["w1", "zlm1"]]
    assert frequency[word] == pytest.approx(float(z))
    known, *columns = scored.covariates.numpy()
    assert (known == 0).all()  # no made-up word has a known frequency
    w1, w2 = scored.pairs.left_name, scored.pairs.right_name
    letters = [np.array([len(word) for word in side]) for side in (w1, w2)]
    np.testing.assert_array_equal(columns[2], letters[0] + letters[1])
    np.testing.assert_array_equal(columns[3], np.abs(letters[0] - letters[1]))
    pieces = [side % 2 + 1 for side in letters]
    np.testing.assert_array_equal(columns[4], pieces[0] + pieces[1])
    np.testing.assert_array_equal(columns[5], np.abs(pieces[0] - pieces[1]))
    assert (columns[0] == columns[0][0]).all()
    assert (columns[1] == 0).all()


def test_without_scores_it_says_what_to_do(captured, tmp_path):
    unscored = captured.store.table("pairs").drop(columns="glove_cos")
    words = write_words(tmp_path, make_relations().assign(wup=np.nan, path=np.nan))
    store = write_compounds(tmp_path, unscored, scored=False)
    with pytest.raises(TableError, match="no 30 captured pairs have a score"):
        QUESTION.compute(Given(store=store, words={"relations": words}), SETTINGS)


def test_inputs_name_every_capture_of_words_and_the_frequencies(captured):
    inputs = QUESTION.identify(captured, SETTINGS)
    assert list(inputs["words"]) == ["relations", "mine"]
    assert len(inputs["frequencies"]) == 64


def test_the_same_inputs_give_the_same_tables(captured, tables):
    again = QUESTION.compute(captured, SETTINGS)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)


def test_figures_name_every_score(tables):
    figures = QUESTION.draw(tables)
    assert set(figures) == {"meaning", "meaning_heads"}
    labels = [text.get_text() for text in figures["meaning"].axes[0].get_yticklabels()]
    assert labels == [
        "compounds (120):\nGloVe cosine",
        "related nouns (120):\nWu-Palmer",
        "related nouns (120):\npath",
        "mine (45):\nhuman scores",
    ]
    titles = [axes.get_title() for axes in figures["meaning_heads"].axes if axes.get_title()]
    assert len(titles) == 4
