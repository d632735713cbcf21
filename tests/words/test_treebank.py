from pathlib import Path

import pandas as pd
import pytest

from probes.errors import TableError
from probes.words.treebank import read_treebank, read_treebank_splits
from tests.analyses.treebanks import write_treebank

FILE = Path(__file__).parents[1] / "data" / "tiny.conllu"


def test_words_stand_where_their_characters_are():
    words = read_treebank(FILE, split="train")
    for row in words.itertuples():
        assert row.text[row.start : row.end] == row.word
    assert list(words["word"]) == ["The", "black", "dog", "saw", "a", "cat", "ran", "red", "house"]
    assert list(words["upos"][:4]) == ["DET", "ADJ", "NOUN", "VERB"]
    assert words["text"].iloc[-1] == "don't ran, red house"
    assert list(words["sentence_id"].unique()) == ["a", "b"]
    assert set(words["split"]) == {"train"}
    assert list(words["deprel"][-2:]) == ["amod", "obj"]


def test_heads_and_distances():
    words = read_treebank(FILE).set_index("word")
    assert words.loc["black", "head_word"] == "dog"
    assert words.loc["black", "head_distance"] == 1
    assert words.loc["cat", "head_distance"] == -2
    assert pd.isna(words.loc["saw", "head_distance"])
    assert words.loc["saw", "head_number"] == 0


def test_splits_are_told_apart_and_their_sentences_too(tmp_path):
    words = read_treebank_splits(write_treebank(tmp_path, sizes=(5, 2, 3)))
    by_split = words.groupby("split")["sentence"].unique()
    assert [list(by_split[name]) for name in ("train", "dev", "test")] == [
        [0, 1, 2, 3, 4],
        [5, 6],
        [7, 8, 9],
    ]
    assert len(words[["sentence", "text"]].drop_duplicates()) == 10
    (tmp_path / "tiny-ud-dev.conllu").unlink()
    assert set(read_treebank_splits(tmp_path)["split"]) == {"train", "test"}
    (tmp_path / "other-train.conllu").write_text("")
    with pytest.raises(TableError, match=r"2 files named \*train"):
        read_treebank_splits(tmp_path)
    with pytest.raises(TableError, match=r"0 files named \*train"):
        read_treebank_splits(tmp_path / "none")


def test_refuses(tmp_path):
    with pytest.raises(TableError, match=r"no file .*none\.conllu"):
        read_treebank(tmp_path / "none.conllu")
    empty = tmp_path / "empty.conllu"
    empty.write_text("\n")
    with pytest.raises(TableError, match="no word"):
        read_treebank(empty)
    odd = tmp_path / "odd.conllu"
    odd.write_text("1\tThe\n\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"not in the CoNLL-U format|no word"):
        read_treebank(odd)


def write(folder, *tokens, text=None):
    """Write a sentence of (form, misc) tokens; a form may begin with an id of its own."""
    lines = [] if text is None else [f"# text = {text}"]
    number = 0
    for form, misc in tokens:
        if "\t" in form:
            lines.append(f"{form}\t_\t_\t_\t_\t_\t_\t_\t{misc}")
            continue
        number += 1
        lines.append(f"{number}\t{form}\t{form}\tNOUN\t_\t_\t0\troot\t_\t{misc}")
    path = folder / "one.conllu"
    path.write_text("\ufeff" + "\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def test_a_word_is_not_found_inside_another(tmp_path):
    path = write(tmp_path, ("The", "_"), ("cat", "_"), ("sat", "_"), text="The catapult sat")
    words = read_treebank(path).set_index("word")
    assert words.loc["The", ["start", "end"]].tolist() == [0, 3]
    assert words.loc["sat", ["start", "end"]].tolist() == [13, 16]
    assert words.loc["cat", ["start", "end"]].tolist() == [-1, -1]
    assert words.loc["cat", "lost"] == "it is not in the text of its sentence"
    again = write(tmp_path, ("catapult", "_"), ("cat", "_"), text="catapult  cat")
    assert read_treebank(again)["start"].tolist() == [0, 10]


def test_words_without_a_space_between_them_are_found(tmp_path):
    tokens = (("can", "SpaceAfter=No"), ("not", "_"), ("stop", "SpaceAfter=No"), ("!", "_"))
    for text in (None, "cannot stop!", "cannot  stop!"):
        words = read_treebank(write(tmp_path, *tokens, text=text))
        shift = 1 if text == "cannot  stop!" else 0
        assert words["start"].tolist()[:3] == [0, 3, 7 + shift]
        assert (words["lost"] == "").all()


def test_withheld_forms_and_contractions(tmp_path):
    path = write(tmp_path, ("_", "_"), ("dog", "_"), text="_ dog")
    words = read_treebank(path)
    assert words["lost"].tolist() == ["its form is withheld", ""]
    assert words["start"].tolist() == [-1, 2]
    path = write(
        tmp_path, ("1-2\tdu", "_"), ("de", "_"), ("le", "_"), ("pain", "_"), text="du pain"
    )
    words = read_treebank(path)
    assert words["word"].tolist() == ["pain"]
    assert words["start"].tolist() == [3]


def test_a_single_file_has_no_splits(tmp_path):
    words = read_treebank_splits(write(tmp_path, ("dog", "_"), ("runs", "_")))
    assert words["word"].tolist() == ["dog", "runs"]
    assert set(words["split"]) == {""}


def test_words_that_are_numbered_twice_are_refused(tmp_path):
    path = write(tmp_path, ("dog", "_"), ("runs", "_"))
    path.write_text(path.read_text().replace("2\truns", "1\truns"))
    with pytest.raises(TableError, match="sentence 1 are not numbered 1, 2 and on, but 1, 1"):
        read_treebank(path)
