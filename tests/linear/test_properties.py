import numpy as np
import pandas as pd
import pytest
import torch

from probes.capture.located import LocatedPairs
from probes.errors import TableError, UsageError
from probes.linear.inputs import join_pairs, read_inputs, read_keys_and_values
from probes.linear.measure import Design, measure_heads
from probes.linear.pair_properties import label_pairs
from probes.linear.properties import label_occurrences, label_words
from probes.linear.shipped_properties import (
    label_identity,
    list_properties,
    list_word_properties,
)
from probes.similarity.spaces import read_metrics
from probes.words import load_lexicon
from tests.analyses.related_words import make_relations, write_words
from tests.analyses.stores import N_KV_HEADS, N_LAYERS, write_store
from tests.similarity.captures import capture_tiny
from tests.tiny import tiny_model


def make_occurrences(n_words=30, n_templates=2):
    words = [f"w{n:02d}" for n in range(n_words)]
    return pd.DataFrame(
        [(w, f"t{t}", 3 + t, None) for t in range(n_templates) for w in words],
        columns=["word", "template_id", "first_token", "head"],
    ).assign(occurrence=range(n_words * n_templates))


def test_lexicon_knows_the_words_of_the_pairs():
    lexicon = load_lexicon().set_index("word")
    assert lexicon.loc["dog", "pos"] == "n"
    assert lexicon.loc["dog", "noun_lexname"] == "noun.animal"
    assert lexicon.loc["social", "pos"] == "a"
    assert lexicon.index.is_unique
    assert lexicon["pos_share"].dropna().between(0, 1).all()


def test_rare_classes_are_left_out_and_labels_follow_the_rows():
    occurrences = make_occurrences()
    number = occurrences["word"].str[1:].astype(int)
    labels = number.map(lambda n: "rare" if n < 3 else "" if n == 9 else "ab"[n % 2])
    found = label_occurrences("x", occurrences, labels, min_words=5)
    assert found.classes == ("a", "b")
    assert len(found.labels) == 2 * (30 - 3 - 1)
    for row, label, group in zip(found.occurrences, found.labels, found.groups, strict=True):
        assert found.classes[label] == labels[int(row)]
        same = found.groups == group
        assert len(set(occurrences["word"][found.occurrences[same].numpy()])) == 1
    only = label_occurrences("x", occurrences, labels, min_words=1, max_classes=2)
    assert only.classes == ("a", "b")
    with pytest.raises(TableError, match="1 classes"):
        label_occurrences("x", occurrences, labels.where(labels == "a", ""), min_words=5)


def test_a_table_of_the_users():
    occurrences = make_occurrences()
    table = pd.DataFrame({"word": [f"w{n:02d}" for n in range(25)], "length": np.arange(25.0)})
    found = label_words("length", occurrences, table, "length")
    assert found.is_number
    assert len(found.labels) == 50
    with pytest.raises(TableError, match="two labels"):
        label_words("x", occurrences, pd.DataFrame({"word": ["a", "a"], "y": [1.0, 2.0]}), "y")
    with pytest.raises(TableError, match="lacks the column"):
        label_words("x", occurrences, table, "none")


def test_identity_is_tested_in_other_templates():
    found = label_identity(make_occurrences(n_templates=3), count=10)
    assert len(found.classes) == 10
    assert len(found.labels) == 30
    design = Design.of(found)
    assert design.splits[0].n_folds == 3
    assert found.splits_words
    assert design.controls is None
    assert design.penalties == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert len(Design.of(label_identity(make_occurrences())).penalties) == 1


def write_words_before_a_head(folder, occurrences, pairs):
    """A store whose words are before heads; what keys and values are does not matter."""
    none = np.zeros((len(occurrences), N_LAYERS, N_KV_HEADS, 1))
    templates = pd.DataFrame({"template_id": occurrences["template_id"].unique()})
    return write_store(
        folder, occurrences, keys=none, values=none, pairs=pairs, templates=templates
    )


