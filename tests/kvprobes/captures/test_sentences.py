"""A user's own sentences and treebanks, from a file to the answers, the report and the reasons."""

from __future__ import annotations

import inspect
import json
import random
from collections import defaultdict
from itertools import combinations

import conllu
import pandas as pd
import pytest
from typer.testing import CliRunner

from analyses import list_questions
from analyses.shared.given import Need
from kvprobes.captures.find import SENTENCES, TREEBANK, name_kind
from kvprobes.command.cli import app
from kvprobes.results import ResultFolder
from probes.capture.store import open_store
from probes.linear.properties import label_occurrences
from probes.words.sentences import CONTENT
from tests.analyses.treebanks import write_treebank
from tests.kvprobes.runs import save_tiny_model

runner = CliRunner()
SMALL = {"documents": 2, "length": 24}
NOUNS = ("fox", "dog", "cat", "tree", "house")
ADJECTIVES = ("black", "white", "small", "big", "red")


def make_sentences(count: int, *, seed: int = 0) -> pd.DataFrame:
    """Return sentences of two adjectives and a noun; "red" comes in most, with two labels."""
    draw, rows = random.Random(seed), []
    while len({text for text, *_ in rows}) < count:
        one, other = draw.sample([*ADJECTIVES, *["red"] * 5], 2)
        if one == other:
            continue
        noun, place = draw.choice(NOUNS), draw.choice(NOUNS)
        text = f"The {place} saw a {one} and {other} {noun} of the {draw.choice(NOUNS)}."
        if noun != place:
            rows += [(text, one, "first", noun), (text, other, "second", noun)]
    table = pd.DataFrame(rows, columns=["sentence", "word", "label", "query"]).drop_duplicates()
    asking = list(zip(table["sentence"], table["query"], strict=True))
    start = [text.index(f" {noun} of") + 1 for text, noun in asking]
    ends = [at + len(noun) for at, (_, noun) in zip(start, asking, strict=True)]
    return table.assign(query_start=start, query_end=ends)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def ask(name: str, out, *options: str):
    """Ask a question on the command line, as little of it as may be."""
    if name == "co_attended":
        options += tuple(f"--{key}={value}" for key, value in SMALL.items())
    return runner.invoke(app, ["analyse", name, "--out", str(out), *options])


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory):
    """One whole run on own sentences."""
    folder = tmp_path_factory.mktemp("own")
    make_sentences(60).to_csv(folder / "mine.tsv", sep="\t", index=False)
    options = ["--model", str(model), "--out", str(folder / "out")]
    options += [f"--set=co_attended.{name}={value}" for name, value in SMALL.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.NAMES", ("co_attended", "divergence", "relations", "weights"))
        result = runner.invoke(app, ["run", *options, "--sentences", str(folder / "mine.tsv")])
    assert result.exit_code == 0, result.output
    return ResultFolder(folder / "out")


def test_own_sentences_give_the_four_answers(finished):
    store = open_store(finished.capture)
    assert name_kind(store) == SENTENCES
    tables = finished.read_tables("co_attended")
    assert list(tables["counts"]["source"][:2]) == [SENTENCES, "running text"]
    counts = tables["counts"].set_index("source")["units"]
    pairs = store.table("pairs")[["left_word", "right_word"]].to_numpy()
    assert counts[SENTENCES] == len(set(map(frozenset, pairs))) < len(pairs)
    page = finished.report_path.read_text(encoding="utf-8")
    assert "Your sentences: co-attended pairs are at percentile" in page
    assert "the mean over all occurrences of their label is subtracted" in page
    assert "Each distinct pair of words counts once" in page
    assert f"there are {counts[SENTENCES]} distinct pairs of words, and 50 are needed" in page
    assert f"{counts[SENTENCES]} pairs" in page  # and not so many events
    assert f"{len({word for pair in pairs for word in pair})} words" in page


def test_every_question_works_with_own_sentences_or_says_why_not(finished, monkeypatch):
    monkeypatch.setitem(inspect.unwrap(label_occurrences).__kwdefaults__, "min_words", 1)
    for question in list_questions().values():
        if Need.PAIRS in question.needs:
            told = ask(question.name, finished.path)
            assert told.exit_code == 1
            assert "word pairs in sentence templates" in told.stderr
            assert "this capture is of: your sentences" in told.stderr
    for name in ("divergence", "relations"):
        assert "this capture is of: your sentences" in finished.read_left_out(name)
    probed = ask("probing", finished.path, "--resamples=5", "--x-layers=1", "--code=no")
    assert probed.exit_code == 0, probed.output
    properties = finished.read_tables("probing")["properties"].set_index("property")
    label = properties.loc["label in your sentences"]
    assert label["classes"] == "first, second"
    occurrences = open_store(finished.capture).table("occurrences")
    assert label["n_rows"] == (occurrences["word"] != "").sum() < len(occurrences)
    assert properties.loc["position", "n_rows"] == label["n_rows"]


@pytest.fixture
def undrawn(monkeypatch):
    """Draw nothing, which takes most of the time."""
    monkeypatch.setattr(ResultFolder, "write_figures", lambda *_: None)


@pytest.mark.parametrize("count", [1, 5])
def test_a_few_sentences_leave_every_answer_undetermined(count, model, tmp_path, request):
    if count > 1:
        request.getfixturevalue("undrawn")
    source = tmp_path / "few.jsonl"
    rows = make_sentences(count).drop(columns=["label", "query", "query_start", "query_end"])
    rows.to_json(source, orient="records", lines=True)
    options = ["--model", str(model), "--out", str(tmp_path / "out")]
    captured = runner.invoke(app, ["capture", *options, "--sentences", str(source)])
    assert captured.exit_code == 0, captured.output
    asked = ask("co_attended", tmp_path / "out")
    assert asked.exit_code == 0, asked.output
    answers = ResultFolder(tmp_path / "out").read_tables("co_attended")["answers"]
    mine = answers[answers["source"] == SENTENCES]
    assert set(mine["verdict"]) == {"undetermined"}
    assert mine["reason"].str.contains("distinct pairs? of words, and 50 are needed").sum() == 3
    assert "of words, and 50 are needed" in asked.stdout


def test_a_limit_draws_whole_sentences(model, tmp_path):
    source, out = tmp_path / "mine.csv", tmp_path / "out"
    make_sentences(9).to_csv(source, index=False)
    options = ["--model", str(model), "--out", str(out), "--limit", "4"]
    captured = runner.invoke(app, ["capture", *options, "--sentences", str(source)])
    assert captured.exit_code == 0, captured.output
    assert open_store(out / "capture").table("queries")["sentence"].nunique() == 4


@pytest.mark.parametrize("is_folder", [True, False])
@pytest.mark.usefixtures("undrawn")
def test_a_treebank_gives_the_words_of_one_head(is_folder, model, tmp_path):
    out, folder = tmp_path / "out", write_treebank(tmp_path, sizes=(9, 3, 4))
    source = folder if is_folder else folder / "tiny-ud-train.conllu"
    # Adverbs before the verbs, so that a verb has two words before it.
    for path in folder.glob("*.conllu"):
        path.write_text(path.read_text().replace("\tDET\t_\t_\t3\t", "\tADV\t_\t_\t3\t"))
    options = ["--model", str(model), "--out", str(out)]
    captured = runner.invoke(app, ["capture", *options, "--treebank", str(source)])
    assert captured.exit_code == 0, captured.output
    assert name_kind(open_store(out / "capture")) == TREEBANK
    asked = ask("co_attended", out)
    assert asked.exit_code == 0, asked.output
    assert "Treebank: co-attended pairs" in asked.stdout
    expected = set()
    for path in folder.glob("*.conllu") if is_folder else [source]:
        for sentence in conllu.parse(path.read_text()):
            below = defaultdict(list)
            for token in sentence:
                if token["upos"] in CONTENT and token["id"] < token["head"]:
                    below[token["head"]].append(token["form"])
            expected |= {
                (sentence.metadata["text"], *pair)
                for words in below.values()
                for pair in combinations(words, 2)
            }
    contexts = open_store(out / "capture-treebank")
    pairs, queries = contexts.table("pairs"), contexts.table("queries")
    texts = queries["sentence"].iloc[pairs["left_query"]]
    assert set(zip(texts, pairs["left_word"], pairs["right_word"], strict=True)) == expected
    refused = ask("premise", out)
    assert "this capture is of: treebank" in refused.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sentence\tword\nA red fox ran.\tcat\nA red fox ran.\tred\n", "not in its sentence"),
        ("text\tword\nA red fox ran.\tred\n", "lacks the column sentence"),
        ("sentence\nA red fox ran.\n", "neither a column 'word'"),
        ("sentence\tword\nA red fox ran.\tred\n", "an event needs two"),
        ("", "empty"),
        ("sentence\tword\nA red fox\tred\nA red fox\tfox\n", "no token follows"),
    ],
)
def test_a_faulty_table_of_sentences_is_told(content, told, model, tmp_path):
    (tmp_path / "mine.tsv").write_text(content)
    options = ["--model", str(model), "--out", str(tmp_path / "out")]
    refused = runner.invoke(app, ["run", *options, "--sentences", str(tmp_path / "mine.tsv")])
    assert refused.exit_code == 1
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


def test_json_tells_the_capture(model, tmp_path):
    make_sentences(3).to_csv(tmp_path / "mine.csv", index=False)
    options = ["--model", str(model), "--out", str(tmp_path / "out"), "--json"]
    told = runner.invoke(app, ["capture", *options, "--sentences", str(tmp_path / "mine.csv")])
    assert json.loads(told.stdout)["identity"]["site"] == "decoder"
