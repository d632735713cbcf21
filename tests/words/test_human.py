"""Human scores: every known format gives the same pairs, and faults are named."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pandas as pd
import pytest

from probes.errors import TableError
from probes.words import find_gensim_tables, read_human_scores
from probes.words.human import name_human_table

SIMLEX = "word1\tword2\tPOS\tSimLex999\tconc(w1)\nold\tnew\tA\t1.58\t2.7\nrun\twalk\tV\t4.5\t1\n"
GENSIM = "# SimLex-999\n# Word 1\tWord 2\tHuman (mean)\nold\tnew\t1.58\nrun\twalk\t4.5\n"
WORDSIM = "Word 1,Word 2,Human (mean)\nold,new,1.58\nrun,walk,4.5\n"
MEN = "old-j new-j 1.58\nrun-v walk-v 4.5\n"


def write(folder: Path, text: str, name: str = "scores.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", [SIMLEX, GENSIM, WORDSIM, MEN, "\ufeff" + WORDSIM])
def test_every_format_gives_the_same_table(tmp_path: Path, text: str) -> None:
    said: list[str] = []
    found = read_human_scores(write(tmp_path, text), say=said.append)
    says_pos = text in (SIMLEX, MEN)
    expected = pd.DataFrame(
        {
            "pos": ["a", "v"] if says_pos else ["x", "x"],
            "w1": ["old", "run"],
            "w2": ["new", "walk"],
            "score": [1.58, 4.5],
        }
    )
    pd.testing.assert_frame_equal(found, expected)
    assert any("part of speech of 2 of its 2 pairs" in line for line in said) != says_pos
    assert any("does not say its language" in line for line in said)


@pytest.mark.parametrize(
    ("pos", "expected"),
    [("N", "n"), ("noun", "n"), ("Verb", "v"), ("J", "a"), ("adjective", "a")]
    + [(name, "x") for name in ("adv", "ADP", "nn", "vitamin", "")],
)
def test_no_part_of_speech_is_guessed(tmp_path: Path, pos: str, expected: str) -> None:
    text = f"word1,word2,score,pos,language\nold,new,1,{pos},en\n"
    said: list[str] = []
    found = read_human_scores(write(tmp_path, text), say=said.append)
    assert found["pos"].tolist() == [expected]
    assert len(said) == (expected == "x")


def test_a_suffix_is_one_only_where_every_word_has_it(tmp_path: Path) -> None:
    found = read_human_scores(write(tmp_path, "vitamin-a carrot 7\nsun-n moon-n 1\n"))
    assert found["w1"].tolist() == ["vitamin-a", "sun-n"]
    mixed = read_human_scores(write(tmp_path, "sun-n bright-j 7\n"))
    assert mixed[["pos", "w1", "w2"]].values.tolist() == [["x", "sun", "bright"]]


def test_pairs_of_other_parts_of_speech_or_words_stay_apart(tmp_path: Path) -> None:
    rows = ["play,work,n,1", "work,play,v,3", "air force,one,n,5", "air,force one,n,7"]
    text = "\n".join(["word1,word2,pos,score", *rows, ""])
    found = read_human_scores(write(tmp_path, text))
    assert found["score"].tolist() == [1, 3, 5, 7]
    assert found["pos"].tolist() == ["n", "v", "n", "n"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("太阳,月亮,7\n", "row 1, column word1: '太阳' has letters that are not Latin"),
        ("word1,word2,score,lang\nSonne,Mond,7,de\n", "'de' is not en"),
        ('sun,moon,7\ntea,cup,"3,5"\n', "row 2, column score: '3,5' is not a finite number"),
        ('sun,"mo"on,7\n', "malformed near row 1"),
    ],
)
def test_what_cannot_stand_in_the_sentences_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(TableError, match=told):
        read_human_scores(write(tmp_path, text))


def test_rows_with_faults_can_be_left_out(tmp_path: Path) -> None:
    text = "word1,word2,score\nsun,moon,7\ntea,cup,high\nsun,star,1,2\nst4r,cup,3\nold,new,2\n"
    said: list[str] = []
    found = read_human_scores(write(tmp_path, text), skip=said.append)
    assert found["w1"].tolist() == ["sun", "old"]
    assert "row 4 of" in said[0]
    assert ": 2 rows left out" in said[1]
    assert "row 3, column score: 'high'" in said[1]
    assert "row 5, column word1: 'st4r'" in said[1]


def test_a_quoted_cell_keeps_its_columns(tmp_path: Path) -> None:
    text = 'note,word1,word2,score\n"new, old",cup,glass,1.5\n"a ""b""", sun , "moon",2\n'
    found = read_human_scores(write(tmp_path, text))
    assert found[["w1", "w2", "score"]].values.tolist() == [
        ["cup", "glass", 1.5],
        ["sun", "moon", 2],
    ]


def test_equal_words_go_and_repeated_pairs_are_averaged(tmp_path: Path) -> None:
    text = "tiger tiger 10\nmoney cash 9\nsun moon 3\ncash money 8\n"
    found = read_human_scores(write(tmp_path, text))
    assert found[["w1", "w2", "score"]].values.tolist() == [
        ["money", "cash", 8.5],
        ["sun", "moon", 3.0],
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("# only\n", "is empty"),
        ("one\ttwo\tthree\na\tb\t1\n", "score, w1, w2 cannot be found"),
        ("word1\tword2\tscore\nsun\tmoon\thigh\n", "row 2, column score: 'high'"),
        ("sun moon 1\nsun st4r 2\n", "row 2, column word2: 'st4r' holds '4'"),
        ("sun moon 1\nsun star\n", r"row 2 of .* has too few cells, 2 where the first row has 3"),
        ("sun,moon,1\nnew, old,cup,7,1.5\n", r"row 2 of .* has too many cells, 5"),
        ("word1,word2,score\nsun,moon,1,2\n", r"row 2 of .* has too many cells, 4"),
        ('word1,word2,score\n"new, old",cup,7\n', r"row 2, column word1: 'new, old' holds ','"),
        ('word1,word2,score\n"sun,moon,1\n', "malformed near row"),
        ("sun\n", "score, w1, w2 cannot be found"),
        ("sun sun 1\n", "no pair of two different words"),
        ("sun moon inf\n", "columns sun, moon, inf"),
    ],
)
def test_faults_are_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(TableError, match=told):
        read_human_scores(write(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no file"):
        read_human_scores(tmp_path / "gone.txt")


def test_the_tables_of_gensim_are_found_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert find_gensim_tables() == {}
    folder = tmp_path / "gensim" / "test" / "test_data"
    folder.mkdir(parents=True)
    spec = ModuleSpec("gensim", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "gensim")]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    assert find_gensim_tables() == {}
    write(folder, GENSIM, "simlex999.txt")
    assert find_gensim_tables() == {"simlex999": folder / "simlex999.txt"}
    assert "gensim" not in sys.modules


def test_names_are_short_and_plain() -> None:
    assert name_human_table(Path("a/MEN_dataset natural.form.tsv")) == "men-dataset-natural-form"
    assert name_human_table(Path("评分.tsv")) == "scores"