def test_pairs_join_their_occurrences(tmp_path):
    words = make_occurrences()[["word", "template_id"]].assign(head="h")
    pairs = pd.DataFrame(
        [("h", f"w{a:02d}", f"w{(a * 7 + 3) % 30:02d}", "xy"[a % 2]) for a in range(30) if a != 27],
        columns=["head", "m1", "m2", "kind"],
    )
    pairs = pairs[pairs["m1"] != pairs["m2"]].reset_index(drop=True)
    store = write_words_before_a_head(tmp_path, words, pairs)
    occurrences = store.table("occurrences")
    located = LocatedPairs.of(store)
    found = label_pairs("kind", located, "kind", occurrences=occurrences, min_pairs=5)
    assert found.of_pairs
    assert len(found.labels) == 2 * len(pairs)
    for members, label, unit in zip(found.occurrences, found.labels, found.units, strict=True):
        pair = pairs.iloc[int(unit)]
        assert list(occurrences["word"][members.numpy()]) == [pair["m1"], pair["m2"]]
        assert found.classes[label] == pair["kind"]
    lost = pd.DataFrame(
        {"head": "h", "m1": "w00", "m2": [f"lost{n}" for n in range(9)], "kind": "z"}
    )
    more = LocatedPairs.of(store, pd.concat([pairs, lost], ignore_index=True))
    labelled = label_pairs("kind", more, "kind", occurrences=occurrences, min_pairs=5)
    assert labelled.classes == ("x", "y")  # pairs that were not captured make no class
    with pytest.raises(TableError, match="lacks the column"):
        label_pairs("x", located, "none", occurrences=occurrences)
    weights = Design.of(found, folds=3).weights(7)
    assert weights.shape == (7, len(pairs))
    x = torch.randn(2, 60, 4)
    joined = join_pairs(x, found.occurrences)
    assert joined.shape == (2, len(found.labels), 8)
    torch.testing.assert_close(joined, join_pairs(x, found.occurrences.flip(1)))


def test_a_capture_is_probed_in_both_bases(tmp_path):
    store = capture_tiny(tiny_model("llama"), tmp_path, n_pairs=109)
    n_occurrences = len(store.table("occurrences"))
    properties, left_out = list_properties(store)
    names = [found.name for found in properties]
    assert {"part of speech", "frequency", "identity", "position"} <= set(names)
    assert "head noun" in left_out
    wanted = properties[names.index("part of speech")]
    design = Design.of(wanted, refits=2)
    for basis in ("raw", "functional"):
        inputs = read_inputs(store, 1, basis=basis, metrics=read_metrics(store)[1], seed=0)
        assert list(inputs) == ["keys", "values", "random_slice"]
        assert {tuple(x.shape) for x in inputs.values()} == {(2, n_occurrences, 8)}
        found = measure_heads(inputs["keys"], design)
        assert found.refits.shape == (2, 2)
        torch.testing.assert_close(found.refits[0], found.probing.score.observed)
        assert found.code is not None
    with pytest.raises(UsageError, match="no basis"):
        read_keys_and_values.__wrapped__(store, 1, basis="odd", metrics=read_metrics(store)[1])


def test_properties_of_few_pairs_are_left_out_with_the_reason(tmp_path):
    words = [f"w{n:03d}" for n in range(241)]
    captured = pd.DataFrame({"word": words, "template_id": "t0", "head": "h"})
    pairs = pd.DataFrame({"head": "h", "m1": words[:60], "m2": words[60:120]})
    labelled = pairs.assign(human_similarity=np.arange(60.0), relatedness=["a", "b"] * 30)
    store = write_words_before_a_head(tmp_path / "few", captured, labelled)
    found, left_out = list_properties(store)
    assert "60 pairs; at least 100" in left_out["human similarity"]
    assert "60 pairs; at least 100" in left_out["relatedness of two"]
    assert not any(wanted.of_pairs for wanted in found)
    twice = pd.concat([labelled, labelled.rename(columns={"m1": "m2", "m2": "m1"})])
    store = write_words_before_a_head(tmp_path / "twice", captured, twice)
    assert "60 pairs; at least 100" in list_properties(store)[1]["human similarity"]
    more = pd.DataFrame({"head": "h", "m1": words[:120], "m2": words[120:240]})
    labelled = more.assign(human_similarity=np.arange(120.0), relatedness=["a", "b"] * 60)
    store = write_words_before_a_head(tmp_path / "enough", captured, labelled)
    found, _ = list_properties(store)
    scores = next(wanted for wanted in found if wanted.name == "human similarity")
    assert scores.is_number
    assert sorted(set(scores.labels.tolist())) == list(range(120))


def test_relations_and_human_scores_are_those_of_the_pairs_of_one_part_of_speech(tmp_path):
    pairs = make_relations().assign(score=np.arange(240.0))
    store = write_words(tmp_path, pairs)
    found, left_out = list_word_properties(store, "mine")
    assert not left_out
    assert [wanted.name for wanted in found] == [
        f"{what} of two {words} (mine)"
        for what in ("relation", "human similarity")
        for words in ("nouns", "verbs")
    ]
    words = store.table("occurrences")["word"]
    for wanted, column, pos in zip(
        found, ("relation", "relation", "score", "score"), "nvnv", strict=True
    ):
        own = pairs[pairs["pos"] == pos].reset_index(drop=True)
        assert len(wanted.labels) == 2 * len(own)  # two templates
        for members, label, unit in zip(
            wanted.occurrences, wanted.labels, wanted.units, strict=True
        ):
            pair = own.iloc[int(unit)]
            assert list(words[members.numpy()]) == [pair["w1"], pair["w2"]]
            said = float(label) if wanted.is_number else wanted.classes[label]
            assert said == pair[column]
