"""Planted relations come out where they were put, and figures are those of scipy and of loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import percentileofscore

from analyses.relations import QUESTION, RelationsSettings
from analyses.relations.ranked import RankedPairs, SideBootstrap
from analyses.relations.related import NEAR_LENGTH, choose_controls, find_relations
from analyses.relations.tables import list_relations, tabulate_relation_heads
from analyses.shared.given import Given
from analyses.shared.tables import select
from analyses.shared.word_pairs import Similarities, percentile_among
from probes.errors import TableError
from probes.similarity.spaces import read_heads, read_metrics
from tests.analyses.related_words import (
    N_PAIRS,
    RELATIONS,
    make_compounds,
    make_relations,
    spell,
    write_compounds,
    write_words,
)
from tests.analyses.stores import N_KV_HEADS, N_LAYERS

SETTINGS = RelationsSettings(resamples=60, references=400, seed=3)


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("relations")
    store = write_compounds(folder, make_compounds())
    words = write_words(folder, make_relations(), identity_metrics=False)
    return Given(store=store, words={"relations": words})


@pytest.fixture(scope="module")
def tables(captured):
    return QUESTION.compute(captured, SETTINGS)


def test_the_relation_with_alike_keys_and_unlike_values_comes_first(tables):
    ranking = tables["ranking"].set_index("relation")
    assert ranking.index[0] == "alike keys"
    assert ranking.index[-1] == "alike values"
    assert ranking.loc["alike keys", "rank_low"] == 1
    assert ranking.loc["alike keys", "share_first"] > 0.9
    assert ranking.loc["alike keys", "ci_low"] > 10
    assert ranking.loc["alike values", "ci_high"] < -10
    for name in ("alike both", "alike nothing", "shared head"):
        assert ranking.loc[name, "ci_low"] < 3, name
        assert ranking.loc[name, "ci_high"] > -3, name
        assert 2 <= ranking.loc[name, "rank"] <= 4
    assert ranking["rank"].tolist() == [1, 2, 3, 4, 5]
    assert ranking.loc["alike keys", "p_max_t"] == pytest.approx(1 / 61)
    assert (ranking["pairs"] == [N_PAIRS, *ranking["pairs"][1:]]).all()


def test_random_heads_do_not_see_what_was_planted_in_keys_and_values(tables):
    rows = select(
        tables["summary"],
        condition="random_heads",
        measure="dissociation",
        space="functional",
        of="related - control",
    )
    assert (rows["value"].abs() < 6).all()
    gap = select(
        tables["summary"],
        condition="trained - random_heads",
        relation="alike keys",
        measure="dissociation",
        space="functional",
        of="related - control",
    )
    assert float(gap["ci_low"].iloc[0]) > 5


def test_only_the_heads_with_the_plant_are_clear(tables):
    heads = select(tables["heads"], relation="alike keys").set_index(["layer", "kv_head"])
    assert len(heads) == N_LAYERS * N_KV_HEADS
    assert (heads.loc[0, "p_max_t"] < 0.05).all()
    assert (heads.loc[1, "p_max_t"] > 0.05).all()
    assert (heads.loc[0, "key_excess"] > 25).all()
    assert (heads.loc[0, "value_excess"].abs() < 15).all()
    gap = heads["key_excess"] - heads["value_excess"]
    np.testing.assert_allclose(gap, heads["value"], atol=1e-4)
    # The ranking is about means over heads.
    mean = float(select(tables["ranking"], relation="alike keys")["value"].iloc[0])
    assert heads["value"].mean() == pytest.approx(mean, abs=1e-4)


def cosine(a, b, metric):
    a, b = (metric @ v for v in (a, b))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_percentiles_are_those_of_scipy_on_similarities_of_a_loop(captured, tables):
    words = captured.words["relations"]
    found = find_relations(words, references=400, seed=3)
    templates = words.table("occurrences")["template_id"].to_numpy()
    reference, pos = found.references["v"], "v"
    row = int(np.flatnonzero((found.table["pos"] == pos).to_numpy())[7])
    percentiles: dict[str, list[float]] = {"k": [], "v": []}
    for layer, metrics in enumerate(read_metrics(words)):
        for kind, metric in (("k", metrics.key), ("v", metrics.value)):
            for head in range(N_KV_HEADS):
                vectors = read_heads(words, kind, layer)[head].double().numpy()
                for template in np.unique(templates):
                    mine = templates == template
                    vectors[mine] -= vectors[mine].mean(0)
                eigenvalues, axes = np.linalg.eigh(metric[head].numpy())
                root = axes * np.sqrt(eigenvalues.clip(0)) @ axes.T

                def similarity(left, right, vectors=vectors, root=root):
                    return np.mean(
                        [
                            cosine(vectors[a], vectors[b], root)
                            for a, b in zip(left, right, strict=True)
                        ]
                    )

                others = [
                    similarity(a, b)
                    for a, b in zip(reference.left.tolist(), reference.right.tolist(), strict=True)
                ]
                own = similarity(
                    found.related.left[row].tolist(), found.related.right[row].tolist()
                )
                percentiles[kind].append(percentileofscore(others, own, kind="mean"))
    table = tables["pairs"].iloc[row]
    assert (table["w1"], table["w2"]) == tuple(found.table.iloc[row][["w1", "w2"]])
    # One of 400 may change sides by rounding.
    assert table["key_percentile"] == pytest.approx(np.mean(percentiles["k"]), abs=0.06)
    assert table["value_percentile"] == pytest.approx(np.mean(percentiles["v"]), abs=0.06)
    assert table["dissociation"] == pytest.approx(
        table["key_percentile"] - table["value_percentile"], abs=1e-3
    )


def test_summary_contrasts_and_pairs_agree(tables):
    pairs, summary = tables["pairs"], tables["summary"]
    place = {"space": "functional", "condition": "trained", "measure": "dissociation"}
    for relation, rows in pairs.groupby("relation"):
        means = {
            "related": rows["dissociation"].mean(),
            "control": rows["control_dissociation"].mean(),
        }
        means["related - control"] = means["related"] - means["control"]
        for of, mean in means.items():
            [value] = select(summary, relation=relation, of=of, **place)["value"]
            assert value == pytest.approx(mean, abs=1e-3)
    ranking = tables["ranking"].set_index("relation")["value"]
    assert len(tables["contrasts"]) == 10
    for row in tables["contrasts"].itertuples():
        assert row.value == pytest.approx(ranking[row.relation] - ranking[row.minus])
        assert row.value >= 0


def test_controls_stand_where_random_pairs_stand(tables):
    for kind in ("key_percentile", "value_percentile"):
        rows = select(
            tables["summary"], condition="trained", measure=kind, of="control", space="functional"
        )
        assert rows["value"].between(45, 55).all()


def test_the_pattern_is_common_where_it_was_planted(tables):
    place = {"of": "related", "space": "functional"}
    share = select(tables["summary"], condition="trained", measure="pattern_share", **place)
    share = share.set_index("relation")["value"]
    # In layer 0 nearly half of the pairs with alike keys, in layer 1 a quarter.
    assert share["alike keys"] == pytest.approx(0.375, abs=0.06)
    assert share["alike nothing"] == pytest.approx(0.25, abs=0.06)
    assert share["alike values"] < 0.2
    ratio = select(
        tables["summary"], condition="trained", measure="reference_dissociation_ratio_10%", **place
    )
    ratio = ratio.set_index("relation")["value"]
    assert ratio["alike keys"] == pytest.approx(1, abs=0.2)
    assert ratio["alike both"] < 0.3
    mismatched = select(tables["summary"], condition="mismatched_heads", **place)
    assert set(mismatched["relation"]) == set(ratio.index)


def test_resamples_are_copies_of_the_words():
    table = pd.DataFrame(
        {"w1": ["a", "b", "c", "a"], "w2": ["d", "e", "f", "g"], "control": ["e", "d", "g", "f"]}
    )
    bootstrap = SideBootstrap.draw(table, resamples=50, seed=1)
    figure = torch.tensor([[1.0, 2.0, 5.0, 9.0], [0.0, 1.0, 0.0, 1.0]])
    bottom = torch.tensor([1.0, 0.0, 2.0, 1.0])
    for side in ("related", "control"):
        by_word, _ = bootstrap.weights[side]
        mean = bootstrap.estimate(side, slice(1, 4), figure)
        ratio = bootstrap.estimate(side, slice(0, 4), figure, bottom)
        assert mean.observed.tolist() == pytest.approx([16 / 3, 2 / 3])
        assert ratio.observed.tolist() == pytest.approx([17 / 4, 2 / 4])
        for resample in (0, 49):
            weight = by_word[resample].numpy()
            if weight[1:].sum():
                expected = np.average(figure[0, 1:], weights=weight[1:])
                assert float(mean.by_word[resample, 0]) == pytest.approx(expected, abs=1e-6)
            if (weight * bottom.numpy()).sum():
                expected = (weight * figure[1].numpy()).sum() / (weight * bottom.numpy()).sum()
                assert float(ratio.by_word[resample, 1]) == pytest.approx(expected, abs=1e-6)
    # A word has one count, wherever it is.
    related, control = (bootstrap.weights[side][0] for side in ("related", "control"))
    swapped = table["w2"].map(dict(zip(table["control"], range(4), strict=True)))
    assert not torch.equal(related, control)
    assert swapped.tolist() == [1, 0, 3, 2]


def test_controls_of_compounds_match_and_share_no_head():
    pairs = make_compounds()
    words = np.array(sorted(set(pairs["m1"]) | set(pairs["m2"])))
    chosen = choose_controls(pairs, words, seed=5)
    frequency, heads = {}, {}
    for pair in pairs.itertuples():
        for word, z in ((pair.m1, pair.z_m1), (pair.m2, pair.z_m2)):
            frequency[word] = z
            heads.setdefault(word, set()).add(pair.head)
    assert (chosen >= 0).mean() > 0.5
    taken = set()
    for place, pair in zip(chosen, pairs.itertuples(), strict=True):
        fits = [
            word
            for word in words
            if word not in (pair.m1, pair.m2)
            and abs(frequency[word] - frequency[pair.m2]) <= 0.1 + 1e-9
            and abs(len(word) - len(pair.m2)) <= NEAR_LENGTH
            and not heads[word] & heads[pair.m1]
        ]
        free = [word for word in fits if frozenset((pair.m1, word)) not in taken]
        assert words[place] in free if place >= 0 else not free
        taken.add(frozenset((pair.m1, words[place])) if place >= 0 else place)
    assert not np.array_equal(chosen, choose_controls(pairs, words, seed=6))


def test_random_pairs_are_of_two_different_words_of_one_part_of_speech(captured):
    found = find_relations(captured.words["relations"], references=400, seed=3)
    assert set(found.references) == {"n", "v"}
    occurrences = captured.words["relations"].table("occurrences")
    for kind, pairs in found.references.items():
        assert 390 < len(pairs) <= 400  # a pair that is drawn again counts once
        assert (pairs.left_word != pairs.right_word).all()
        for rows, names in ((pairs.left, pairs.left_name), (pairs.right, pairs.right_name)):
            assert rows.shape == (len(pairs), 2)
            for place, column in enumerate(rows.T.tolist()):
                here = occurrences.iloc[column]
                assert here["word"].tolist() == names.tolist()
                assert set(here["template_id"]) == {f"{kind}{place}"}


def test_where_nothing_was_planted_one_head_in_twenty_is_below_a_twentieth():
    random = np.random.default_rng(0)
    words = np.array([spell(n) for n in range(300)], dtype=object)
    one = random.integers(300, size=2000)
    reference = one, (one + random.integers(1, 300, size=2000)) % 300
    w1 = random.integers(300, size=200)
    w2, control = (w1 + random.integers(1, 150, 200)) % 300, (w1 + 150) % 300
    vectors = torch.tensor(random.normal(size=(2, 400, 300, 8)))  # [kind, head, word, d]
    unit = vectors / vectors.norm(dim=-1, keepdim=True)

    def rank(kind, left, right):
        others, own = (
            (unit[kind][:, a] * unit[kind][:, b]).sum(-1) for a, b in (reference, (left, right))
        )
        return percentile_among(others, own)[None]

    ranked = RankedPairs(
        *(Similarities(rank(0, w1, other), rank(1, w1, other)) for other in (w2, control))
    )
    table = pd.DataFrame(
        {"relation": "none", "w1": words[w1], "w2": words[w2], "control": words[control]}
    )
    bootstrap = SideBootstrap.draw(table, resamples=200, seed=0)
    places = {("functional", "trained"): ranked, ("functional", "random_heads"): ranked}
    heads = tabulate_relation_heads(table, places, bootstrap)
    assert len(heads) == 400
    assert 0.015 < (heads["p"] < 0.05).mean() < 0.075
    assert (heads["p_max_t"] > 0.05).all()


def test_losses_and_small_relations_are_counted(captured, tables, tmp_path):
    coverage = tables["coverage"].set_index("relation")
    assert coverage.loc[list(RELATIONS), "given"].tolist() == [N_PAIRS] * 4
    assert coverage.loc[list(RELATIONS), "compared"].tolist() == [N_PAIRS] * 4
    assert coverage.loc["shared head", "given"] == len(captured.store.table("pairs"))
    few = write_words(tmp_path, make_relations().groupby("relation", sort=False).head(29))
    with pytest.raises(TableError, match="no relation has 30 pairs"):
        QUESTION.compute(Given(store=captured.store, words={"relations": few}), SETTINGS)


def test_relatedness_splits_the_compounds(captured, tmp_path):
    pairs = make_compounds()
    told = pairs.assign(relatedness=np.where(np.arange(len(pairs)) % 3, "related", "mid"))
    given = Given(store=write_compounds(tmp_path, told), words=captured.words)
    ranking = QUESTION.compute(given, SETTINGS)["ranking"]
    names = {"shared head, related", "shared head, mid"}
    assert names & set(ranking["relation"])
    assert "shared head" not in set(ranking["relation"])


def test_without_a_capture_of_words_it_says_what_to_do(captured):
    with pytest.raises(TableError, match="kvprobes analyse relations"):
        QUESTION.compute(Given(store=captured.store), SETTINGS)


def test_inputs_name_both_captures(captured):
    inputs = QUESTION.identify(captured, SETTINGS)
    assert inputs["capture"] == captured.store.identity_hash
    assert inputs["words"] == {"relations": captured.words["relations"].identity_hash}


def test_the_same_inputs_give_the_same_tables(captured, tables):
    again = QUESTION.compute(captured, SETTINGS)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)


def test_relations_stand_together():
    table = pd.DataFrame({"relation": ["b", "b", "a", "c", "c"]})
    assert list_relations(table) == {"b": slice(0, 2), "a": slice(2, 3), "c": slice(3, 5)}


def test_figures_name_every_relation_in_its_rank(tables):
    figures = QUESTION.draw(tables)
    assert set(figures) == {"relations", "relation_heads"}
    labels = [text.get_text() for text in figures["relations"].axes[0].get_yticklabels()]
    ranking = tables["ranking"]
    assert [label.split(" (")[0] for label in labels] == list(ranking["relation"])
    assert [int(label.split(" (")[1][:-1]) for label in labels] == list(ranking["pairs"])
    legend = [text.get_text() for text in figures["relations"].legends[0].get_texts()]
    assert {"keys, related", "values, controls", "random heads", "mismatched heads"} <= set(legend)
    titles = [axes.get_title() for axes in figures["relation_heads"].axes if axes.get_title()]
    assert [title.split("\n")[0] for title in titles] == list(ranking["relation"])
