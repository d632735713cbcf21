"""One flipped bit in every kind of file that is read again: repaired or refused, never believed.

The times of the file stay as they were, as they do when a disk or a copy spoils it.
"""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
import torch

from analyses.shared.resumable import FinishedParts
from kvprobes.captures.pairs import capture_pairs
from kvprobes.report.page import write_report
from kvprobes.results import ResultFolder
from kvprobes.runner import answer
from kvprobes.session import Session
from kvprobes.study.comparison import compute as compare
from probes.capture.store import Store, open_store
from probes.errors import StoreError
from probes.sealed import find_marker
from probes.tying.runs import find_run, run_once
from tests.analyses.tables import make_tables
from tests.damage import flips
from tests.kvprobes.runs import hash_results, make_options, save_tiny_model
from tests.kvprobes.toy_question import NAME
from tests.tying.examples import make_run, write_text

FLIPS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A result folder with a capture, a question's tables and figures, and a report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.NAMES", (NAME,))
        place = tmp_path_factory.mktemp("made")
        options = make_options(save_tiny_model(place / "model"), place / "tiny")
        session = Session(options.folder, model=options.model)
        capture_pairs(session, options)
        answer("toy_question", session)
        write_report(options.folder)
        return options.folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    monkeypatch.setattr("analyses.NAMES", (NAME,))
    shutil.copytree(made.path, tmp_path / "tiny")
    return ResultFolder(tmp_path / "tiny")


def read_all(store: Store) -> list[torch.Tensor | pd.DataFrame]:
    """Everything that an analysis may read of a capture."""
    tables = [store.table(name) for name in ("occurrences", "queries", "losses", "pairs")]
    rows = [store.read(name, 1) for name in ("k", "v", "x", "attention", "x_query")]
    return [*tables, *rows, store.read_sum("query_moment.1"), *store.read_constants().values()]


CAPTURE = (
    *("manifest.json", "constants.safetensors", "pairs.parquet", "queries.parquet"),
    *("occurrences.parquet", "losses.parquet"),
    *("shards/00000.safetensors", "shards/00000.json"),
)


@pytest.mark.parametrize("name", CAPTURE)
def test_of_a_capture_nothing_is_read_that_is_damaged(folder, name):
    whole = read_all(open_store(folder.capture))
    for _ in flips(folder.capture / name, FLIPS):
        with pytest.raises(StoreError, match=name.rpartition("/")[2].split(".")[0]):
            read_all(open_store(folder.capture))
    again = read_all(open_store(folder.capture))
    for one, other in zip(whole, again, strict=True):
        assert one.equals(other) if isinstance(one, pd.DataFrame) else torch.equal(one, other)


@pytest.mark.parametrize("name", ["manifest.json", "summary.parquet"])
def test_the_report_refuses_damaged_tables(folder, name):
    for _ in flips(folder.path / "tables" / f"toy_question.{name}", FLIPS):
        with pytest.raises(StoreError, match=rf"toy_question\.{name}|another version"):
            write_report(folder)


@pytest.mark.parametrize("name", ["manifest.json", "summary.parquet", "heads.parquet"])
def test_a_comparison_refuses_damaged_tables(tmp_path, name):
    folder = ResultFolder(tmp_path)
    folder.write_tables("divergence", make_tables(), inputs={})
    compare([folder])
    for _ in flips(tmp_path / "tables" / f"divergence.{name}", FLIPS):
        with pytest.raises(StoreError, match=rf"divergence\.{name}|another version"):
            compare([folder])


@pytest.mark.parametrize(
    "name",
    [
        *("tables/toy_question.manifest.json", "tables/toy_question.summary.parquet"),
        *("tables/toy_question.summary.csv", "figures/toy_question.manifest.json"),
        *("figures/toy_question.lengths.png", "figures/toy_question.lengths.pdf"),
    ],
)
def test_the_next_answer_mends_tables_csv_and_figures(folder, name):
    whole = hash_results(folder.path)
    for _ in flips(folder.path / name, 4):
        answer("toy_question", folder)
        assert hash_results(folder.path) == whole


@pytest.mark.parametrize("name", ["manifest.json", "lengths.png", "lengths.pdf"])
def test_the_report_draws_damaged_and_missing_figures_again(folder, name):
    whole = hash_results(folder.path)
    path = folder.path / "figures" / f"toy_question.{name}"
    for _ in flips(path, 3):
        write_report(folder)
        assert hash_results(folder.path) == whole
    path.unlink()
    write_report(folder)
    assert hash_results(folder.path) == whole


