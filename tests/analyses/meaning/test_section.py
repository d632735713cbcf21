"""Sentences about meaning: what they say follows from the numbers alone."""

from __future__ import annotations

import pandas as pd

from analyses.meaning import QUESTION

SETTINGS = {"resamples": 300}


def meaning_tables(figures):
    """(dataset, score) -> keys, values, and the difference partial, centred, beyond random."""
    rows = []
    for (dataset, score), (keys, values, partial, centred, beyond) in figures.items():
        for space, condition, measure, part, figure in (
            ("functional", "trained", "plain", "keys", keys),
            ("functional", "trained", "plain", "values", values),
            ("functional", "trained", "plain", "values - keys", values - keys),
            ("functional", "trained", "partial", "values - keys", partial),
            ("centred", "trained", "plain", "values - keys", centred),
            ("functional", "trained - random_heads", "plain", "values - keys", beyond),
        ):
            place = (dataset, score, space, condition, measure, part)
            rows.append((*place, figure, figure - 0.01, figure + 0.01))
    names = ["dataset", "score", "space", "condition", "measure", "part"]
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
    difference, robust, random, heads = QUESTION.describe(meaning_tables(figures), SETTINGS).answer
    assert difference == (
        "Meaning is closer to values than to keys by GloVe cosine of compounds (values 0.50, keys "
        "0.30; difference 0.200, 0.190 to 0.210). Meaning is closer to keys than to values by "
        "human scores of mine (values 0.20, keys 0.40; difference \N{MINUS SIGN}0.200, "
        "\N{MINUS SIGN}0.210 to \N{MINUS SIGN}0.190). Neither keys nor values are clearly closer "
        "to meaning by path similarity of related nouns (values 0.20, keys 0.20; difference 0.000, "
        "\N{MINUS SIGN}0.010 to 0.010)."
    )
    assert robust == (
        "Given frequency and length, the result is the same for every score. In the centred space, "
        "the result is another for human scores of mine (0.000, \N{MINUS SIGN}0.010 to 0.010)."
    )
    assert random == (
        "Values lead keys by more than in random heads for GloVe cosine of compounds (0.050, 0.040 "
        "to 0.060). Values lead keys by less than in random heads for human scores of mine "
        "(\N{MINUS SIGN}0.050, \N{MINUS SIGN}0.060 to \N{MINUS SIGN}0.040). The lead of values "
        "over keys cannot be distinguished from that in random heads for path similarity of "
        "related nouns."
    )
    assert heads == (
        "Number of heads whose values are clearly closer to meaning, and of heads whose keys are, "
        "after correction over all 4: 2 and 1 by GloVe cosine of compounds, 2 and 1 by human "
        "scores of mine and 2 and 1 by path similarity of related nouns."
    )


def test_what_random_heads_show_as_well_is_not_called_meaning():
    figures = {
        ("compounds", "glove_cos"): (0.3, 0.5, 0.2, 0.2, -0.05),
        ("mine", "score"): (0.4, 0.2, -0.2, -0.2, 0.0),
    }
    difference = QUESTION.describe(meaning_tables(figures), SETTINGS).answer[0]
    assert "Meaning is closer" not in difference
    assert difference.startswith("Values follow meaning more closely than keys do by GloVe cosine")
    assert difference.count("but random heads on the same input may show as much.") == 2


def test_captions_name_what_was_resampled_and_the_nulls():
    tables = meaning_tables({("mine", "score"): (1, 1, 1, 1, 1)})
    captions = QUESTION.describe(tables, SETTINGS).captions
    assert set(captions) == {"meaning", "meaning_heads"}
    for text in (text for pair in captions.values() for text in pair):
        assert text.endswith(".")
    for told in ("300 resamples of the words", "andom heads"):
        assert told in captions["meaning"][0]
