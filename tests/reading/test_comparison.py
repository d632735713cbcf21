from itertools import combinations

import numpy as np
import pytest
from scipy.stats import percentileofscore
from sklearn.metrics.pairwise import cosine_similarity

from probes.errors import UsageError
from probes.reading import compare, read
from tests.reading.readings import LOWER, SENTENCES, WORDS, read_many
from tests.tiny import tiny_model


@pytest.mark.parametrize("space", ["raw", "centred", "functional"])
def test_cosines_and_percentiles_are_those_of_a_loop(space):
    words = read_many("qwen3")
    table = compare(words, "small", "fox")
    n = len(LOWER)
    order = words.table["word"].tolist()
    assert order == [*LOWER, *LOWER]
    pairs = list(combinations(range(n), 2))
    mine = pairs.index(tuple(sorted((LOWER.index("small"), LOWER.index("fox")))))
    for layer in range(2):
        for head in range(2):
            row = table.query(f"layer == {layer} and kv_head == {head} and space == '{space}'")
            for part, own, ranked in (
                ("keys", "s_k", "key_percentile"),
                ("values", "s_v", "value_percentile"),
            ):
                vectors = getattr(words, part)(layer, space)[head].double().numpy()
                both = [cosine_similarity(vectors[start : start + n]) for start in (0, n)]
                figures = [(both[0][a, b] + both[1][a, b]) / 2 for a, b in pairs]
                others = figures[:mine] + figures[mine + 1 :]
                np.testing.assert_allclose(row[own].item(), figures[mine], atol=1e-5)
                expected = percentileofscore(others, figures[mine], kind="mean")
                np.testing.assert_allclose(row[ranked].item(), expected, atol=0.5)
    assert set(table["other_pairs"]) == {len(pairs) - 1}
    assert set(table["note"]) == {""}


def test_the_order_of_the_two_words_does_not_matter():
    words = read_many()
    assert compare(words, "small", "fox").equals(compare(words, "fox", "small"))


def test_too_few_words_give_no_number_and_say_why():
    words = read(tiny_model(), SENTENCES, WORDS)
    table = compare(words, "black", "small")
    raw = table[table["space"] == "raw"]
    assert raw["s_k"].notna().all()
    assert raw["key_percentile"].isna().all()
    assert set(raw["note"]) == {"2 other pairs: a percentile needs 20"}
    centred = table[table["space"] == "centred"]
    assert centred["s_k"].isna().all()
    assert "centring needs 10" in centred["note"].iloc[0]
    assert len(table) == 2 * 2 * 3


def test_what_cannot_be_compared_is_refused():
    words = read_many()
    with pytest.raises(UsageError, match=r"both words are 'fox'"):
        compare(words, "fox", "fox")
    with pytest.raises(UsageError, match=r"no word that was read in every group 'foxes'"):
        compare(words, "fox", "foxes")