def test_a_mixture_of_two_seeds_is_refused_and_computed_again(folder, tmp_path):
    """As an analysis leaves it that is killed between the tables and the manifest."""
    other = ResultFolder(tmp_path / "other")
    shutil.copytree(folder.path, other.path)
    answer("toy_question", other, shortest=5, seed=1)
    shutil.copy(other.table_path("toy_question", "summary"), folder.path / "tables")
    for read in (write_report, lambda folder: folder.read_tables("toy_question")):
        with pytest.raises(StoreError, match="of another run than its manifest"):
            read(folder)
    assert answer("toy_question", folder).is_new
    write_report(folder)


def test_a_reason_that_is_damaged_is_not_told(folder):
    folder.note_left_out("toy_question", "there are 5 words.")
    assert folder.read_left_out("toy_question") == "there are 5 words."
    for _ in flips(folder.left_out_path("toy_question"), FLIPS):
        with pytest.raises(StoreError, match="left_out"):
            folder.read_left_out("toy_question")


@pytest.mark.parametrize("kind", ["table", "tensors"])
def test_finished_parts_are_made_again(tmp_path, kind):
    parts, made = FinishedParts(tmp_path, {"seed": 0}), []

    def make():
        made.append(1)
        if kind == "table":
            return pd.DataFrame({"a": [1.5, 2.5]})
        return {"w": torch.arange(6.0)}

    def ask():
        found = getattr(parts, kind)("part", make)
        return found["a" if kind == "table" else "w"].tolist()

    whole, total = ask(), 1
    for path in sorted(parts.place.iterdir()):
        for _ in flips(path, FLIPS):
            total += 1
            assert ask() == whole
            assert len(made) == total
    # One part under the name of another is not believed either, with its marker or without.
    path = next(path for path in parts.place.iterdir() if path.suffix != ".json")
    for suffix in (path.suffix, ".json"):
        shutil.copy(path.with_suffix(suffix), parts.place / f"other{suffix}")
    assert getattr(parts, f"find_{kind}")("other") is None


def test_a_damaged_checkpoint_or_run_is_trained_again(tmp_path):
    settings = make_run(write_text(tmp_path / "text"))
    whole = run_once(tmp_path / "whole", settings)
    place = find_run(tmp_path / "runs", settings)
    steps: list[int] = []

    def stop(step: int) -> None:
        steps.append(step)
        if len(steps) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(tmp_path / "runs", settings, on_step=stop)
    kept = place.checkpoint.read_bytes()
    for _ in flips(place.checkpoint, 6):
        again = run_once(tmp_path / "runs", settings)
        assert (again["files"], again["test"]) == (whole["files"], whole["test"])
        for path in place.path.glob("*.*"):
            path.unlink()
        place.checkpoint.write_bytes(kept)
    run_once(tmp_path / "runs", settings)
    for name in ("model.safetensors", "log.csv", "tieability.csv", "manifest.json"):
        for _ in flips(place.path / name, 2):
            again = run_once(tmp_path / "runs", settings)
            assert (again["files"], again["test"]) == (whole["files"], whole["test"])


def test_two_shards_swapped_with_their_markers_are_captured_again(tmp_path, monkeypatch):
    monkeypatch.setattr("probes.capture.run.SHARD_LENGTH", 40)
    options = make_options(save_tiny_model(tmp_path / "model"), tmp_path / "tiny")
    store = capture_pairs(Session(options.folder, model=options.model), options)
    whole = hash_results(options.folder.path)
    paths = [store.shard_path(shard) for shard in (0, 1)]
    for one, other in (paths, map(find_marker, paths)):
        one.rename(tmp_path / "aside")
        other.rename(one)
        (tmp_path / "aside").rename(other)
    assert store.missing_shards() == [0, 1]
    with pytest.raises(StoreError, match="00000"):
        store.read("k", 0)
    capture_pairs(Session(options.folder, model=options.model), options)
    assert hash_results(options.folder.path) == whole


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: answer("toy_question", folder, seed=1),
        lambda folder: folder.note_left_out("toy_question", "x"),
    ],
)
def test_a_question_is_answered_by_one_run_at_a_time(folder, write):
    whole = hash_results(folder.path)
    refused = pytest.raises(StoreError, match=r"toy_question in .* is in use by process \d+ on")
    with folder.holding("toy_question"), refused:
        write(folder)
    assert hash_results(folder.path) == whole
    write(folder)
