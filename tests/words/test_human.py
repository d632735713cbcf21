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

VOCABULARY = pd.DataFrame(
    {"pos": ["n", "n", "v", "v", "a", "a"], "word": ["sun", "run", "run", "walk", "old", "new"]}
)
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
    found = read_human_scores(write(tmp_path, text), VOCABULARY)
    expected = pd.DataFrame(
        {"pos": ["a", "v"], "w1": ["old", "run"], "w2": ["new", "walk"], "score": [1.58, 4.5]}
    )
    pd.testing.assert_frame_equal(found, expected)


def test_a_quoted_cell_keeps_its_columns(tmp_path: Path) -> None:
    text = 'note,word1,word2,score\n"new, old",cup,glass,1.5\n"a ""b""", sun , "moon",2\n'
    found = read_human_scores(write(tmp_path, text), VOCABULARY)
    assert found[["w1", "w2", "score"]].values.tolist() == [
        ["cup", "glass", 1.5],
        ["sun", "moon", 2],
    ]


def test_the_part_of_speech_is_that_of_most_of_the_two_words(tmp_path: Path) -> None:
    text = "run walk 1\nrun sun 2\nrun old 3\nnone other 4\nold new 5\n"
    found = read_human_scores(write(tmp_path, text), VOCABULARY)
    # "run" and "old": one vote for each of noun, verb and adjective, and nouns come first.
    assert found["pos"].tolist() == ["v", "n", "n", "n", "a"]


def test_equal_words_go_and_repeated_pairs_are_averaged(tmp_path: Path) -> None:
    text = "tiger tiger 10\nmoney cash 9\nsun moon 3\ncash money 8\n"
    found = read_human_scores(write(tmp_path, text), VOCABULARY)
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
        ('word1,word2,score\n"sun,moon,1\n', r"row 2 of .* has too few cells"),
        ("sun\n", "score, w1, w2 cannot be found"),
        ("sun sun 1\n", "no pair of two different words"),
        ("sun moon inf\n", "columns sun, moon, inf"),
    ],
)
def test_faults_are_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(TableError, match=told):
        read_human_scores(write(tmp_path, text), VOCABULARY)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no file"):
        read_human_scores(tmp_path / "gone.txt", VOCABULARY)


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
