"""Which modifiers are set side by side: chance decides, never how related the table's rows are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import TableError, UsageError
from probes.words import choose_coordinations, load_pairs

PAIRS = pd.DataFrame(
    [
        ("p0", "fox", "a", "b", "related", 3.0, 4.0),
        ("p1", "fox", "b", "c", "mid", 4.0, 5.0),
        ("p2", "fox", "d", "e", "unrelated", 1.0, 2.0),
        ("p3", "dog", "a", "d", "mid", 3.0, 1.0),
        ("p4", "cat", "f", "g", "mid", 6.0, 7.0),
    ],
    columns=["pair_id", "head", "m1", "m2", "relatedness", "z_m1", "z_m2"],
)
WORD = st.sampled_from("abcdefgh")
TABLES = st.lists(
    st.tuples(st.sampled_from(["fox", "dog"]), WORD, WORD).filter(lambda row: row[1] != row[2]),
    min_size=1,
    max_size=14,
).map(lambda rows: pd.DataFrame(rows, columns=["head", "m1", "m2"]))


def sets(frame):
    return [frozenset(pair) for pair in zip(frame["m1"], frame["m2"], strict=True)]


def test_chance_brings_words_together_before_rows_do():
    chosen = choose_coordinations(PAIRS, 100)
    by_source = {name: set(sets(rows)) for name, rows in chosen.groupby("source")}
    across = {frozenset(pair) for pair in ("ad", "ae", "bd", "be", "cd", "ce")}
    assert by_source["unconnected"] == across  # "ad" is also a row, of another head
    assert by_source["connected"] == {frozenset("ac")}
    assert by_source["listed"] == {frozenset(pair) for pair in ("ab", "bc", "de", "fg")}
    order = ["unconnected", "connected", "listed"]
    assert list(chosen["source"]) == sorted(chosen["source"], key=order.index)
    known = chosen.set_index("pair_id")
    assert known.loc["p0", "relatedness"] == "related"
    assert set(chosen.loc[chosen["source"] != "listed", "relatedness"]) == {""}
    z = dict(zip("abcdefg", [3.0, 4.0, 5.0, 1.0, 2.0, 6.0, 7.0], strict=True))
    assert list(chosen["z_m1"]) == [z[word] for word in chosen["m1"]]
    assert list(chosen["z_m2"]) == [z[word] for word in chosen["m2"]]
    assert chosen["pair_id"].is_unique


@settings(deadline=None, max_examples=50)
@given(pairs=TABLES, count=st.integers(1, 9), seed=st.integers(0, 3))
def test_each_pair_once_and_from_one_head(pairs, count, seed):
    chosen = choose_coordinations(pairs, count, seed=seed)
    assert len(set(sets(chosen))) == len(chosen) <= count
    words = {head: {*rows["m1"], *rows["m2"]} for head, rows in pairs.groupby("head")}
    rows = set(zip(pairs["head"], sets(pairs), strict=True))
    for head, pair, source in zip(chosen["head"], sets(chosen), chosen["source"], strict=True):
        assert pair <= words[head]
        assert ((head, pair) in rows) == (source == "listed")
    pd.testing.assert_frame_equal(chosen, choose_coordinations(pairs, count, seed=seed))


def test_every_head_gives_one_before_any_gives_a_second():
    pairs = load_pairs(limit=2000)
    chosen = choose_coordinations(pairs, 100)
    assert set(chosen["source"]) == {"unconnected"}
    assert chosen["head"].is_unique
    assert set(sets(chosen)) != set(sets(choose_coordinations(pairs, 100, seed=1)))


def test_the_table_brings_no_pair_however_many_related_rows_it_has():
    pairs = load_pairs()
    related = pairs[pairs["relatedness"] == "related"]
    others = pairs[pairs["relatedness"] != "related"]
    rows = set(zip(pairs["head"], sets(pairs), strict=True))
    for table in (others, pd.concat([related, others.head(1000)]), related):
        chosen = choose_coordinations(table, 200)
        assert len(chosen) == 200
        here = [key in rows for key in zip(chosen["head"], sets(chosen), strict=True)]
        # None is a row of this table; the whole table lists a few of them, by chance.
        assert set(chosen["source"]) == {"unconnected"}
        assert np.mean(here) < 0.1


def test_wanted_pairs_come_first_and_do_not_count():
    seeds = load_pairs("seed_pairs").head(2)
    chosen = choose_coordinations(load_pairs(limit=500), 5, include=pd.concat([seeds, seeds]))
    assert list(chosen["source"]) == ["included"] * 2 + ["unconnected"] * 5
    assert list(chosen["pair_id"].head(2)) == ["sp000", "sp001"]
    assert chosen.loc[0, ["head", "m1", "m2"]].tolist() == ["network", "neural", "social"]
    assert chosen.loc[0, "relatedness"] == "unrelated"
    assert chosen.loc[0, "z_m2"] == 5.11  # the lexicon knows what seed_pairs does not
    alone = choose_coordinations(PAIRS, 0, include=seeds)
    assert list(alone["pair_id"]) == ["sp000", "sp001"]
    # A pair that is wanted is not drawn as well.
    again = choose_coordinations(PAIRS, 100, include=PAIRS.head(1))
    assert sets(again).count(frozenset("ab")) == 1


def test_tables_without_frequencies():
    chosen = choose_coordinations(load_pairs("compound_pairs_zh"), 30)
    assert chosen["z_m1"].isna().all()
    assert len(chosen) == 30


def test_refusals():
    with pytest.raises(UsageError, match="count is 0"):
        choose_coordinations(PAIRS, 0)
    with pytest.raises(UsageError, match="count is -1"):
        choose_coordinations(PAIRS, -1)
    with pytest.raises(TableError, match="lacks the column m2"):
        choose_coordinations(PAIRS.drop(columns="m2"), 3)
