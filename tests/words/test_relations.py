"""Tables of related words: the shipped one, the schema, and the draw of each relation."""

from __future__ import annotations

import pandas as pd
import pytest

from probes.errors import TableError, UsageError
from probes.words import load_relations
from probes.words.relations import CONTROL

COLUMNS = ["relation", "pos", "w1", "w2", CONTROL]


def test_the_shipped_table_passes_its_own_check() -> None:
    frame = load_relations()
    assert len(frame) == 11134
    assert frame["zlm1"].dtype == frame["path"].dtype == "float64"
    assert set(frame["relation"]) == {
        *("synonym", "antonym", "hypernym", "cohyponym", "meronym", "similar")
    }


def test_a_limit_is_of_each_relation_and_keeps_the_order() -> None:
    whole, few = load_relations(), load_relations(limit=40, seed=3)
    assert few["relation"].value_counts().to_dict() == dict.fromkeys(set(whole["relation"]), 40)
    rows = list(whole[COLUMNS].itertuples(index=False, name=None))
    places = [rows.index(row) for row in few[COLUMNS].itertuples(index=False, name=None)]
    assert places == sorted(places)
    pd.testing.assert_frame_equal(few, load_relations(limit=40, seed=3))
    assert not few.equals(load_relations(limit=40, seed=4))
    assert len(load_relations(limit=300)) == 300 * 5 + 202
    with pytest.raises(UsageError, match="limit is 0"):
        load_relations(limit=0)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("synonym", "x", "big", "large", ""), "column pos: 'x' is none of n, v, a"),
        (("", "a", "big", "large", ""), "column relation: '' is empty"),
        (("synonym", "a", "big", "big", ""), "is the same word as w1"),
        (("synonym", "a", "big", "large", "large"), "is the same word as w1 or w2"),
        (("synonym", "a", "b1g", "large", ""), "column w1: 'b1g' holds '1'"),
        (("synonym", "a", "big", "large", "no!"), f"column {CONTROL}: 'no!' holds"),
    ],
)
def test_faults_are_told_by_row(row: tuple[str, ...], told: str) -> None:
    with pytest.raises(TableError, match=told):
        load_relations(pd.DataFrame([row], columns=COLUMNS))


def test_a_table_without_controls_gets_empty_ones() -> None:
    frame = pd.DataFrame([("synonym", "a", "big", "large")], columns=COLUMNS[:4])
    assert load_relations(frame)[CONTROL].tolist() == [""]
