"""Sentences about relations and meaning: what they say follows from the numbers alone."""

from __future__ import annotations

from itertools import product

import pandas as pd

from analyses.shared.answers_words import answer_meaning, answer_relations
from analyses.shared.captions_words import caption_meaning, caption_relations

COUNTS = {"resamples": 300, "references": 5000}


def relation_tables(gaps, *, clear=(), centred=1):
    """`gaps`: relation -> keys beyond the control, dissociation beyond it, and beyond random."""
    ranking = pd.DataFrame(
        [(name, 50, gap, gap - 1, gap + 1) for name, (_, gap, _) in gaps.items()],
        columns=["relation", "pairs", "value", "ci_low", "ci_high"],
    ).sort_values("value", ascending=False)
    names = list(ranking["relation"])
    contrasts = [(names[0], other, gaps[names[0]][1] - gaps[other][1] - 2) for other in names[1:]]
    summary = []
    for name, (keys, gap, beyond_random) in gaps.items():
        for measure, condition, value in (
            ("key_percentile", "trained", keys),
            ("value_percentile", "trained", keys - gap),
            ("dissociation", "trained", gap),
            ("dissociation", "trained - random", beyond_random),
        ):
            for space, factor in (("functional", 1), ("centred", centred)):
                row = (name, space, condition, measure, "related - control")
                summary.append((*row, factor * value, factor * value - 1, factor * value + 1))
    heads = pd.DataFrame(
        [(name, layer, head) for name, layer, head in product(gaps, range(2), range(3))],
        columns=["relation", "layer", "kv_head"],
    ).assign(value=-1.0, p_max_t=1.0, key_excess=20.0, value_excess=21.0)
    for place, value in clear:
        mine = (heads[["relation", "layer", "kv_head"]] == list(place)).all(axis=1)
        heads.loc[mine, ["value", "p_max_t", "value_excess"]] = [value, 0.01, 20 - value]
    place = ["relation", "space", "condition", "measure", "of"]
    return {
        "ranking": ranking,
        "contrasts": pd.DataFrame(contrasts, columns=["relation", "minus", "ci_low"]),
        "summary": pd.DataFrame(summary, columns=[*place, "value", "ci_low", "ci_high"]),
        "heads": heads,
    }


def test_a_relation_that_dissociates_is_said_to():
    gaps = {"antonym": (30, 12, 5), "synonym": (25, -8, -4), "shared head": (0.5, 0.2, 0.3)}
    first, claim, training, heads = answer_relations(
        relation_tables(gaps, clear=[(("antonym", 1, 2), 14.0), (("synonym", 0, 0), -9.0)])
    )
    assert first == (
        "Of 3 relations, antonyms come first: the percentile of their keys less that of their "
        "values is 12.0, 11.0 to 13.0 percentage points above that of matched controls, clearly "
        "above all others."
    )
    assert claim == (
        "Similar keys with less similar values are found in antonyms (12.0, 11.0 to 13.0); the "
        "values of related words are more alike still than their keys, in percentiles above the "
        "controls', in synonyms (keys +25.0, values +33.0); the keys of modifiers of one head are "
        "no more alike than the controls' are."
    )
    assert training == (
        "Trained heads dissociate related words more than random heads on the same input in "
        "antonyms (5.0, 4.0 to 6.0); less than random heads on the same input in synonyms "
        "(\N{MINUS SIGN}4.0, \N{MINUS SIGN}5.0 to \N{MINUS SIGN}3.0); not distinguishably from "
        "random heads on the same input in modifiers of one head."
    )
    assert heads == (
        "Corrected over all relations and heads, 1 of 6 heads dissociate some relation less than "
        "its control, and 1 more; most of all layer 1, kv head 2, for antonyms (keys +20.0, values "
        "+6.0 percentiles from the controls')."
    )


def test_no_dissociation_is_said_as_plainly():
    gaps = {"synonym": (25, -8, 0), "shared head, unrelated": (-3, -0.3, 0)}
    first, claim, _, heads = answer_relations(relation_tables(gaps))
    assert "unrelated modifiers of one head come first" in first
    assert claim.startswith(
        "No relation has keys more alike than its controls' with values that lag behind; "
    )
    assert claim.endswith(
        "the keys of unrelated modifiers of one head are no more alike than the controls' are."
    )
    assert heads.endswith(
        "0 of 6 heads dissociate some relation less than its control, and 0 more."
    )


