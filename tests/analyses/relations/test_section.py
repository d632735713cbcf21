"""Sentences about relations: what they say follows from the numbers alone."""

from __future__ import annotations

from itertools import product

import pandas as pd

from analyses.relations import QUESTION

SETTINGS = {"resamples": 300, "references": 5000}


def relation_tables(gaps, *, clear=(), centred=1):
    """`gaps`: relation -> keys beyond the control, dissociation beyond it, and beyond random."""
    ranking = pd.DataFrame(
        [(name, 50, gap, gap - 1, gap + 1) for name, (_, gap, _) in gaps.items()],
        columns=["relation", "pairs", "value", "ci_low", "ci_high"],
    ).sort_values("value", ascending=False)
    ranking = ranking.assign(rank=range(1, len(gaps) + 1), rank_low=1, rank_high=len(gaps))
    names = list(ranking["relation"])
    contrasts = [(names[0], other, gaps[names[0]][1] - gaps[other][1] - 2) for other in names[1:]]
    summary = []
    for name, (keys, gap, beyond_random) in gaps.items():
        for measure, condition, value in (
            ("key_percentile", "trained", keys),
            ("value_percentile", "trained", keys - gap),
            ("dissociation", "trained", gap),
            ("dissociation", "trained - random_heads", beyond_random),
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


def answer(gaps, **options):
    return QUESTION.describe(relation_tables(gaps, **options), SETTINGS).answer


def test_a_relation_that_dissociates_is_said_to():
    gaps = {
        "antonym": (30, 12, 5),
        "synonym": (25, -8, -4),
        "meronym": (9, 0.5, 0),
        "shared head": (0.5, 0.2, 0.3),
    }
    first, claim, training, heads = answer(
        gaps, clear=[(("antonym", 1, 2), 14.0), (("synonym", 0, 0), -9.0)]
    )
    assert first == (
        "Of 4 relations, antonyms come first: the percentile of their keys minus that of their "
        "values differs from that of matched controls by +12.0 points (11.0 to 13.0). This is "
        "clearly more than for every other relation."
    )
    assert claim == (
        "Similar keys with less similar values are found in antonyms (12.0, 11.0 to 13.0). Values "
        "neither lag behind nor lead clearly in meronyms. Values lead, in percentiles above the "
        "controls': they are even more alike than the keys in synonyms (keys +25.0, values +33.0). "
        "The keys of modifiers of one head are no more alike than the controls'."
    )
    assert training == (
        "Trained heads dissociate antonyms (5.0, 4.0 to 6.0) more than random heads on the same "
        "input. Trained heads dissociate synonyms (\N{MINUS SIGN}4.0, \N{MINUS SIGN}5.0 to "
        "\N{MINUS SIGN}3.0) less than random heads on the same input. Trained heads cannot be "
        "distinguished from random heads on the same input for meronyms and modifiers of one head."
    )
    assert heads == (
        "After correction over all relations and heads, 1 of 6 heads dissociate some relation more "
        "than its control, and 1 less. The largest excess is that of layer 1, kv head 2, for "
        "antonyms: keys +20.0, values +6.0 percentiles from the controls'."
    )


def test_no_dissociation_is_said_as_plainly():
    first, claim, _, heads = answer(
        {"synonym": (25, -8, 0), "shared head, unrelated": (-3, -0.3, 0)}
    )
    assert first.startswith("Of 2 relations, none are clearly above their controls. The largest")
    assert "that of unrelated modifiers of one head: the percentile" in first
    assert "by \N{MINUS SIGN}0.3 points" in first
    assert claim.startswith(
        "No relation has keys more alike than its controls' and values that lag behind. "
    )
    assert claim.endswith(
        "The keys of unrelated modifiers of one head are no more alike than the controls'."
    )
    assert heads.endswith(
        "0 of 6 heads dissociate some relation more than its control, and 0 less."
    )


def test_what_turns_round_in_the_centred_space_is_said_to():
    training = answer({"synonym": (25, -8, 3), "antonym": (20, -7, 0.5)}, centred=-1)[2]
    assert training.endswith(
        "In the centred space, where every direction of a key counts alike, the opposite is true "
        "of synonyms (\N{MINUS SIGN}3.0, \N{MINUS SIGN}4.0 to \N{MINUS SIGN}2.0)."
    )


def test_a_first_place_that_is_shared_is_said_to_be():
    first = answer({"synonym": (25, -8, 0), "antonym": (20, -7, 0), "meronym": (20, -20, 0)})[0]
    assert first.endswith("It cannot be distinguished from that of synonyms.")


def test_captions_name_what_was_resampled_and_the_nulls():
    captions = QUESTION.describe(relation_tables({"synonym": (1, 1, 1)}), SETTINGS).captions
    assert set(captions) == {"relations", "relation_heads"}
    for text in (text for pair in captions.values() for text in pair):
        assert text.endswith(".")
    caption = captions["relations"][0]
    for told in ("300 resamples of the words", "andom heads", "among 5000 random pairs"):
        assert told in caption
