"""Word pairs: the schema tells every fault, samples keep the founding pair, hashes tell tables."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import TableError, UsageError
from probes.words.pairs import find_fault, hash_pairs, load_pairs

GOOD = [("network", "neural", "social"), ("dog", "guide", "hot"), ("bank", "river", "savings")]


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["head", "m1", "m2"])


def test_ids_are_made_up_and_other_columns_kept() -> None:
    table = frame(*GOOD).assign(
        note=["a", "b", "c"], wup=["0.5", "", "1"], human_similarity=["3", "", "2.5"]
    )
    pairs = load_pairs(table)
    assert list(pairs.columns) == [
        *("pair_id", "head", "m1", "m2", "note", "wup", "human_similarity"),
    ]
    assert list(pairs["pair_id"]) == ["p00000", "p00001", "p00002"]
    assert pairs["wup"].dtype == pairs["human_similarity"].dtype == "float64"
    assert "pair_id" not in table.columns


def test_words_that_pandas_takes_for_missing_survive(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("head\tm1\tm2\nvalue\tnull\ttrue\nbread\tnan\tNone\n")
    assert load_pairs(path)[["m1", "m2"]].to_numpy().tolist() == [["null", "true"], ["nan", "None"]]


@pytest.mark.parametrize(
    "word", ["mother-in-law", "Übermut", "नेटवर्क", "神经", "boys'", "o\u2019clock", "ice cream"]
)
def test_words_of_any_script_pass(word: str) -> None:
    assert find_fault(word) is None


@pytest.mark.parametrize(
    ("row", "column", "told"),
    [
        (("", "neural", "hot"), "head", "is empty"),
        (("net", " neural", "hot"), "m1", "white space"),
        (("net", "neural", "hot\n"), "m2", "white space"),
        (("net", "neu\tral", "hot"), "m1", r"holds '\\t'"),
        (("net", "ice  cream", "hot"), "m1", "two spaces"),
        (("net", "neural", "h0t"), "m2", "holds '0'"),
        (("net", "{a}", "hot"), "m1", "holds '{'"),
        (("net", "neural", "-hot"), "m2", "other than a letter"),
        (("net", "neural", "hot-"), "m2", "other than a letter"),
        (("net", "hot", "hot"), "m2", "same word as m1"),
        (("network", "social", "neural"), "m1", "repeats the pair of row 2"),
    ],
)
def test_each_fault_is_told_with_its_row(row: tuple[str, str, str], column: str, told: str) -> None:
    with pytest.raises(TableError, match=f"row 4, column {column}: .*{told}"):
        load_pairs(frame(*GOOD[:2], row, GOOD[2]))


def test_faults_of_ids() -> None:
    with pytest.raises(TableError, match="row 4, column pair_id: 'a' repeats row 2"):
        load_pairs(frame(*GOOD).assign(pair_id=["a", "b", "a"]))
    with pytest.raises(TableError, match="row 3, column pair_id: '' is empty"):
        load_pairs(frame(*GOOD).assign(pair_id=["a", "", "c"]))


def test_the_same_modifiers_may_serve_two_heads() -> None:
    assert len(load_pairs(frame(("net", "hot", "cold"), ("tea", "hot", "cold")))) == 2


def test_ten_problems_at_once_in_the_order_of_rows() -> None:
    rows = [(f"head {i}", "x", "y") for i in range(12)]
    with pytest.raises(TableError, match="12 problems") as caught:
        load_pairs(frame(*GOOD, *rows))
    lines = str(caught.value).splitlines()
    assert [line.split(",")[0].strip() for line in lines[1:11]] == [
        f"row {i}" for i in range(5, 15)
    ]
    assert "and 2 more" in lines[11]


def test_missing_columns_and_rows() -> None:
    with pytest.raises(TableError, match=r"lacks the columns m1, m2: it has head, mod"):
        load_pairs(pd.DataFrame({"head": ["a"], "mod": ["b"]}))
    with pytest.raises(TableError, match="no rows"):
        load_pairs(frame())
    with pytest.raises(TableError, match="no table is called 'pears': the shipped ones are"):
        load_pairs("pears")


def many(count: int) -> pd.DataFrame:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [x + y for x in letters for y in letters][:count]
    rows = [(word, "hot", "cold") for word in words]
    return frame(*rows[: count // 2], ("network", "social", "neural"), *rows[count // 2 :])


@given(limit=st.integers(1, 80), seed=st.integers(0, 1000))
def test_samples_keep_the_founding_pair_and_the_order(limit: int, seed: int) -> None:
    table = many(60)
    sample = load_pairs(table, limit=limit, seed=seed)
    assert len(sample) == min(limit, 61)
    assert "network" in set(sample["head"])
    assert list(sample["pair_id"]) == sorted(sample["pair_id"])
    assert list(sample.index) == list(range(len(sample)))
    pd.testing.assert_frame_equal(sample, load_pairs(table, limit=limit, seed=seed))


@given(limit=st.integers(1, 5), seed=st.integers(0, 1000))
def test_samples_keep_the_founding_pair_of_either_language(limit: int, seed: int) -> None:
    chinese = ("网络", "社交", "神经")
    assert "网络" in set(load_pairs(frame(*GOOD[1:], chinese), limit=limit, seed=seed)["head"])
    both = load_pairs(frame(*GOOD, chinese), limit=limit, seed=seed)
    assert len(both) == min(limit, 4)
    assert {"network", "网络"} <= set(both["head"]) or limit == 1


def test_seeds_draw_different_samples() -> None:
    samples = {hash_pairs(load_pairs(many(60), limit=20, seed=seed)) for seed in range(5)}
    assert len(samples) == 5


@pytest.mark.parametrize("limit", [0, -1, True])
def test_limits_that_are_none(limit: int) -> None:
    with pytest.raises(UsageError, match="limit is"):
        load_pairs(frame(*GOOD), limit=limit)


def test_hash_tells_content_and_order_but_no_other_column() -> None:
    pairs = load_pairs(frame(*GOOD))
    expected = hash_pairs(pairs)
    assert hash_pairs(pairs.assign(note="x")[["note", "m2", "m1", "head", "pair_id"]]) == expected
    others = [pairs.iloc[::-1], pairs.iloc[:2], pairs.assign(head=["networks", "dog", "bank"])]
    others.append(pairs.rename(columns={"m1": "m2", "m2": "m1"}))
    assert len({expected, *map(hash_pairs, others)}) == 5


def test_a_word_is_the_same_however_it_is_typed():
    composed, apart = "caf\u00e9", "cafe\u0301"
    with pytest.raises(TableError, match=r"m2.*is the same word as m1"):
        load_pairs(frame(("net", composed, apart)))
    with pytest.raises(TableError, match=r"row 3, column m1: .*repeats the pair of row 2"):
        load_pairs(frame(("net", composed, "tea"), ("net", "tea", apart)))
    assert load_pairs(frame(("net", apart, "tea")))["m1"].tolist() == [composed]


@pytest.mark.parametrize(
    "word",
    [
        "col\u00b7lega",
        "\u0635\u0647\u200cى",
        "\u0d23\u0d4d\u200dമ",
        "\u05e6\u05d4\u05f4\u05dc",
        "न\u093f",
    ],
)
def test_signs_inside_words_are_letters(word):
    assert load_pairs(frame(("net", word, "tea")))["m1"].tolist() == [word]


def test_rows_with_faults_can_be_left_out(tmp_path):
    path = tmp_path / "pairs.csv"
    rows = ["net,hot,cold,1", "net,h0t,cold,2", "net,hot,warm,x", "net,hot", "net,cold,hot,5"]
    path.write_text("head,m1,m2,glove_cos\n" + "\n".join([*rows, "net,dry,wet,6"]) + "\n")
    with pytest.raises(TableError, match="row 5: 2 cells"):
        load_pairs(path)
    said = []
    found = load_pairs(path, skip=said.append)
    assert found["m1"].tolist() == ["hot", "dry"]
    assert found["pair_id"].tolist() == ["p00000", "p00005"]
    assert found.index.tolist() == [0, 1]
    told = "\n".join(said)
    assert "row 5, column all: 'net\\thot' has 2 cells, not 4 as the header" in told
    assert "row 4, column glove_cos: 'x' is not a finite number" in told
    assert "row 3, column m1: 'h0t' holds '0'" in told
    assert "row 6, column m1: 'cold / hot | net' repeats the pair of row 2" in told
    assert ": 2 rows left out" in told
    path.write_text("head,m1,m2\nnet,h0t,cold\n")
    with pytest.raises(TableError, match="no row without a fault"):
        load_pairs(path, skip=said.append)