def test_what_turns_round_in_the_centred_space_is_said_to():
    gaps = {"synonym": (25, -8, 3), "antonym": (20, -7, 0.5)}
    training = answer_relations(relation_tables(gaps, centred=-1))[2]
    assert training.endswith(
        "in the centred space, where every direction of a key counts alike, it is the other way "
        "round for synonyms (\N{MINUS SIGN}3.0, \N{MINUS SIGN}4.0 to \N{MINUS SIGN}2.0)."
    )


def test_a_first_place_that_is_shared_is_said_to_be():
    gaps = {"synonym": (25, -8, 0), "antonym": (20, -7, 0), "meronym": (20, -20, 0)}
    first = answer_relations(relation_tables(gaps))[0]
    assert first.endswith("above that of matched controls, not distinguishable from synonyms.")


def meaning_tables(figures):
    """`figures`: (dataset, score) -> key, value, and the difference partial, centred, to random."""
    rows = []
    for (dataset, score), (key, value, partial, centred, beyond) in figures.items():
        for space, condition, measure, kind, figure in (
            ("functional", "trained", "plain", "key", key),
            ("functional", "trained", "plain", "value", value),
            ("functional", "trained", "plain", "value - key", value - key),
            ("functional", "trained", "partial", "value - key", partial),
            ("centred", "trained", "plain", "value - key", centred),
            ("functional", "trained - random", "plain", "value - key", beyond),
        ):
            place = (dataset, score, space, condition, measure, kind)
            rows.append((*place, figure, figure - 0.01, figure + 0.01))
    names = ["dataset", "score", "space", "condition", "measure", "kind"]
    heads = pd.DataFrame(
        [(*place, layer, head) for place in figures for layer in range(2) for head in range(2)],
        columns=["dataset", "score", "layer", "kv_head"],
    ).assign(
        measure="plain",
        value=[0.1, -0.1, 0.1, 0.1] * len(figures),
        p_max_t=[0.01, 0.01, 0.01, 1.0] * len(figures),
    )
    return {
        "summary": pd.DataFrame(rows, columns=[*names, "value", "ci_low", "ci_high"]),
        "heads": heads,
    }


def test_meaning_is_said_to_be_where_it_is():
    figures = {
        ("compounds", "glove_cos"): (0.3, 0.5, 0.2, 0.1, 0.05),
        ("mine", "score"): (0.4, 0.2, -0.2, 0.0, -0.05),
        ("related nouns", "path"): (0.2, 0.2, 0.0, 0.0, 0.0),
    }
    difference, robust, random, heads = answer_meaning(meaning_tables(figures))
    assert difference == (
        "Meaning is closer to values than to keys by GloVe cosine of compounds (0.50 against 0.30; "
        "difference 0.200, 0.190 to 0.210); closer to keys than to values by human scores of mine "
        "(0.20 against 0.40; difference \N{MINUS SIGN}0.200, \N{MINUS SIGN}0.210 to "
        "\N{MINUS SIGN}0.190); not distinguishably closer to either by path similarity of related "
        "nouns (0.20 against 0.20; difference 0.000, \N{MINUS SIGN}0.010 to 0.010)."
    )
    assert robust == (
        "Given frequency and length all of that stays the same; in the centred space it is "
        "otherwise for human scores of mine (0.000, \N{MINUS SIGN}0.010 to 0.010)."
    )
    assert random.startswith(
        "The lead of values over keys is larger than in random heads for GloVe"
    )
    assert "; smaller than in random heads for human scores of mine" in random
    assert random.endswith("in random heads for path similarity of related nouns.")
    assert heads == (
        "Of 4 heads, corrected over the heads, so many have values closer to meaning than keys, "
        "and so many keys closer than values: 2 and 1 for GloVe cosine of compounds, 2 and 1 for "
        "human scores of mine and 2 and 1 for path similarity of related nouns."
    )


def test_captions_name_what_was_resampled_and_the_nulls():
    related = caption_relations(relation_tables({"synonym": (1, 1, 1)}), COUNTS)
    scored = caption_meaning(meaning_tables({("mine", "score"): (1, 1, 1, 1, 1)}), COUNTS)
    assert set(related) == {"relations", "relation_heads"}
    assert set(scored) == {"meaning", "meaning_heads"}
    for caption, alternative in (*related.values(), *scored.values()):
        assert caption.endswith(".")
        assert alternative.endswith(".")
    for text in (related["relations"][0], scored["meaning"][0]):
        assert "300 resamples of the words" in text
        assert "andom heads" in text
    assert "among 5000 random pairs" in related["relations"][0]
